"""download.py against a real server on loopback and a stand-in for the Hugging Face Hub."""

import errno
import io
import os
import re
import shutil
import socket
import struct
import subprocess
import sys
import threading
import urllib.request
from contextlib import nullcontext
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import hub
import pytest
from conftest import refused

from trajeval import download, terminal
from trajeval import files as files_module
from trajeval.terminal import UserError

ROOT = Path(download.__file__).parent.parent
URL = "https://example.invalid/howto/published.pth"
BODY = bytes(range(256)) * 1200  # 307,200 bytes
HTML = b"\n<!DOCTYPE html><html><body>Please log in to the network</body></html>"
RELEASE = threading.Event()  # ends the stalled answers when the tests are over


# --- a server with one address per thing that can go wrong


class Handler(BaseHTTPRequestHandler):
    def do_GET(self):
        getattr(self, "serve_" + self.path.split("/")[1])()

    def reply(self, body, length=None, status=200, kind="application/octet-stream"):
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body) if length is None else length))
        self.end_headers()
        self.wfile.write(body)

    def serve_good(self):
        self.reply(BODY)

    def serve_unsized(self):
        self.send_response(200)
        self.end_headers()
        self.wfile.write(BODY)

    def serve_chunked(self):
        self.protocol_version = "HTTP/1.1"
        self.send_response(200)
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        for i in range(0, len(BODY), 100_000):
            block = BODY[i : i + 100_000]
            self.wfile.write(b"%x\r\n%b\r\n" % (len(block), block))
        self.wfile.write(b"0\r\n\r\n")
        self.close_connection = True

    def serve_brokenchunk(self):
        self.protocol_version = "HTTP/1.1"
        self.send_response(200)
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        self.wfile.write(b"%x\r\n%b" % (len(BODY), BODY[:1000]))
        self.close_connection = True

    def serve_redirect(self):
        self.send_response(302)
        self.send_header("Location", "/good/file.bin")
        self.end_headers()

    def serve_loop(self):
        self.send_response(302)
        self.send_header("Location", self.path)
        self.end_headers()

    def serve_status(self):
        self.reply(HTML, status=int(self.path.split("/")[2]), kind="text/html")

    def serve_html(self):
        self.reply(HTML, kind="text/html")

    def serve_pointer(self):
        self.reply(b"version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 1\n")

    def serve_empty(self):
        self.reply(b"")

    def serve_short(self):
        self.reply(BODY[:100_000], length=len(BODY))

    def serve_unsizedshort(self):
        self.send_response(200)
        self.end_headers()
        self.wfile.write(BODY[:100_000])

    def serve_smaller(self):
        self.reply(BODY[:-1])

    def serve_larger(self):
        self.reply(BODY + b"x")

    def serve_endless(self):
        self.send_response(200)
        self.end_headers()
        try:
            while not RELEASE.is_set():
                self.wfile.write(BODY)
        except OSError:
            pass  # the client has gone, as it should

    def serve_reset(self):
        self.reply(BODY[:100_000], length=len(BODY))
        self.wfile.flush()
        linger = struct.pack("ii", 1, 0)  # closing now sends RST
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
        self.connection.close()

    def serve_silent(self):
        RELEASE.wait(20)

    def serve_stall(self):
        self.reply(BODY[:100_000], length=len(BODY))
        self.wfile.flush()
        RELEASE.wait(20)

    def serve_garbage(self):
        self.wfile.write(b"no HTTP at all\r\n\r\n")

    def log_message(self, *args):
        pass


class Server(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, request, client_address):
        pass  # broken connections are the point


