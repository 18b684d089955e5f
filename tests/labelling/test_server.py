"""What the page's server answers, and what it never does: with a teacher that suggests one box in every photo."""

import io
import json
import logging
import socket
import urllib.request
from threading import Thread

import pytest
from PIL import Image
from uvicorn import Server

from detection.labelling import server
from detection.labelling.server import MAX_BYTES

CAT = {"index": 0, "name": "cat", "box": [10, 20, 40, 50], "difficult": False}


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


def test_what_the_teacher_does(client, teacher):
    assert client.get("state").json() == {**teacher.state(), "next": [{"number": 3, "reason": "uncertain"}]}


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


HOSTILE = "<img src=x onerror=alert(1)>\"'&amp;]]>"


def test_names_come_back_as_they_were_given(client, photos):
    answer = save(client, objects=[{**CAT, "name": HOSTILE}])
    assert answer.status_code == 200
    assert answer.headers["content-type"] == "application/json"
    assert [one["name"] for one in client.get("photos/0").json()["objects"]] == [HOSTILE]
    assert HOSTILE in client.get("photos").json()["classes"]
    assert "<img" not in (photos / "a.xml").read_text()


def test_a_photo_that_vanishes(client, photos):
    version = client.get("photos/0").json()["version"]
    (photos / "a.jpg").unlink()
    assert client.get("photos/0/picture").status_code == 400
    content = client.get("photos/0").json()
    assert "a.jpg" in content["fault"]
    for seen in (version, content["version"]):
        assert save(client, version=seen).status_code in (400, 409)
    assert not (photos / "a.xml").exists()


def test_labels_that_are_damaged_meanwhile_are_not_written_over(client, photos):
    version = save(client).json()["version"]
    (photos / "a.xml").write_text("<annotation><object>")
    assert save(client, version=version, objects=[]).status_code == 409
    content = client.get("photos/0").json()
    assert "malformed annotation" in content["fault"]
    assert save(client, version=content["version"], objects=[]).status_code == 400
    assert (photos / "a.xml").read_text() == "<annotation><object>"


def test_no_address_is_logged(client, caplog, monkeypatch):
    """Whoever reads it has the token."""
    servers = []
    monkeypatch.setattr(server, "Server", lambda config: servers.append(Server(config)) or servers[0])
    monkeypatch.setattr(logging.getLogger("uvicorn.access"), "propagate", True)
    caplog.set_level(logging.INFO)
    with socket.create_server(("127.0.0.1", 0)) as listening:
        thread = Thread(target=server.serve, args=(client.app, listening))
        thread.start()
        address = f"http://127.0.0.1:{listening.getsockname()[1]}{client.app.routes[0].path}"
        try:
            with urllib.request.urlopen(f"{address}/state", timeout=60) as answer:
                assert answer.status == 200
        finally:
            servers[0].should_exit = True
            thread.join()
    assert "Started server process" in caplog.text
    assert "/state" not in caplog.text
