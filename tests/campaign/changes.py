"""Files changed at random: mutated inputs of readers, and damage as disks and copies do it."""

import random
import re
import struct
from collections.abc import Callable, Iterator

SPLICES = (
    b"\x00", b"\xff\xfe", b"\xef\xbb\xbf", b"<!DOCTYPE a>", b"&x;", b"<object>", b"]]>", b"..", b"../../../etc/passwd",
    b"/etc/passwd", b"1e999", b"-1", b"NaN", b"Infinity", b"9" * 400, b"null", b"[", b"]", b"{", b"}", b'"', b",", b":",
    b"true", b"\r\n", b"\n", b"\xc3\x28", b"*a", b"&a", b"!!python/object/apply:os.getcwd []", b"0.5 0.5", b"\\u0000",
    b"[" * 5000, b"{\"a\":" * 3000, b"<a>" * 3000, b"a: &a [*a,*a]\n", b"\\ud800", b"\x1b[2J", b"=1+1",
    b"\xe2\x80\xae", b"no", b"1:30", b"- ", b"\t", b"!!int \"\"", b"!!binary x", b"? ", b"x" * 70_000, b"0" * 30,
)  # fmt: skip
NUMBERS = (
    b"0", b"-0", b"-1", b"1e308", b"1e999", b"-1e999", b"nan", b"2147483648", b"-9223372036854775809", b"0.1",
    b"1e-320", b"18446744073709551616", b"9" * 400, b"007", b"1_0", b"0x10", b"true", b"null", b"\"1\"", b"[]",
    b"65536", b"100000000",
)  # fmt: skip
_NUMBER = re.compile(rb"-?\d+(?:\.\d+)?(?:[eE][-+]?\d+)?")
_INTEGERS = (0, 1, 0x7F, 0xFF, 0x7FFF, 0xFFFF, 0x7FFFFFFF, 0xFFFFFFFF, 0x80000000, 10**9)


def mutated(content: bytes, rng: random.Random) -> bytes:
    """The content with one to four changes of many kinds, of texts and of binary files."""
    data = bytearray(content)
    for _ in range(rng.randint(1, 4)):
        rng.choice(_MUTATIONS)(data, rng)
    return bytes(data)


def _span(data: bytearray, rng: random.Random, most: int) -> tuple[int, int]:
    start = rng.randint(0, len(data))
    return start, min(start + rng.randint(1, most), len(data))


def _delete(data: bytearray, rng: random.Random) -> None:
    start, end = _span(data, rng, 30)
    del data[start:end]


def _insert(data: bytearray, rng: random.Random) -> None:
    start = rng.randint(0, len(data))
    data[start:start] = rng.choice(SPLICES)


def _overwrite(data: bytearray, rng: random.Random) -> None:
    start = rng.randint(0, len(data))
    new = rng.choice(SPLICES)
    data[start : start + min(len(new), 8)] = new


def _byte(data: bytearray, rng: random.Random) -> None:
    if data:
        data[rng.randrange(len(data))] = rng.randrange(256)


def _repeat(data: bytearray, rng: random.Random) -> None:
    start, end = _span(data, rng, 60)
    data[start:start] = data[start:end] * rng.randint(1, 5)


def _cut(data: bytearray, rng: random.Random) -> None:
    del data[rng.randint(0, len(data)) :]


def _integer(data: bytearray, rng: random.Random) -> None:
    """Four or eight bytes as a number, which headers have as sizes."""
    size, order = rng.choice((4, 8)), rng.choice("<>")
    # Headers are at the front.
    start = rng.randrange(max(min(len(data), rng.choice((64, 400, len(data) or 1))), 1))
    data[start : start + size] = struct.pack(order + ("I" if size == 4 else "Q"), rng.choice(_INTEGERS))


def _number(data: bytearray, rng: random.Random) -> None:
    """A number of a text."""
    found = list(_NUMBER.finditer(bytes(data[:200_000])))
    if found:
        one = rng.choice(found)
        data[one.start() : one.end()] = rng.choice(NUMBERS)


def _line(data: bytearray, rng: random.Random) -> None:
    """A line taken out, doubled or moved."""
    lines = bytes(data).split(b"\n")
    place = rng.randrange(len(lines))
    what = rng.randrange(3)
    line = lines.pop(place)
    if what:
        lines[rng.randint(0, len(lines)) :] = [line] * what + lines[rng.randint(0, len(lines)) :]
    data[:] = b"\n".join(lines)


_MUTATIONS: tuple[Callable[[bytearray, random.Random], None], ...] = (
    _delete, _insert, _insert, _overwrite, _byte, _byte, _repeat, _cut, _integer, _number, _number, _line,
)  # fmt: skip


def damages(content: bytes, rng: random.Random, places: int = 5) -> Iterator[tuple[str, bytes]]:
    """(what was done, content) of a damaged file: at `places` places each, and the manners that know no place."""
    yield "emptied", b""
    yield "appended to", content + bytes(rng.randrange(256) for _ in range(64))
    # The end, and the start, are places of their own.
    starts = sorted({0, max(len(content) - 1, 0), *(rng.randrange(max(len(content), 1)) for _ in range(places))})
    digits = [one.start() for one in re.finditer(rb"\d", content)]
    for start in rng.sample(starts, min(places, len(starts))):
        if content:
            flipped = bytearray(content)
            flipped[start] ^= 1 << rng.randrange(8)
            yield f"bit of byte {start} flipped", bytes(flipped)
            yield f"cut to {start} bytes", content[:start]
            zeroed = bytearray(content)
            end = min(start + 512, len(zeroed))
            zeroed[start:end] = bytes(end - start)
            yield f"{end - start} zeros at {start}", bytes(zeroed)
    for start in rng.sample(digits, min(places, len(digits))):
        other = bytearray(content)
        other[start] = ord(rng.choice([one for one in "0123456789" if ord(one) != content[start]]))
        yield f"digit {chr(content[start])} at {start} made {chr(other[start])}", bytes(other)