@pytest.fixture(scope="module")
def server():
    server = Server(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    RELEASE.set()
    server.shutdown()
    server.server_close()
    thread.join()


@pytest.fixture(autouse=True)
def loopback_only(monkeypatch):
    """No test leaves the machine: other addresses fail, and so does a proxy that were used."""
    for name in ("http_proxy", "https_proxy", "all_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
        monkeypatch.setenv(name.upper(), "http://127.0.0.1:9")
    for name in ("no_proxy", "NO_PROXY"):
        monkeypatch.setenv(name, "127.0.0.1,nowhere.invalid")
    real = socket.getaddrinfo

    def resolve(host, *args, **kwargs):
        if host != "127.0.0.1":
            raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")
        return real(host, *args, **kwargs)

    monkeypatch.setattr(socket, "getaddrinfo", resolve)


def files(folder):
    return sorted(path.name for path in folder.iterdir())


# --- fetch


@pytest.mark.parametrize("case", ["good", "unsized", "chunked", "redirect"])
def test_downloads_and_keeps(server, tmp_path, capsys, case):
    path = tmp_path / "new" / "folder" / "file.bin"
    download.fetch(path, f"{server}/{case}/file.bin", len(BODY))
    assert path.read_bytes() == BODY
    assert files(path.parent) == ["file.bin"]
    said = capsys.readouterr()
    assert said.out == ""
    assert said.err == f"downloading {server}/{case}/file.bin to {path} (0.3 MB)\n"

    download.fetch(path, f"{server}/status/500", len(BODY))  # there: the server is not asked
    assert capsys.readouterr() == ("", "")


def test_takes_a_path_as_text(server, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    download.fetch("file.bin", f"{server}/good/file.bin", len(BODY))
    assert files(tmp_path) == ["file.bin"]


def test_others_may_read_the_download(server, tmp_path):
    old = os.umask(0o022)
    try:
        download.fetch(tmp_path / "file.bin", f"{server}/good/file.bin", len(BODY))
    finally:
        os.umask(old)
    assert (tmp_path / "file.bin").stat().st_mode & 0o777 == 0o644


FAILURES = {
    "status/403/file.bin": "the server answered 403 Forbidden",
    "status/404/file.bin": "the server answered 404 Not Found",
    "status/500/file.bin": "the server answered 500 Internal Server Error",
    "status/204/file.bin": "the server offers 0 bytes, and the published file has 307,200",
    "loop/file.bin": "the server answered 302",
    "html/file.bin": "the server sent a web page (HTML)",
    "pointer/file.bin": "the server sent a git-LFS pointer",
    "empty/file.bin": "the server offers 0 bytes, and the published file has 307,200",
    "short/file.bin": "the connection ended after 100,000 of 307,200 bytes",
    "unsizedshort/file.bin": "the connection ended after 100,000 of 307,200 bytes",
    "brokenchunk/file.bin": "the connection broke after 1,000 of 307,200 bytes",
    "smaller/file.bin": "the server offers 307,199 bytes, and the published file has 307,200",
    "larger/file.bin": "the server offers 307,201 bytes, and the published file has 307,200",
    "endless/file.bin": "the server sends more than the 307,200 bytes expected",
    "silent/file.bin": "the server sent nothing for 0.3 seconds",
    "stall/file.bin": "of 307,200 bytes (the server sent nothing for 0.3 seconds)",
    "reset/file.bin": "the connection broke after",
    "garbage/file.bin": "no HTTP at all",
}


@pytest.mark.parametrize("case", FAILURES)
def test_failed_download(server, tmp_path, monkeypatch, case):
    if case.startswith(("silent", "stall")):
        monkeypatch.setattr(download, "TIMEOUT", 0.3)
    path, url = tmp_path / "file.bin", f"{server}/{case}"
    message = refused(download.fetch, path, url, len(BODY))
    assert message.startswith(f"{path} is missing and could not be downloaded: ")
    assert FAILURES[case] in message
    assert message.endswith(
        f"\n  published at: {url}\n  get it with:  curl -fL --create-dirs -o {path} {url}"
    )
    assert files(tmp_path) == []


def test_connection_refused(tmp_path):
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        port = closed.getsockname()[1]
    message = refused(download.fetch, tmp_path / "file.bin", f"http://127.0.0.1:{port}/file.bin", 9)
    assert "the connection was refused" in message
    assert files(tmp_path) == []


def test_name_does_not_resolve(tmp_path):
    message = refused(download.fetch, tmp_path / "file.bin", "http://nowhere.invalid/file.bin", 9)
    assert "the server's name was not found (is there a network?)" in message
    assert files(tmp_path) == []


def test_proxy_of_the_environment_is_used(tmp_path):
    urllib.request.install_opener(None)  # urllib keeps the proxies of its first call
    message = refused(download.fetch, tmp_path / "file.bin", "http://example.invalid/file.bin", 9)
    assert "the connection was refused" in message  # by the proxy of the fixture: port 9
    assert files(tmp_path) == []


def test_certificate_that_cannot_be_checked(tmp_path, monkeypatch):
    import ssl
    import urllib.error
    import urllib.request

    def urlopen(*args, **kwargs):
        raise urllib.error.URLError(ssl.SSLCertVerificationError(1, "certificate verify failed"))

    monkeypatch.setattr(urllib.request, "urlopen", urlopen)
    assert "certificate verify failed" in refused(download.fetch, tmp_path / "f", f"{URL}/f", 9)
    assert files(tmp_path) == []


def test_ctrl_c_passes_on_and_leaves_nothing(server, tmp_path, monkeypatch):
    def advance(n_bytes):
        assert [name for name in files(tmp_path) if name.endswith(".part")]
        raise KeyboardInterrupt

    monkeypatch.setattr(download, "progress", lambda *_: nullcontext(advance))
    with pytest.raises(KeyboardInterrupt):
        download.fetch(tmp_path / "file.bin", f"{server}/good/file.bin", len(BODY))
    assert files(tmp_path) == []


@pytest.mark.skipif(os.name == "nt", reason="signals of POSIX")
def test_a_real_ctrl_c(server, tmp_path):
    """SIGINT to a process whose download has stalled."""
    import signal
    import time

    code = (
        "import signal, sys; from trajeval import download; "
        "signal.signal(signal.SIGINT, signal.default_int_handler); "  # a background job ignores it
        "download.fetch(sys.argv[1], sys.argv[2], int(sys.argv[3]))"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", code, tmp_path / "file.bin", f"{server}/stall/f", str(len(BODY))],
        cwd=ROOT,
        stderr=subprocess.PIPE,
        text=True,
    )
    deadline = time.monotonic() + 15
    while not files(tmp_path) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert files(tmp_path)
    process.send_signal(signal.SIGINT)
    _, said = process.communicate(timeout=15)
    assert said.rstrip().endswith("KeyboardInterrupt")
    assert files(tmp_path) == []


def test_two_downloads_at_once(server, tmp_path):
    path, errors = tmp_path / "file.bin", []

    def fetch():
        try:
            download.fetch(path, f"{server}/good/file.bin", len(BODY))
        except UserError as error:
            errors.append(error)

    threads = [threading.Thread(target=fetch) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert errors == []
    assert path.read_bytes() == BODY
    assert files(tmp_path) == ["file.bin"]


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EACCES, errno.EROFS])
@pytest.mark.parametrize("step", ["open", "write", "replace"])
def test_disk_that_cannot_be_written(server, tmp_path, monkeypatch, number, step):
    def fail(*args, **kwargs):
        raise OSError(number, os.strerror(number))

    class Unwritable(io.FileIO):
        write = fail

    def open_(name, mode):
        return fail() if step == "open" else Unwritable(name, mode)

    if step == "replace":
        monkeypatch.setattr(os, "replace", fail)
    else:
        monkeypatch.setattr(files_module, "open", open_, raising=False)
    path, url = tmp_path / "file.bin", f"{server}/good/file.bin"
    message = refused(download.fetch, path, url, len(BODY))
    assert message.startswith(f"{path} cannot be written: {os.strerror(number)}. Free some space")
    assert message.endswith(f"curl -fL --create-dirs -o {path} {url}")
    assert files(tmp_path) == []


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="needs /dev/full")
def test_full_disk(server, tmp_path, monkeypatch):
    real = open
    monkeypatch.setattr(files_module, "open", lambda *_: real("/dev/full", "wb"), raising=False)
    message = refused(download.fetch, tmp_path / "f.bin", f"{server}/good/f.bin", len(BODY))
    assert "cannot be written: No space left on device" in message
    assert files(tmp_path) == []


def test_folder_that_is_a_file(server, tmp_path):
    (tmp_path / "checkpoints").write_text("")
    path = tmp_path / "checkpoints" / "file.bin"
    assert "cannot be written" in refused(download.fetch, path, f"{server}/good/file.bin", 9)
    assert files(tmp_path) == ["checkpoints"]


@pytest.mark.parametrize(
    ("content", "what"),
    [
        (BODY[:1000], "it is damaged, cut short or another file"),
        (BODY + b"more", "it is damaged, cut short or another file"),
        (HTML, "it is a web page (HTML)"),
        (b"version https://git-lfs.github.com/spec/v1\n", "it is a git-LFS pointer"),
    ],
)
def test_existing_file_of_another_size_is_kept(server, tmp_path, content, what):
    path, url = tmp_path / "file.bin", f"{server}/good/file.bin"
    path.write_bytes(content)
    message = refused(download.fetch, path, url, len(BODY))
    sizes = f"{path} has {len(content):,} bytes, and the published file has {len(BODY):,}: "
    assert message.startswith(sizes + what)
    assert "delete it and run again" in message
    assert message.endswith(f"curl -fL --create-dirs -o {path} {url}")
    assert path.read_bytes() == content
    assert files(tmp_path) == ["file.bin"]


def test_existing_folder_empty_file_or_broken_link(server, tmp_path):
    url = f"{server}/good/file.bin"
    (tmp_path / "file.bin").mkdir()
    assert "is a folder, not a file" in refused(download.fetch, tmp_path / "file.bin", url, 9)
    (tmp_path / "empty").write_bytes(b"")
    assert "is empty" in refused(download.fetch, tmp_path / "empty", url, 9)
    (tmp_path / "link").symlink_to(tmp_path / "gone")
    assert "is a broken symbolic link" in refused(download.fetch, tmp_path / "link", url, 9)
    assert files(tmp_path) == ["empty", "file.bin", "link"]


def test_command_is_quoted(tmp_path):
    path = tmp_path / "my weights" / "published.pth"
    message = refused(download.first_bytes, path, URL)
    assert message.endswith(f"get it with:  curl -fL --create-dirs -o '{path}' {URL}")


def test_progress_lines_when_piped(server, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(terminal, "pause_after", lambda seconds: 0)
    monkeypatch.setattr(download, "BLOCK", 100_000)
    download.fetch(tmp_path / "file.bin", f"{server}/good/file.bin", len(BODY))
    lines = capsys.readouterr().err.splitlines()
    assert all(re.fullmatch(r"downloading file.bin: \d+%", line) for line in lines[1:])
    assert lines[-1] == "downloading file.bin: 100%"


def test_progress_bar_on_a_terminal(server, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    download.fetch(tmp_path / "file.bin", f"{server}/good/file.bin", len(BODY))
    said = capsys.readouterr()
    assert "file.bin: 100%" in said.err
    assert "307k/307k" in said.err
    assert said.out == ""


@pytest.mark.parametrize("path", ["", "/", ".", "..", "folder/"])
def test_odd_paths_have_a_message(path, in_empty_folder):
    assert "curl" in download.by_hand(path, URL)
    assert "published.pth https" in download.by_hand(path, URL)
    assert refused(download.first_bytes, path, URL).endswith(f"published.pth {URL}")


def test_names_cannot_control_the_terminal(server, in_empty_folder, capsys):
    name = "\x1b[31mred" + "x" * 5000
    for call in (download.first_bytes, download.by_hand):
        text = call(name, URL) if call is download.by_hand else refused(call, name, URL)
        assert "\x1b" not in text and len(text) < 3000
    download.fetch("\x1b[31mred.bin", f"{server}/good/file.bin", len(BODY))
    assert "\x1b" not in capsys.readouterr().err


@pytest.mark.skipif(os.name == "nt", reason="named pipes of POSIX")
def test_a_pipe_is_not_waited_for(tmp_path):
    os.mkfifo(tmp_path / "file.bin")
    message = refused(download.fetch, tmp_path / "file.bin", URL, 9)
    assert message.startswith(f"{tmp_path / 'file.bin'} is not a regular file.")


# --- where files are


def test_a_checkpoint_in_the_current_folder_comes_first(in_empty_folder):
    Path("checkpoints").mkdir()
    Path("checkpoints/w.pth").symlink_to("gone")  # which is an error, not another place
    assert download.checkpoint_path("w.pth") == Path("checkpoints/w.pth")


def test_checkpoints_beside_the_scripts(in_empty_folder, monkeypatch):
    beside = ROOT / "checkpoints" / "w.pth"
    assert download.checkpoint_path("w.pth") == beside
    Path("checkpoints").mkdir()
    assert download.checkpoint_path("w.pth") == beside
    monkeypatch.chdir(ROOT)
    assert download.checkpoint_path("w.pth") == Path("checkpoints/w.pth")


def test_checkpoints_of_an_installed_package(in_empty_folder, tmp_path, monkeypatch):
    monkeypatch.setattr(download, "project_folder", lambda: None)
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))
    path = download.checkpoint_path("w.pth")
    assert path.parts[-2:] == ("checkpoints", "w.pth") and "trajectory-heatmaps" in path.parts
    with pytest.raises(UserError, match="prompts/x.txt is only in the project's repository"):
        download.project_file("prompts/x.txt")
    assert not any(tmp_path.iterdir())


def test_checkpoints_of_a_user_without_a_home(in_empty_folder, no_home, monkeypatch):
    monkeypatch.setattr(download, "project_folder", lambda: None)
    assert download.checkpoint_path("w.pth") == Path("checkpoints/w.pth")


def test_files_of_the_project(in_empty_folder, monkeypatch):
    relative = "trajectories_lists/cheetah.txt"
    assert download.project_file(relative) == ROOT / relative
    assert download.project_file(relative).is_file()
    monkeypatch.chdir(ROOT)
    assert download.project_file(relative) == Path(relative)


# --- the Hugging Face Hub


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (socket.gaierror(-2, "Name or service not known"), "the server's name was not found"),
        (ConnectionRefusedError(), "the connection was refused"),
        (TimeoutError(), "the server sent nothing"),
        (ValueError("odd \x1b[31m"), "ValueError: odd"),
    ],
)
def test_reasons_of_a_failed_hub_download(error, reason):
    def get(name):
        try:
            raise error
        except Exception:  # as libraries do it, around each other
            raise RuntimeError(f"no {name}") from error

    message = refused(download.from_hub, get, "wrapped", what="w.pth of a/b")
    assert message.startswith(f"w.pth of a/b could not be downloaded: {reason}")
    assert "\x1b" not in message


