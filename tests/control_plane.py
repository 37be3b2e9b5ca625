"""A control plane for tests: a URL that holds a configuration, with an ETag, and counts who asks."""

import hashlib
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


class ControlPlane:
    """Serves `text` at /edge.yaml; `asked` holds the status of each answer."""

    def __init__(self, text: str = "") -> None:
        plane = self
        self.text = text
        self.cache_control: str | None = None
        self.status = 200
        self.length = True
        self.fields: dict[str, str] = {}
        self.asked: list[int] = []
        self.authorization: list[str | None] = []
        self.hang = threading.Event()
        self.hang.set()

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:
                plane.hang.wait(30)
                plane.authorization.append(self.headers["Authorization"])
                body = plane.text.encode()
                tag = f'"{hashlib.sha256(body).hexdigest()[:8]}"'
                status = plane.status
                if status == 200 and self.headers["If-None-Match"] == tag:
                    status, body = 304, b""
                plane.asked.append(status)
                self.send_response(status)
                self.send_header("ETag", tag)
                if plane.cache_control is not None:
                    self.send_header("Cache-Control", plane.cache_control)
                for name, value in plane.fields.items():
                    self.send_header(name, value)
                self.close_connection = not plane.length
                if status != 304 and plane.length:
                    self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *args: object) -> None:
                pass

        class Server(ThreadingHTTPServer):
            daemon_threads = True

            def handle_error(self, *args: object) -> None:
                pass

        self._server = Server(("127.0.0.1", 0), Handler)
        self.address = f"127.0.0.1:{self._server.server_address[1]}"
        self.url = f"http://{self.address}/edge.yaml"
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,))
        self._thread.start()

    def close(self) -> None:
        self.hang.set()
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()
