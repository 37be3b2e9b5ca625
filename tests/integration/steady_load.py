"""A steady load that counts every failure: keep-alive connections, and new ones for each request.

Must not know what is done to the proxy meanwhile.
"""

import http.client
import threading
import time
from collections import Counter

PAUSE = 0.01  # seconds between two requests of one client: a machine of two cores does other work too


class SteadyLoad:
    """Clients that ask for hits and misses until `stop`; none asks again for what failed."""

    def __init__(self, port: int, kept: int = 4, fresh: int = 4) -> None:
        self.port = port
        self.done: Counter[str] = Counter()
        self.connections = 0
        self._over = threading.Event()
        self._threads = [threading.Thread(target=self._kept, args=(at,)) for at in range(kept)]
        self._threads += [threading.Thread(target=self._fresh, args=(kept + at,)) for at in range(fresh)]
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        self._over.set()
        for thread in self._threads:
            thread.join(60)

    @property
    def failed(self) -> dict[str, int]:
        return {what: count for what, count in self.done.items() if what != "200"}

    def _kept(self, at: int) -> None:
        count = 0
        while not self._over.is_set():
            connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=30)
            self.connections += 1
            try:
                while not self._over.is_set():
                    count += 1
                    if not self._ask(connection, self._path(at, count), {}):
                        break
                    time.sleep(PAUSE)
            except Exception as error:
                self.done[f"kept: {error!r}"] += 1
            finally:
                connection.close()

    def _fresh(self, at: int) -> None:
        count = 0
        while not self._over.is_set():
            connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=30)
            count += 1
            try:
                self._ask(connection, self._path(at, count), {"Connection": "close"})
            except Exception as error:
                self.done[f"fresh: {error!r}"] += 1
            finally:
                connection.close()
            time.sleep(PAUSE)

    def _path(self, at: int, count: int) -> str:
        return f"/{at}/{count}" if count % 10 == 0 else "/popular"

    def _ask(self, connection: http.client.HTTPConnection, path: str, headers: dict[str, str]) -> bool:
        """Whether the connection stays."""
        connection.request("GET", path, headers={"Host": "shop.example", **headers})
        answer = connection.getresponse()
        body = answer.read()
        whole = body.startswith(b"GET " + path.encode() + b" ")  # and what number it was is the origin's
        self.done[str(answer.status) if whole else f"{answer.status} {body[:40]!r}"] += 1
        return not answer.will_close