def fetched(name, repository, address, cache, before=""):
    """Runs fetch_from_hub in a new process, as the Hub's settings are read at import. before: code
    that is run first."""
    code = before + (
        "import sys; from trajeval import download\n"
        "from trajeval.terminal import UserError\n"
        "try: print(download.fetch_from_hub(*sys.argv[1:]))\n"
        "except UserError as error: sys.exit(str(error))"
    )
    environment = {key: value for key, value in os.environ.items() if key[:3] != "HF_"}
    environment |= {"HF_ENDPOINT": address, "HF_HOME": str(cache)}
    return subprocess.run(
        [sys.executable, "-c", code, repository, name, "MIT"],
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
        timeout=120,
    )


@pytest.mark.parametrize("repository", ["test/good", "test/breaks"])
def test_a_file_of_the_hub_is_fetched_once(tmp_path, repository):
    folder = tmp_path / "served" / repository
    folder.mkdir(parents=True)
    body = BODY * 80  # 24.6 MB: what broke off within 10 MB is fetched anew
    (folder / "w.bin").write_bytes(body)
    with hub.serve(tmp_path / "served") as (address, requests):
        for said in ("downloading w.bin of", ""):
            done = fetched("w.bin", repository, address, tmp_path / "cache")
            assert done.returncode == 0, done.stderr
            assert Path(done.stdout.strip()).read_bytes() == body
            assert done.stderr.count("(licence MIT)") == bool(said)
        resumed = [start for method, _, start in requests if method == "GET" and start]
        assert len(resumed) == (repository == "test/breaks")


