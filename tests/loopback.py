"""A server on the loopback for tests of downloads."""

import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


class Server:
    """A server on the loopback that can cut connections, ignore ranges, lie about them and fail.

    files: path -> content. cut_after: bytes of a body after which the connection is cut, one for each request
    (None: not cut). ranges: whether Range is answered. shift: how far a range's answer is from what was asked.
    failures: status codes for the first requests. asked: the Range header of every request.
    """

    def __init__(self):
        self.files, self.cut_after, self.failures, self.asked = {}, [], [], []
        self.ranges, self.length, self.shift = True, True, 0
        owner = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self):
                owner.answer(self)

            def log_message(self, *_):
                pass

        self.http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.address = f"http://127.0.0.1:{self.http.server_port}"
        threading.Thread(target=self.http.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def close(self):
        self.http.shutdown()
        self.http.server_close()

    def answer(self, request):
        wanted = request.headers.get("Range")
        self.asked.append(wanted)
        content = self.files.get(request.path)
        code = self.failures.pop(0) if self.failures else 404 if content is None else 0
        if code:
            request.send_error(code)
            return
        start = int(wanted.removeprefix("bytes=").removesuffix("-")) if wanted and self.ranges else 0
        if start and start >= len(content):
            request.send_response(416)
            request.send_header("Content-Range", f"bytes */{len(content)}")
            request.end_headers()
            return
        start += self.shift if start else 0
        request.send_response(206 if start else 200)
        if start:
            request.send_header("Content-Range", f"bytes {start}-{len(content) - 1}/{len(content)}")
        if self.length:
            request.send_header("Content-Length", str(len(content) - start))
        request.end_headers()
        cut = self.cut_after.pop(0) if self.cut_after else None
        request.wfile.write(content[start:] if cut is None else content[start : start + cut])
        request.wfile.flush()
        request.close_connection = True
