"""What the page's server answers, and what it never does: with a teacher that suggests one box in every photo."""

import io
import json
import random

import pytest
from PIL import Image
from starlette.testclient import TestClient

from detection.labelling.server import MAX_BYTES, application
from detection.labelling.teacher import Suggestion

TOKEN = "token"
SUGGESTED = Suggestion("cat", (1.0, 2.0, 30.0, 40.0), 0.5, True)
CAT = {"index": 0, "name": "cat", "box": [10, 20, 40, 50], "difficult": False}


class FakeTeacher:
    def __init__(self):
        self.told = []

    def look(self, number):
        self.told.append(("look", number))

    def saved(self, number):
        self.told.append(("saved", number))

    def suggestions(self, number):
        return (SUGGESTED,)

    def is_fresh(self, number):
        return True

    def next_photos(self):
        return [(3, "uncertain")]

    def state(self):
        return {"revision": 7}


@pytest.fixture
def teacher():
    return FakeTeacher()


@pytest.fixture
def client(photos, open_folder, teacher):
    (photos / "e.jpg").write_bytes(b"no picture")
    app = application(open_folder(photos), teacher, TOKEN)
    with TestClient(app, base_url=f"http://127.0.0.1/{TOKEN}/", raise_server_exceptions=False) as client:
        yield client


def save(client, number=0, **more):
    version = client.get(f"photos/{number}").json()["version"]
    content = {"version": version, "objects": [CAT], "complete": False, "rejected": [], **more}
    return client.put(f"photos/{number}", content=json.dumps(content))


def test_the_page_and_its_parts(client):
    page = client.get("")
    assert page.status_code == 200
    assert page.headers["content-type"].startswith("text/html")
    for name in ("page.js", "stage.js", "labels.js", "keys.js", "panel.js", "page.css"):
        assert client.get(name).status_code == 200
        assert name in page.text + client.get("page.js").text


@pytest.mark.parametrize("path", ["", "photos", "photos/0", "state", "nothing"])
def test_every_answer_fetches_from_nowhere_else(client, path):
    headers = client.get(path).headers
    assert "default-src 'self'" in headers["content-security-policy"]
    assert headers["referrer-policy"] == "no-referrer"
    assert "access-control-allow-origin" not in headers


@pytest.mark.parametrize(
    "path", ["/", "/photos", "/TOKEN/photos", "/token2/photos", "/tokenphotos", "/../token/photos/../../x", "/docs"]
)
def test_without_the_token_there_is_nothing(client, path):
    assert client.get(f"http://127.0.0.1{path}").status_code == 404


def test_the_photos(client):
    content = client.get("photos").json()
    assert [one["name"] for one in content["photos"]] == list("abcde")
    assert "unreadable image" in content["photos"][4]["fault"]
    assert content["photos"][0] == {"name": "a", "boxes": 0, "is_labelled": False, "is_complete": False, "fault": ""}


def test_a_photo_with_what_is_suggested(client, teacher):
    content = client.get("photos/1").json()
    assert (content["size"], content["objects"], content["complete"]) == ([60, 80], [], False)
    assert content["suggestions"] == [{"name": "cat", "box": [1, 2, 30, 40], "chance": 0.5, "is_rough": True}]
    assert teacher.told == [("look", 1)]


def test_a_picture(client):
    answer = client.get("photos/0/picture")
    assert answer.headers["content-type"] == "image/jpeg"
    assert Image.open(io.BytesIO(answer.content)).size == (80, 60)
    assert client.get("photos/4/picture").status_code == 404


def test_saving(client, teacher, photos):
    answer = save(client, complete=True)
    assert answer.status_code == 200, answer.text
    assert answer.json()["objects"] == [{**CAT, "index": 1, "box": [10.0, 20.0, 40.0, 50.0]}]
    assert ("saved", 0) in teacher.told
    assert "cat" in (photos / "a.xml").read_text()
    assert client.get("photos").json()["photos"][0]["is_complete"]


