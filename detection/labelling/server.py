"""The page's server: photos, labels and suggestions by number, on one address that holds a token."""

import io
import json
import socket
from collections.abc import Mapping
from importlib.resources import files
from typing import Any

from PIL import Image
from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Mount, Route
from starlette.types import ASGIApp, Message, Receive, Scope, Send
from uvicorn import Config, Server

from detection.data import DataError, read_image
from detection.labelling.marks import Marks, Rejected
from detection.labelling.photos import Drawn
from detection.labelling.session import ConflictError, PhotoState, Session
from detection.labelling.teacher import Teacher
from detection.storage import encodable, printable
from detection.storage.bounded import check_depth, json_decoder, json_problem

# Of what a page sends: a thousand boxes are some 100 KB.
MAX_BYTES = 2**21
_QUALITY = 90
# Of a coordinate in px: far above any photo's.
_LARGEST = 1e9
# Seconds, at most, that the end waits for requests that are being answered: a large COCO json takes some to be saved.
_LONGEST = 60
_PARTS = ("page.js", "stage.js", "labels.js", "keys.js", "panel.js", "page.css")
_PAGE = {"": "index.html"} | {one: one for one in _PARTS}
_KINDS = {"html": "text/html", "js": "text/javascript", "css": "text/css"}
# Nothing is fetched from elsewhere, no other page may hold this one, and no address with the token is passed on.
_HEADERS = {
    "content-security-policy": "default-src 'self'; img-src 'self' data:; frame-ancestors 'none'; base-uri 'none'",
    "referrer-policy": "no-referrer",
    "x-content-type-options": "nosniff",
    "cache-control": "no-store",
}


def application(session: Session, teacher: Teacher, token: str) -> Starlette:
    """The page and what it asks for, below ``/TOKEN/``; any other address is not found.

    Photos go by their number in the session: no name in a request leads to a file. A request that cannot be used is
    answered with status 400 (409: the labels have changed since, 413: too large) and what was wrong.
    """
    api = _Api(session, teacher)
    routes = [
        Route("/photos", api.photos),
        Route("/photos/{number:int}", api.photo),
        Route("/photos/{number:int}", api.save, methods=["PUT"]),
        Route("/photos/{number:int}/picture", api.picture),
        Route("/photos/{number:int}/suggestions", api.suggestions),
        Route("/state", api.state),
        *(Route(f"/{name}", _page_file(name)) for name in _PAGE),
    ]
    handlers = {
        DataError: _refused(400), ValueError: _refused(400), OSError: _refused(500), HTTPException: _http_error,
        ConflictError: api.conflict,
    }  # fmt: skip
    return Starlette(
        routes=[Mount(f"/{token}", routes=routes)], exception_handlers=handlers, middleware=[Middleware(_WithHeaders)]
    )


def serve(app: Starlette, listening: socket.socket) -> None:
    """Answer requests on a socket that listens, until the process is asked to end; a save is waited for."""
    config = Config(app, log_config=None, access_log=False, lifespan="off", timeout_graceful_shutdown=_LONGEST)
    Server(config).run([listening])


