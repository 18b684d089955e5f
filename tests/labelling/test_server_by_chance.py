"""The page's server under a thousand requests by chance."""

import json
import random

from detection.labelling.server import MAX_BYTES

ESCAPES = ["../", "..%2f", "%2e%2e/", "....//", "/etc/passwd", "%00", "\\..\\", "photos/../../", "photos/0/../../../"]
METHODS = ["GET", "PUT", "POST", "DELETE", "PATCH", "HEAD", "OPTIONS"]
NAMES = ["cat", "dog", "", " ", "x" * 300, "<b>", "../../x", "a/b", "кошка", None, 7, "a\x00", "\ud800", "con"]
NUMBERS = [0, 1, -5, 10, 59.5, 80, 1e9, 1e308, -1e308, 10**40, None, "3", True, [], {}]


def anything(rng, depth=0):
    kind = rng.randrange(8 if depth < 4 else 5)
    if kind < 5:
        return rng.choice([None, True, 0, -1, 1.5, "", "text", 1e308, "\ud800"])
    if kind < 7:
        return [anything(rng, depth + 1) for _ in range(rng.randrange(4))]
    return {rng.choice(["objects", "version", "complete", "x"]): anything(rng, depth + 1) for _ in range(3)}


def some_object(rng):
    if rng.random() < 0.5:
        x, y = rng.uniform(0, 60), rng.uniform(0, 40)
        box = [x, y, x + rng.uniform(1, 30), y + rng.uniform(1, 30)]
    else:
        box = [rng.choice(NUMBERS) for _ in range(rng.choice([4, 4, 4, 3]))]
    name = rng.choice(["cat", "dog", "cow"]) if rng.random() < 0.7 else rng.choice(NAMES)
    return {
        "index": rng.choice([0, 0, 0, 1, 2, -1, "1"]),
        "name": name,
        "box": box,
        "difficult": rng.choice([True, False]),
    }


def request(rng, versions):
    """(method, path, body) of a request by chance; about half of them could be of a page."""
    kind, number = rng.randrange(10), rng.randrange(6)
    if kind < 5:
        content = {
            "version": rng.choice([*versions.get(number, []), "none"]),
            "objects": [some_object(rng) for _ in range(rng.randrange(3))],
            "complete": rng.choice([True, False]),
            "rejected": [
                {key: one for key, one in some_object(rng).items() if key in ("name", "box")}
                for _ in range(rng.randrange(2))
            ],
        }
        return "PUT", f"photos/{number}", json.dumps(content).encode()
    if kind == 5:
        return "PUT", f"photos/{number}", json.dumps(anything(rng)).encode()
    if kind == 6:
        return "PUT", f"photos/{number}", rng.randbytes(rng.choice([0, 10, 1000]))
    if kind == 7:
        return "PUT", f"photos/{number}", b"[" * rng.choice([10, 100_000, MAX_BYTES + 1])
    path = rng.choice(["photos/", "", "photos/0/picture", "state", "page.js"]) + rng.choice(["", *ESCAPES, str(number)])
    return rng.choice(METHODS), path, b""


def test_a_thousand_requests_by_chance_lose_no_label_and_write_nowhere_else(client, photos, tmp_path):
    rng, versions, saved, statuses = random.Random(0), {}, {}, []
    outside = {path: path.read_bytes() for path in photos.iterdir()}
    (tmp_path / "secret.xml").write_text("secret")
    for _ in range(1000):
        method, path, body = request(rng, versions)
        # Whatever a client would make of such a path is sent as it is.
        answer = client.request(
            method, client.base_url.join("x").copy_with(raw_path=f"{client.base_url.path}{path}".encode()), content=body
        )
        statuses.append(answer.status_code)
        assert answer.status_code < 500, (method, path, body[:200], answer.text)
        assert "secret" not in answer.text
        if method == "PUT" and answer.status_code == 200:
            content, number = answer.json(), int(path.removeprefix("photos/"))
            versions.setdefault(number, []).append(content["version"])
            saved[number] = [(one["name"], one["box"]) for one in content["objects"]]
        elif answer.status_code == 409:
            versions.setdefault(int(path.removeprefix("photos/")), []).append(answer.json()["now"]["version"])
        for number in range(5) if rng.random() < 0.05 else ():
            versions.setdefault(number, []).append(client.get(f"photos/{number}").json()["version"])
    assert min(statuses.count(one) for one in (200, 400, 404, 409, 413)) > 5
    for number, objects in saved.items():
        found = client.get(f"photos/{number}").json()
        assert [(one["name"], one["box"]) for one in found["objects"]] == objects
    assert all(path.read_bytes() == content for path, content in outside.items())
    names = {path.name for path in photos.iterdir()}
    assert names - {path.name for path in outside} <= {f"{one}.xml" for one in "abcd"}
    assert {path.name for path in tmp_path.iterdir()} == {"photos", "run", "secret.xml"}
