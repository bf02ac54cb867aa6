"""A small hub on loopback: the few answers of the Hugging Face hub that a pull asks for, over a
folder of real files.
"""

import hashlib
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

HUB_ID = "someone/tiny-teacher"
COMMIT = "1234567890abcdef1234567890abcdef12345678"


@dataclass(slots=True)
class SmallHub:
    """`folder` is served as HUB_ID at COMMIT.

    The next `num_failures` requests for it get status 503. `listed`: what the hub says of a large
    file's sha256, where that is not the sha256 of the bytes that it serves.
    """

    folder: Path
    url: str = ""
    num_failures: int = 0
    requests: list[str] = field(default_factory=list)
    listed: dict[str, str] = field(default_factory=dict)

    def environment(self) -> dict[str, str]:
        """For a command that pulls from this hub and nowhere else."""
        return {"HF_ENDPOINT": self.url, "HF_HUB_OFFLINE": "", "NO_PROXY": "127.0.0.1"}

    def siblings(self) -> list[dict[str, object]]:
        """What the hub says of its files: those with weights have a sha256."""
        return [
            {"rfilename": file.name, "path": file.name, "type": "file"}
            | {"size": file.stat().st_size, "oid": "0" * 40, "blobId": "0" * 40}
            | self._lfs(file)
            for file in sorted(self.folder.iterdir())
        ]

    def _lfs(self, file: Path) -> dict[str, object]:
        if file.suffix != ".safetensors":
            return {}
        sha256 = self.listed.get(file.name) or hashlib.sha256(file.read_bytes()).hexdigest()
        size = file.stat().st_size
        return {"lfs": {"sha256": sha256, "oid": sha256, "size": size, "pointerSize": 130}}


@contextmanager
def small_hub(folder: Path) -> Iterator[SmallHub]:
    """The hub, served from this process while the block runs."""
    hub = SmallHub(folder)

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self._answer(with_body=True)

        def do_HEAD(self) -> None:
            self._answer(with_body=False)

        def log_message(self, format: str, *args: object) -> None:
            hub.requests.append(format % args)

        def _answer(self, *, with_body: bool) -> None:
            path = self.path.partition("?")[0]
            api, files = f"/api/models/{HUB_ID}", f"/{HUB_ID}/resolve/{COMMIT}/"
            if HUB_ID in path and hub.num_failures > 0:
                hub.num_failures -= 1
                self.send_error(503)
            elif path in (api, f"{api}/revision/{COMMIT}"):
                self._send(_json({"id": HUB_ID, "sha": COMMIT, "siblings": hub.siblings()}))
            elif path == f"{api}/tree/{COMMIT}":
                self._send(_json(hub.siblings()))
            elif path.startswith(files) and (hub.folder / path.removeprefix(files)).is_file():
                body = (hub.folder / path.removeprefix(files)).read_bytes()
                self._send(body, with_body=with_body)
            else:
                self.send_error(404)

        def _send(self, body: bytes, *, with_body: bool = True) -> None:
            self.send_response(200)
            self.send_header("Content-Length", str(len(body)))
            self.send_header("X-Repo-Commit", COMMIT)
            self.send_header("ETag", f'"{hashlib.sha256(body).hexdigest()}"')
            self.end_headers()
            if with_body:
                self.wfile.write(body)

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        hub.url = f"http://127.0.0.1:{server.server_address[1]}"
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        try:
            yield hub
        finally:
            server.shutdown()
            thread.join()


def _json(value: object) -> bytes:
    return json.dumps(value).encode()