class _WithHeaders:
    """Adds the headers that every answer has."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                own = [(name.encode(), value.encode()) for name, value in _HEADERS.items()]
                message["headers"] = [*message.get("headers", []), *own]
            await send(message)

        await self.app(scope, receive, with_headers)


def _page_file(name: str):
    content = (files("detection.labelling") / "page" / _PAGE[name]).read_bytes()
    kind = _KINDS[_PAGE[name].rpartition(".")[2]]

    def send(_: Request) -> Response:
        return Response(content, media_type=kind)

    return send


def _refused(status: int):
    def answer(_: Request, error: Exception) -> JSONResponse:
        return JSONResponse({"error": encodable(str(error))}, status)

    return answer


def _http_error(_: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, HTTPException)
    return JSONResponse({"error": error.detail}, error.status_code)


class _Api:
    """What the page asks for, one method each."""

    def __init__(self, session: Session, teacher: Teacher) -> None:
        self._session, self._teacher = session, teacher

    def photos(self, _: Request) -> JSONResponse:
        """All photos with what is known of them, and the names of the classes."""
        rows = []
        for number, photo in enumerate(self._session.photos):
            state = self._session.seen(number)
            rows.append(
                {
                    "name": printable(photo.image_id),
                    "boxes": len(state.labels.objects),
                    "is_labelled": state.labels.is_labelled or state.marks.complete,
                    "is_complete": state.marks.complete,
                    "fault": encodable(state.labels.fault),
                }
            )
        return JSONResponse({"photos": rows, "classes": self._session.classes(), "format": self._session.found.format})

    def photo(self, request: Request) -> JSONResponse:
        """One photo as it is on the disk now; boxes are suggested in it from now on."""
        number = self._number(request)
        state = self._session.read(number)
        self._teacher.look(number)
        return JSONResponse(self._told(number, state))

    async def save(self, request: Request) -> JSONResponse:
        """Save what was drawn."""
        number, sent = self._number(request), _content(await _body(request))
        drawn, marks, version = _drawn(sent), _marks(sent), sent.get("version")
        if not isinstance(version, str):
            raise ValueError(f"version: expected the one that was read, got {version!r:.80}")
        state = await run_in_threadpool(self._session.save, number, version, drawn, marks)
        self._teacher.saved(number)
        return JSONResponse(self._told(number, state))

    def picture(self, request: Request) -> Response:
        """A photo as a JPEG, in the frame of its boxes."""
        number = self._number(request)
        size = self._session.seen(number).labels.size
        if size is None:
            raise HTTPException(404, "this photo cannot be read")
        data = io.BytesIO()
        Image.fromarray(read_image(self._session.photos[number].path, size)).save(data, "jpeg", quality=_QUALITY)
        return Response(data.getvalue(), media_type="image/jpeg")

    def suggestions(self, request: Request) -> JSONResponse:
        """What is suggested in a photo by now, and whether more is to come."""
        return JSONResponse(self._suggested(self._number(request)))

    def state(self, _: Request) -> JSONResponse:
        """What the teacher does, and which photo teaches most."""
        ahead = [{"number": number, "reason": reason} for number, reason in self._teacher.next_photos()]
        return JSONResponse({**self._teacher.state(), "next": ahead})

    def conflict(self, request: Request, error: Exception) -> JSONResponse:
        """The answer to who saves labels that have changed since he read them: what they are now."""
        assert isinstance(error, ConflictError)
        told = self._told(self._number(request), error.state)
        return JSONResponse({"error": encodable(str(error)), "now": told}, 409)

    def _number(self, request: Request) -> int:
        number, count = request.path_params["number"], len(self._session.photos)
        if number >= count:
            raise HTTPException(404, f"expected a photo from 0 to {count - 1}, got {number}")
        return number

    def _told(self, number: int, state: PhotoState) -> dict[str, Any]:
        labels, marks = state.labels, state.marks
        return {
            "number": number,
            "name": printable(self._session.photos[number].image_id),
            "size": labels.size,
            "fault": encodable(labels.fault),
            "version": state.version,
            "objects": [
                {"index": place, "name": one.name, "box": one.box, "difficult": one.difficult}
                for place, one in enumerate(labels.objects, start=1)
            ],
            "complete": marks.complete,
            "rejected": [{"name": one.name, "box": one.box} for one in marks.rejected],
            **self._suggested(number),
        }

    def _suggested(self, number: int) -> dict[str, Any]:
        found = [vars(one) for one in self._teacher.suggestions(number)]
        return {"suggestions": found, "is_fresh": self._teacher.is_fresh(number)}


async def _body(request: Request) -> bytes:
    """What was sent. Raises HTTPException before more than `MAX_BYTES` of it are held."""
    parts = bytearray()
    async for part in request.stream():
        parts += part
        if len(parts) > MAX_BYTES:
            raise HTTPException(413, f"expected at most {MAX_BYTES:,} bytes, got more")
    return bytes(parts)


def _content(body: bytes) -> Mapping[str, Any]:
    try:
        text = body.decode("utf-8")
        value = json_decoder(finite=True).decode(text)
        check_depth(value, text.count("[") + text.count("{"))
    except (ValueError, RecursionError) as error:
        raise ValueError(f"expected JSON, got {json_problem(error)}") from error
    if not isinstance(value, dict):
        raise ValueError(
            f"expected an object with version, objects, complete and rejected, got {json.dumps(value)[:80]}"
        )
    return value


def _drawn(sent: Mapping[str, Any]) -> list[Drawn]:
    found = []
    for place, one in enumerate(_list(sent, "objects")):
        where = f"objects: {place}"
        index, difficult = one.get("index", 0), one.get("difficult", False)
        if type(index) is not int or index < 0 or type(difficult) is not bool:
            raise ValueError(f"{where}: expected index and difficult, got {index!r:.80} and {difficult!r:.80}")
        found.append(Drawn(index, one.get("name"), _box(one, where), difficult))
    return found


def _marks(sent: Mapping[str, Any]) -> Marks:
    complete = sent.get("complete")
    if type(complete) is not bool:
        raise ValueError(f"complete: expected true or false, got {complete!r:.80}")
    rejected = enumerate(_list(sent, "rejected"))
    return Marks(complete, tuple(Rejected(one.get("name"), _box(one, f"rejected: {place}")) for place, one in rejected))


def _list(sent: Mapping[str, Any], name: str) -> list[dict[str, Any]]:
    found = sent.get(name)
    if not isinstance(found, list) or not all(isinstance(one, dict) for one in found):
        raise ValueError(f"{name}: expected a list of boxes with names, got {found!r:.80}")
    return found


def _box(one: Mapping[str, Any], where: str) -> tuple[float, float, float, float]:
    box = one.get("box")
    if not isinstance(box, list) or len(box) != 4 or not all(type(side) in (int, float) for side in box):
        raise ValueError(f"{where}: box: expected four numbers, got {box!r:.80}")
    x1, y1, x2, y2 = box
    if max(map(abs, box)) > _LARGEST:
        raise ValueError(f"{where}: box: expected numbers of a photo, got {box!r:.80}")
    return float(x1), float(y1), float(x2), float(y2)