def test_two_tabs(client, photos):
    version = client.get("photos/0").json()["version"]
    first = save(client)
    second = save(client, version=version, objects=[{**CAT, "name": "dog"}])
    assert (first.status_code, second.status_code) == (200, 409)
    assert second.json()["now"]["objects"] == first.json()["objects"]
    assert "changed elsewhere" in second.json()["error"]
    assert "dog" not in (photos / "a.xml").read_text()
    assert save(client, version=second.json()["now"]["version"]).status_code == 200


def test_what_the_teacher_does(client):
    assert client.get("state").json() == {"revision": 7, "next": [{"number": 3, "reason": "uncertain"}]}


@pytest.mark.parametrize(
    "path", ["photos/5", "photos/99999999999999999999", "photos/-1", "photos/a", "photos/0/x", "x"]
)
def test_nothing_else_is_found(client, path):
    answer = client.get(path)
    assert answer.status_code == 404
    assert answer.json()["error"]


REFUSED = {
    "no JSON": "{",
    "a list": "[]",
    "no text": b"\xff\xfe",
    "nan": '{"version": NaN}',
    "deep": "[" * 100_000,
    "digits": '{"version": ' + "9" * 10_000 + "}",
}


@pytest.mark.parametrize("body", REFUSED.values(), ids=REFUSED)
def test_what_is_no_json_of_ours_is_refused(client, body):
    answer = client.put("photos/0", content=body)
    assert answer.status_code == 400
    assert "expected" in answer.json()["error"]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"version": None}, "version: expected the one that was read"),
        ({"complete": 1}, "complete: expected true or false"),
        ({"objects": {}}, "objects: expected a list"),
        ({"objects": [1]}, "objects: expected a list"),
        ({"objects": [{**CAT, "box": [1, 2, 3]}]}, "objects: 0: box: expected four numbers"),
        ({"objects": [{**CAT, "box": [1, 2, 3, True]}]}, "box: expected four numbers"),
        ({"objects": [{**CAT, "box": [1, 2, 3, 1e300]}]}, "box: expected numbers of a photo"),
        ({"objects": [{**CAT, "box": [1, 2, 3, 10**200]}]}, "box: expected numbers of a photo"),
        ({"objects": [{**CAT, "index": -1}]}, "expected index and difficult"),
        ({"objects": [{**CAT, "index": "1"}]}, "expected index and difficult"),
        ({"objects": [{**CAT, "index": 9}]}, "expected an object of 1 to 0"),
        ({"objects": [{**CAT, "name": None}]}, "class name that is no text"),
        ({"objects": [{**CAT, "name": "\ud800"}]}, "class name that no file can hold"),
        ({"objects": [{**CAT, "box": [70, 20, 60, 50]}]}, "expected a box in"),
        ({"rejected": [{"name": "cat", "box": [1, 2, 3, "4"]}]}, "rejected: 0: box"),
    ],
)
def test_what_cannot_be_saved_is_refused(client, photos, change, message):
    answer = save(client, **change)
    assert answer.status_code == 400
    assert message in answer.json()["error"]
    assert not (photos / "a.xml").exists()


def test_too_much_is_refused_before_it_is_held(client):
    held = 0

    def body():
        nonlocal held
        for _ in range(1000):
            held += 2**16
            yield b" " * 2**16

    answer = client.put("photos/0", content=body())
    assert answer.status_code == 413
    assert f"{MAX_BYTES:,}" in answer.json()["error"]


def test_a_photo_that_cannot_be_read_cannot_be_saved(client):
    answer = save(client, 4)
    assert answer.status_code == 400
    assert "cannot be labelled here" in answer.json()["error"]


def test_a_full_disk_is_told(client, photos, monkeypatch):
    def full(*_, **__):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("detection.data.formats.voc_xml.write_text", full)
    answer = save(client)
    assert answer.status_code == 500
    assert "No space left" in answer.json()["error"]
    assert not (photos / "a.xml").exists()


# A thousand requests by chance.

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
            method, client.base_url.join("x").copy_with(raw_path=f"/{TOKEN}/{path}".encode()), content=body
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
