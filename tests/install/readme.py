"""README's commands and Python: found in its text, run as they are printed, with small stand-ins for a user's data."""

import os
import re
import shlex
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]

# What README leaves to the reader -> what stands here for it, in the folder that `make_stand_ins` fills.
STAND_INS = {
    "FOLDER": "my_photos",  # 30 photos of digits with XML beside them
    "OTHER_FOLDER": "more_photos",  # two of them
    "PHOTO.jpg": "photo.jpg",
    "VIDEO.mp4": "video.mp4",  # eight frames
    ".venv/bin/sppnet demo": ".venv/bin/sppnet demo --limit 20",  # `make demo` runs all of it
}
# Commands that are not run -> why. A command that begins with none of these, and with no program below, is an error.
EXCLUDED = {
    r"make test$": ".ci/run runs it itself",
    r"make (bench|campaign|mutants)\b": "hours of measuring and attacking, in environments of their own",
    r"make TORCH_INDEX= demo$": "installs PyTorch again; tests/test_install.py has what make does with it",
    r"(py -3|\.venv\\)": "Windows",
    r"(python3[.\d]* -m (venv|pip)|\.venv/bin/python -m pip|pip install|uv )": "installs; tests/install does that",
    r"source ": "a shell's own; the commands here run as in an activated environment",
    r"(sppnet download|sppnet reproduce|python tools/download_voc\.py)": "900 MB from the network; "
    "tests/commands/test_reproduce.py does it against a server of its own",
    r"(make|sppnet|python3[.\d]*|\.venv/bin/(sppnet|python))$": "a program's name",
}
# What a command begins with.
_PROGRAM = re.compile(r"(python3?[.\d]*|sppnet|make|pip|py|uv|torchrun|source|\.venv[/\\]\S+)(?= |$)")
_OF_THE_CHECKOUT = re.compile(r"make |python tools/")
_FENCE = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_INLINE = re.compile(r"`([^`\n]+)`")
_COMMENT = re.compile(r"\s+#\s.*")
_SHELLS = ("", "sh", "bash", "console")

# What README's Python takes from its reader.
PREAMBLE = """\
import numpy as np
from detection.data import read_image

paths = ["photo.jpg", "more_photos/0.jpg"]
rgb = read_image("photo.jpg")
values = np.random.default_rng(0).normal(size=(40, 8)).astype(np.float32)
labels = np.where(values[:, 0] > 0, 1, -1)
"""
_MAKE_STAND_INS = """\
import shutil
from pathlib import Path
from detection.data import read_image, write_digits
from detection.data.video import write_video

digits = write_digits("digits", trainval=24, test=6) / "VOC2007"
for name in ("my_photos", "more_photos"):
    Path(name).mkdir()
photos = sorted((digits / "JPEGImages").iterdir())
for photo in photos:
    shutil.copy(photo, "my_photos")
    shutil.copy(digits / "Annotations" / f"{photo.stem}.xml", "my_photos")
for number, photo in enumerate(photos[:2]):
    shutil.copy(photo, f"more_photos/{number}.jpg")
shutil.copy(photos[0], "photo.jpg")
write_video("video.mp4", [read_image(photos[0])] * 8, 4.0)
shutil.rmtree("digits")
"""


@dataclass(frozen=True)
class Command:
    """text: as README prints it. whole: whether it stands in a block, with all its words."""

    text: str
    whole: bool

    @property
    def excluded(self) -> str | None:
        """Why it is not run, None where it is."""
        return next((why for pattern, why in EXCLUDED.items() if re.match(pattern, self.text)), None)

    @property
    def of_the_checkout(self) -> bool:
        """Whether it needs the files of the repository."""
        return bool(_OF_THE_CHECKOUT.match(self.text))

    @property
    def stands_for(self) -> str:
        """What is run: as printed, with stand-ins; of a command that is only named in the text, its help."""
        if not self.whole:
            return f"{self.text} --help"
        text = self.text
        for word, value in STAND_INS.items():
            text = re.sub(rf"(?<![\w/.]){re.escape(word)}(?![\w/.])", value, text)
        return text


def commands(text: str) -> list[Command]:
    """Every command in a Markdown text, each once. Raises ValueError for a line of a block that is of no program."""
    found = []
    for language, block in _FENCE.findall(text):
        if language in _SHELLS:
            for line in filter(str.strip, block.splitlines()):
                command = Command(_COMMENT.sub("", line).strip(), whole=True)
                if not _PROGRAM.match(command.text):
                    raise ValueError(f"README: expected a command that tests/install/readme.py knows, got {line!r}")
                found.append(command)
    for code in _INLINE.findall(_FENCE.sub("", text)):
        if _PROGRAM.match(code) and not any(one.text == code for one in found):
            found.append(Command(code, whole=False))
    return list(dict.fromkeys(found))


def python_script(text: str) -> str:
    """The Python of a Markdown text as one script, with what it takes from its reader before it."""
    return "\n".join([PREAMBLE, *(block for language, block in _FENCE.findall(text) if language == "python")])


def make_stand_ins(python: Path, folder: Path) -> None:
    """Fill a folder with what `STAND_INS` names. python: of an environment that has the package."""
    subprocess.run([python, "-c", _MAKE_STAND_INS], cwd=folder, check=True)


def run_all(programs: Path, folder: Path, checkout: bool) -> Iterator[str]:
    """Run README's commands and Python in a folder with stand-ins; yields what failed.

    programs: the environment's bin, which comes first on PATH. checkout: whether `folder` is one.
    """
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    environment = environment_of(programs)
    for one in commands(text):
        why = one.excluded or ("" if checkout or not one.of_the_checkout else "needs the checkout")
        if why:
            print(f"  not run  {one.text}: {why}", flush=True)
        elif not runs(["bash", "-c", one.stands_for], one.stands_for, folder, environment):
            yield one.text
    (folder / "readme.py").write_text(python_script(text), encoding="utf-8")
    if not runs([str(programs / "python"), "readme.py"], "README's Python", folder, environment):
        yield "README's Python"


def environment_of(programs: Path) -> dict[str, str]:
    """The variables of a process in an activated environment, of which nothing else is on Python's path."""
    others = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}
    return {**others, "PATH": f"{programs}{os.pathsep}{os.environ['PATH']}"}


def runs(words: list[str], name: str, folder: Path, environment: dict[str, str]) -> bool:
    """Whether a command ends with status 0; its time is printed, and all that it said where it does not."""
    started = time.monotonic()
    ended = subprocess.run(
        words, cwd=folder, env=environment, text=True, stdin=subprocess.DEVNULL, capture_output=True, check=False
    )
    print(f"{time.monotonic() - started:7.1f} s  {name}", flush=True)
    if ended.returncode:
        print(
            f"status {ended.returncode}: {shlex.join(words)}\n{ended.stdout[-4000:]}{ended.stderr[-4000:]}", flush=True
        )
    return not ended.returncode
