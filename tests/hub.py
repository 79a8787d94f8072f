"""A stand-in for the Hugging Face Hub on loopback, with one repository per thing that can go
wrong. Used with HF_ENDPOINT."""

import json
import re
import threading
from contextlib import contextmanager
from hashlib import sha256
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

REFUSALS = {  # repository -> status, the Hub's own word for it
    "test/gated": (403, "GatedRepo"),
    "test/private": (401, "RepoNotFound"),
}
COMMIT = "0" * 40


@contextmanager
def serve(folder: Path):
    """Serves the files of `folder`/OWNER/NAME, of data sets those of `folder`/datasets/OWNER/NAME;
    yields the address and the list of requests."""
    requests = []

    class Handler(BaseHTTPRequestHandler):
        def do_HEAD(self):
            self.answer()

        def do_GET(self):
            self.answer()

        def answer(self):
            requests.append((self.command, self.path, self.headers.get("Range")))
            if api := re.fullmatch(r"/api/(.*)/(revision|tree)/.*", self.path):
                return self.describe(folder / api[1].removeprefix("models/"), api[2])
            repository, _, name = (
                self.path.lstrip("/").replace(COMMIT, "main").partition("/resolve/main/")
            )
            path = folder / repository / name
            if repository in REFUSALS:
                return self.refuse(*REFUSALS[repository])
            if not path.is_file():
                return self.refuse(404, "EntryNotFound")
            body = path.read_bytes()
            start = int((self.headers.get("Range") or "bytes=0-")[6:].split("-")[0])
            self.send_response(206 if start else 200)
            self.send_header("ETag", f'"{sha256(body).hexdigest()}"')
            self.send_header("X-Repo-Commit", COMMIT)
            self.send_header("Content-Length", str(len(body) - start))
            if start:
                self.send_header("Content-Range", f"bytes {start}-{len(body) - 1}/{len(body)}")
            self.end_headers()
            if self.command == "GET":
                breaks = repository == "test/breaks" and not start
                self.wfile.write(body[start : len(body) // 2 if breaks else None])

        def describe(self, root, what):
            """A repository's commit, or its files."""
            if not root.is_dir():
                return self.refuse(404, "RepoNotFound")
            files = [path for path in sorted(root.rglob("*")) if path.is_file()]
            body = {"id": f"{root.parent.name}/{root.name}", "sha": COMMIT, "siblings": []}
            if what == "tree":
                body = [
                    {
                        "type": "file",
                        "path": path.relative_to(root).as_posix(),
                        "size": path.stat().st_size,
                        "oid": sha256(path.read_bytes()).hexdigest()[:40],
                    }
                    for path in files
                ]
            self.send_response(200)
            self.end_headers()
            self.wfile.write(json.dumps(body).encode())

        def refuse(self, status, reason):
            self.send_response(status)
            self.send_header("X-Error-Code", reason)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *_):
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}", requests
    finally:
        server.shutdown()