@pytest.mark.parametrize(
    ("repository", "reason"),
    [
        ("test/gated", "its owners ask for your agreement"),
        ("test/private", "the Hub has no such repository, or not for you"),
        ("test/empty", "the repository has no such file"),
    ],
)
def test_refusals_of_the_hub(tmp_path, repository, reason):
    with hub.serve(tmp_path) as (address, _):
        done = fetched("w.bin", repository, address, tmp_path / "cache")
    assert done.returncode == 1 and "Traceback" not in done.stderr
    assert f"w.bin of {repository} could not be downloaded: {reason}" in done.stderr
    assert f"published at: https://huggingface.co/{repository}" in done.stderr
    assert not list(tmp_path.rglob("w.bin"))


def test_an_unreachable_hub_is_reported_in_one_line(tmp_path):
    """Its library retries five times and logs two lines each time; it does not wait here."""
    code = "import time; time.sleep = lambda _: None\n"
    done = fetched("w.bin", "owner/name", "http://127.0.0.1:9", tmp_path, code)
    assert done.returncode == 1
    assert done.stderr.splitlines() == [
        "downloading w.bin of owner/name (licence MIT)",
        "no answer from the Hugging Face Hub, trying again for up to a minute ...",
        "w.bin of owner/name could not be downloaded: the connection was refused",
        "  published at: https://huggingface.co/owner/name",
        "  get it with:  hf download owner/name w.bin --local-dir checkpoints",
    ]


def test_other_warnings_are_shown_after_a_download():
    from huggingface_hub import logging

    (handler,) = logging.get_logger().handlers
    before = list(handler.filters)
    assert download.from_hub(lambda: len(handler.filters), what="it") == len(before) + 1
    assert handler.filters == before


@pytest.mark.skipif(not shutil.which("curl"), reason="needs curl")
def test_the_command_in_the_message_works(server, tmp_path):
    path = tmp_path / "my file.bin"
    message = refused(download.first_bytes, path, f"{server}/redirect/my file.bin")
    assert "curl" in message
    message = refused(download.first_bytes, path, f"{server}/redirect/file.bin")
    command = message.rpartition("get it with:  ")[2]
    subprocess.run(command + " -s", shell=True, check=True, timeout=20)
    assert (tmp_path / "file.bin").read_bytes() == BODY
