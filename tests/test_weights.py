"""weights.py against a real server on loopback, and against every kind of wrong file."""

import errno
import hashlib
import io
import os
import pickle
import re
import shutil
import socket
import struct
import subprocess
import sys
import tarfile
import tempfile
import threading
import urllib.request
import zipfile
from collections import OrderedDict
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import hub
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.torch import save_file

from trajeval import weights
from trajeval.terminal import UserError

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


def refused(call, *args, **kwargs):
    """The message of the UserError that a call must raise."""
    with pytest.raises(UserError) as caught:
        call(*args, **kwargs)
    return str(caught.value)


# --- fetch


@pytest.mark.parametrize("case", ["good", "unsized", "chunked", "redirect"])
def test_downloads_and_keeps(server, tmp_path, capsys, case):
    path = tmp_path / "new" / "folder" / "file.bin"
    weights.fetch(path, f"{server}/{case}/file.bin", len(BODY))
    assert path.read_bytes() == BODY
    assert files(path.parent) == ["file.bin"]
    said = capsys.readouterr()
    assert said.out == ""
    assert said.err == f"downloading {server}/{case}/file.bin to {path} (0.3 MB)\n"

    weights.fetch(path, f"{server}/status/500", len(BODY))  # there: the server is not asked
    assert capsys.readouterr() == ("", "")


def test_takes_a_path_as_text(server, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    weights.fetch("file.bin", f"{server}/good/file.bin", len(BODY))
    assert files(tmp_path) == ["file.bin"]


def test_others_may_read_the_download(server, tmp_path):
    old = os.umask(0o022)
    try:
        weights.fetch(tmp_path / "file.bin", f"{server}/good/file.bin", len(BODY))
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
        monkeypatch.setattr(weights, "TIMEOUT", 0.3)
    path, url = tmp_path / "file.bin", f"{server}/{case}"
    message = refused(weights.fetch, path, url, len(BODY))
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
    message = refused(weights.fetch, tmp_path / "file.bin", f"http://127.0.0.1:{port}/file.bin", 9)
    assert "the connection was refused" in message
    assert files(tmp_path) == []


def test_name_does_not_resolve(tmp_path):
    message = refused(weights.fetch, tmp_path / "file.bin", "http://nowhere.invalid/file.bin", 9)
    assert "the server's name was not found (is there a network?)" in message
    assert files(tmp_path) == []


def test_proxy_of_the_environment_is_used(tmp_path):
    urllib.request.install_opener(None)  # urllib keeps the proxies of its first call
    message = refused(weights.fetch, tmp_path / "file.bin", "http://example.invalid/file.bin", 9)
    assert "the connection was refused" in message  # by the proxy of the fixture: port 9
    assert files(tmp_path) == []


def test_certificate_that_cannot_be_checked(tmp_path, monkeypatch):
    import ssl
    import urllib.error
    import urllib.request

    def urlopen(*args, **kwargs):
        raise urllib.error.URLError(ssl.SSLCertVerificationError(1, "certificate verify failed"))

    monkeypatch.setattr(urllib.request, "urlopen", urlopen)
    assert "certificate verify failed" in refused(weights.fetch, tmp_path / "f", f"{URL}/f", 9)
    assert files(tmp_path) == []


def test_ctrl_c_passes_on_and_leaves_nothing(server, tmp_path, monkeypatch):
    def interrupted(blocks, name, n_bytes):
        yield next(blocks)
        assert [name for name in files(tmp_path) if name.endswith(".part")]
        raise KeyboardInterrupt

    monkeypatch.setattr(weights, "_with_progress", interrupted)
    with pytest.raises(KeyboardInterrupt):
        weights.fetch(tmp_path / "file.bin", f"{server}/good/file.bin", len(BODY))
    assert files(tmp_path) == []


@pytest.mark.skipif(os.name == "nt", reason="signals of POSIX")
def test_a_real_ctrl_c(server, tmp_path):
    """SIGINT to a process whose download has stalled."""
    import signal
    import time

    code = (
        "import signal, sys; from trajeval import weights; "
        "signal.signal(signal.SIGINT, signal.default_int_handler); "  # a background job ignores it
        "weights.fetch(sys.argv[1], sys.argv[2], int(sys.argv[3]))"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", code, tmp_path / "file.bin", f"{server}/stall/f", str(len(BODY))],
        cwd=Path(weights.__file__).parent.parent,
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

    def download():
        try:
            weights.fetch(path, f"{server}/good/file.bin", len(BODY))
        except UserError as error:
            errors.append(error)

    threads = [threading.Thread(target=download) for _ in range(8)]
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
        monkeypatch.setattr(weights.os, "replace", fail)
    else:
        monkeypatch.setattr(weights, "open", open_, raising=False)
    path, url = tmp_path / "file.bin", f"{server}/good/file.bin"
    message = refused(weights.fetch, path, url, len(BODY))
    assert message.startswith(f"{path} cannot be written: {os.strerror(number)}. Make room")
    assert message.endswith(f"curl -fL --create-dirs -o {path} {url}")
    assert files(tmp_path) == []


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="needs /dev/full")
def test_full_disk(server, tmp_path, monkeypatch):
    real = open
    monkeypatch.setattr(weights, "open", lambda name, mode: real("/dev/full", "wb"), raising=False)
    message = refused(weights.fetch, tmp_path / "f.bin", f"{server}/good/f.bin", len(BODY))
    assert "cannot be written: No space left on device" in message
    assert files(tmp_path) == []


def test_folder_that_is_a_file(server, tmp_path):
    (tmp_path / "checkpoints").write_text("")
    path = tmp_path / "checkpoints" / "file.bin"
    assert "cannot be written" in refused(weights.fetch, path, f"{server}/good/file.bin", 9)
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
    message = refused(weights.fetch, path, url, len(BODY))
    sizes = f"{path} has {len(content):,} bytes, and the published file has {len(BODY):,}: "
    assert message.startswith(sizes + what)
    assert "delete it and run again" in message
    assert message.endswith(f"curl -fL --create-dirs -o {path} {url}")
    assert path.read_bytes() == content
    assert files(tmp_path) == ["file.bin"]


def test_existing_folder_empty_file_or_broken_link(server, tmp_path):
    url = f"{server}/good/file.bin"
    (tmp_path / "file.bin").mkdir()
    assert "is a folder, not a file" in refused(weights.fetch, tmp_path / "file.bin", url, 9)
    (tmp_path / "empty").write_bytes(b"")
    assert "is empty" in refused(weights.fetch, tmp_path / "empty", url, 9)
    (tmp_path / "link").symlink_to(tmp_path / "gone")
    assert "is a link to nowhere" in refused(weights.fetch, tmp_path / "link", url, 9)
    assert files(tmp_path) == ["empty", "file.bin", "link"]


def test_command_is_quoted(tmp_path):
    path = tmp_path / "my weights" / "published.pth"
    message = refused(weights.load_state_dict, path, URL)
    assert message.endswith(f"get it with:  curl -fL --create-dirs -o '{path}' {URL}")


def test_progress_lines_when_piped(server, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(weights, "PROGRESS_EVERY", 0)
    monkeypatch.setattr(weights, "BLOCK", 100_000)
    weights.fetch(tmp_path / "file.bin", f"{server}/good/file.bin", len(BODY))
    lines = capsys.readouterr().err.splitlines()
    assert all(re.fullmatch(r"downloading file.bin: \d+%", line) for line in lines[1:])
    assert lines[-1] == "downloading file.bin: 100%"


def test_progress_bar_on_a_terminal(server, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    weights.fetch(tmp_path / "file.bin", f"{server}/good/file.bin", len(BODY))
    said = capsys.readouterr()
    assert "file.bin: 100%" in said.err
    assert "307k/307k" in said.err
    assert said.out == ""


# --- reading


class Bomb:
    """Pickles to a call that writes a file."""

    def __init__(self, marker):
        self.marker = str(marker)

    def __reduce__(self):
        return os.mkdir, (self.marker,)


def tiny_network():
    torch.manual_seed(0)
    return torch.nn.Sequential(torch.nn.Conv1d(2, 3, 1), torch.nn.BatchNorm1d(3))


def save(state_dict, path, form):
    if form == "safetensors":
        save_file(state_dict, path)
    else:
        torch.save(state_dict, path, _use_new_zipfile_serialization=form == "new")


FORMS = ["old", "new", "safetensors"]
SHAPES = {"table": (50, 7), "weight": (3, 2, 5), "bias": (3,), "scale": ()}


@pytest.mark.parametrize("extension", [".pth", ".safetensors", ".bin", ""])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16])
@pytest.mark.parametrize("form", FORMS)
def test_reads_every_format_whatever_the_extension(tmp_path, form, dtype, extension):
    expected = tiny_network().to(dtype).state_dict()
    path = tmp_path / f"file{extension}"
    save(expected, path, form)
    found = weights.load_state_dict(path)
    assert type(found) is dict
    assert found.keys() == expected.keys()
    for name, value in expected.items():
        assert found[name].dtype == value.dtype
        assert found[name].device.type == "cpu"
        assert torch.equal(found[name], value)
    weights.load_into(tiny_network().to(dtype), found, path)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16])
@pytest.mark.parametrize("form", FORMS)
def test_values_are_found_in_the_file(tmp_path, form, dtype):
    path = tmp_path / "file"
    torch.manual_seed(0)
    state = {f"0.{name}": torch.randn(shape).to(dtype) for name, shape in SHAPES.items()}
    save(state, path, form)
    wanted = {name: value.float().numpy() for name, value in state.items()}
    places = weights.places_of(wanted, path)
    found = weights.values_at(places, path)
    assert found.keys() == wanted.keys()
    for name, value in found.items():
        assert value.dtype == np.float32 and np.array_equal(value, wanted[name])
    path.write_bytes(path.read_bytes()[: max(offset for _, offset, _ in places.values())])
    with pytest.raises(ValueError):
        weights.values_at(places, path)


@pytest.mark.parametrize("form", FORMS)
def test_values_of_another_type_are_not_found_in_the_file(tmp_path, form):
    path = tmp_path / "file"
    torch.manual_seed(0)
    state = {name: torch.randn(shape) for name, shape in SHAPES.items()}
    save({name: value.double() for name, value in state.items()}, path, form)
    assert weights.places_of({name: value.numpy() for name, value in state.items()}, path) is None


def test_reads_without_a_warning(tmp_path, recwarn):
    for form in FORMS:
        save(tiny_network().state_dict(), tmp_path / form, form)
        weights.load_state_dict(tmp_path / form)
    assert [str(w.message) for w in recwarn] == []


def make_zip(path):
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("readme.txt", "hello")


def make_torchscript(path):
    with zipfile.ZipFile(path, "w") as archive:
        for name in ("version", "data.pkl", "constants.pkl"):
            archive.writestr(f"net/{name}", "3")


def make_tar(path):
    with tarfile.open(path, "w") as archive:
        archive.add(__file__)


def make_gzip(path):
    with tarfile.open(path, "w:gz") as archive:
        archive.add(__file__)


def make_dictionary(path):
    with open(path, "wb") as file:
        np.save(file, np.array(["open", "door"]))


def make_nested(path):
    torch.save({"epoch": 3, "state_dict": tiny_network().state_dict()}, path)


def make_half_safetensors(path):
    save_file(tiny_network().state_dict(), path)
    path.write_bytes(path.read_bytes()[:-1])


def cut(form, share):
    def make(path):
        save(tiny_network().state_dict(), path, form)
        path.write_bytes(path.read_bytes()[: int(path.stat().st_size * share)])

    return make


def content(data):
    return lambda path: path.write_bytes(data)


def saved(thing):
    return lambda path: torch.save(thing, path)


WRONG_FILES = {
    "missing": (lambda path: None, "does not exist."),
    "folder": (lambda path: path.mkdir(), "is a folder, not a file."),
    "link": (lambda path: path.symlink_to("gone"), "is a link to nowhere."),
    "device": (lambda path: path.symlink_to("/dev/null"), "is no regular file."),
    "empty": (content(b""), "is empty."),
    "html": (content(HTML), "is a web page (HTML), not weights."),
    "html with mark": (content(b"\xef\xbb\xbf" + HTML), "is a web page (HTML), not weights."),
    "pointer": (
        content(b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 1\n"),
        "is a git-LFS pointer (`git lfs pull` gets the file itself), not weights.",
    ),
    "text": (
        content(b"Entry not found"),
        "is neither a PyTorch checkpoint nor safetensors "
        "(15 bytes, beginning with b'Entry not found').",
    ),
    "npy": (make_dictionary, "is a NumPy array, not weights."),
    "hdf5": (content(b"\x89HDF\r\n\x1a\n" + BODY), "is an HDF5 file, not weights."),
    "zip": (make_zip, "is a zip archive that PyTorch did not write (it holds readme.txt)."),
    "torchscript": (
        make_torchscript,
        "is a TorchScript program, not a state dict, and was not run.",
    ),
    "tar": (make_tar, "is a tar archive, not weights."),
    "gzip": (make_gzip, "is a gzip archive, not weights."),
    "noise": (content(BODY[1:]), "is neither a PyTorch checkpoint nor safetensors (307,199 bytes"),
    "half old": (cut("old", 0.5), "is a PyTorch checkpoint, but damaged or cut short ("),
    "most of old": (cut("old", 0.99), "is a PyTorch checkpoint, but damaged or cut short ("),
    "half new": (cut("new", 0.5), "is a PyTorch checkpoint or zip archive, but damaged or cut"),
    "half safe": (cut("safetensors", 0.2), "is a safetensors file, but damaged or cut short ("),
    "most of safe": (
        cut("safetensors", 0.99),
        "is a safetensors file, but damaged or cut short (",
    ),
    "pickle": (
        content(pickle.dumps({"a": 1}, protocol=2)),
        "is a Python pickle that PyTorch did not write.",
    ),
    "newer pickle": (
        content(pickle.dumps({"a": 1}, protocol=5)),
        "is a Python pickle that PyTorch did not write.",
    ),
    "tensor": (saved(torch.zeros(3)), "holds one Tensor, not a dict of tensors."),
    "list": (saved([torch.zeros(3)]), "holds one list, not a dict of tensors."),
    "no entries": (
        saved({}),
        "is not the published file: it should hold tensors only, and has no entry at all.",
    ),
    "nested": (
        make_nested,
        "is not the published file: it should hold tensors only, and has 'epoch' (int), "
        "'state_dict' (OrderedDict). The weights may lie under 'state_dict'.",
    ),
    "names that are no text": (
        saved({1: torch.zeros(1)}),
        "is not the published file: it should hold tensors only, and has 1 (Tensor).",
    ),
    "tensors without values": (
        saved({"a": torch.zeros(1, device="meta")}),
        "is not the published file: it should hold tensors only, and has 'a' (Tensor).",
    ),
    "whole network": (
        saved(tiny_network()),
        "was refused: it holds code, which was not run "
        "(it asks for torch.nn.modules.container.Sequential, ",
    ),
}


@pytest.mark.parametrize("extension", [".pth", ".safetensors"])
@pytest.mark.parametrize("case", WRONG_FILES)
def test_wrong_file(tmp_path, case, extension):
    make, wrong = WRONG_FILES[case]
    path = tmp_path / f"mine{extension}"
    make(path)
    message = refused(weights.load_state_dict, path, URL)
    assert message.startswith(f"{path} {wrong}")
    beside = path / "published.pth" if case == "folder" else tmp_path / "published.pth"
    assert message.endswith(
        f"\n  published at: {URL}\n  get it with:  curl -fL --create-dirs -o {beside} {URL}"
    )
    assert "weights_only" not in message  # no advice to switch the guard off


def test_without_an_address_the_message_ends_with_the_fault(tmp_path):
    path = tmp_path / "mine.pth"
    assert refused(weights.load_state_dict, path) == f"{path} does not exist."


@pytest.mark.skipif(os.name == "nt" or os.geteuid() == 0, reason="root may read everything")
def test_file_that_may_not_be_read(tmp_path):
    path = tmp_path / "mine.pth"
    path.write_bytes(BODY)
    path.chmod(0)
    assert "cannot be read: Permission denied" in refused(weights.load_state_dict, path)


@pytest.mark.parametrize("wrap", ["bare", "value", "beside tensors"])
@pytest.mark.parametrize("form", ["old", "new", 0, 1, 2, 3, 4, 5])
def test_pickle_that_wants_to_run_code(tmp_path, form, wrap):
    marker, path = tmp_path / "ran", tmp_path / "mine.pth"
    bomb = Bomb(marker)
    thing = {
        "bare": bomb,
        "value": {"a": bomb},
        "beside tensors": OrderedDict(tiny_network().state_dict(), z=bomb),
    }[wrap]
    if isinstance(form, str):
        torch.save(thing, path, _use_new_zipfile_serialization=form == "new")
    else:
        path.write_bytes(pickle.dumps(thing, protocol=form))
    message = refused(weights.load_state_dict, path, URL)
    assert message.startswith(f"{path} was refused: it holds code, which was not run (it asks for ")
    assert "mkdir" in message
    assert not marker.exists()

    with open(path, "rb") as file:  # the bomb is a real one
        if form != "new" and wrap != "beside tensors":
            for _ in range(4 if form == "old" else 1):
                pickle.load(file)
            assert marker.exists()


def original(form):
    with tempfile.TemporaryDirectory() as folder:
        save(tiny_network().state_dict(), Path(folder, "file"), form)
        return Path(folder, "file").read_bytes()


ORIGINALS = {form: original(form) for form in FORMS}


@pytest.mark.parametrize("form", FORMS)
@settings(max_examples=100)
@given(data=st.data())
def test_cut_anywhere(tmp_path_factory, form, data):
    whole = ORIGINALS[form]
    path = tmp_path_factory.getbasetemp() / f"cut {form}"
    path.write_bytes(whole[: data.draw(st.integers(0, len(whole) - 1))])
    message = refused(weights.load_state_dict, path, URL)
    assert "holds code" not in message
    assert re.search(r"damaged|cut short|is empty|\(\d bytes, beginning", message)


@pytest.mark.parametrize("form", FORMS)
@settings(max_examples=100)
@given(data=st.data())
def test_damaged_anywhere(tmp_path_factory, form, data):
    """Bytes overwritten: read as other values or refused, and nothing else."""
    damaged = bytearray(ORIGINALS[form])
    at = data.draw(st.integers(0, len(damaged) - 1))
    noise = data.draw(st.binary(min_size=1, max_size=8))
    damaged[at : at + len(noise)] = noise
    path = tmp_path_factory.getbasetemp() / f"damaged {form}"
    path.write_bytes(damaged)
    try:
        found = weights.load_state_dict(path, URL)
        weights.load_into(tiny_network(), found, path, URL)
    except UserError:
        pass


@settings(max_examples=100)
@given(start=st.sampled_from([b"", b"\x80\x02", b"PK\x03\x04", weights.OLD_MAGIC]), end=st.binary())
def test_any_bytes(tmp_path_factory, start, end):
    path = tmp_path_factory.getbasetemp() / "any"
    path.write_bytes(start + end)
    refused(weights.load_state_dict, path, URL)


# --- into a network


def test_loads_into_a_network(tmp_path):
    source, target = tiny_network(), tiny_network()
    with torch.no_grad():
        source[0].weight += 1
        source[1].running_mean += 2
    weights.load_into(target, source.half().state_dict(), "any")
    assert target[0].weight.dtype == torch.float32
    assert torch.allclose(target[0].weight, source[0].weight.float())
    assert torch.equal(target[1].running_mean, torch.full([3], 2.0))


def changed(change):
    state_dict = dict(tiny_network().state_dict())
    change(state_dict)
    return state_dict


NAMES = list(tiny_network().state_dict())
MISFITS = {
    "missing": (
        changed(lambda d: d.pop("0.bias")),
        "it seems to be a variant of the network (6 names are the same).\n  1 missing: 0.bias",
    ),
    "a buffer that PyTorch would make up": (
        changed(lambda d: d.pop("1.num_batches_tracked")),
        "it seems to be a variant of the network (6 names are the same).\n"
        "  1 missing: 1.num_batches_tracked",
    ),
    "unknown": (
        changed(lambda d: d.update(extra=torch.zeros(1))),
        "it seems to be a variant of the network (7 names are the same).\n  1 unknown: extra",
    ),
    "shape": (
        changed(lambda d: d.update({"0.weight": torch.zeros(4, 2, 1)})),
        "it seems to be the same network in another size.\n"
        "  1 of another shape: 0.weight [4, 2, 1] instead of [3, 2, 1]",
    ),
    "prefix": (
        {f"module.{name}": value for name, value in tiny_network().state_dict().items()},
        "it is not the published file: all names begin with 'module.' here.\n"
        "  7 missing: 0.weight, 0.bias, 1.weight, …\n"
        "  7 unknown: module.0.weight, module.0.bias, module.1.weight, …",
    ),
    "another network": (
        torch.nn.ModuleDict({"visual": torch.nn.Linear(2, 2)}).state_dict(),
        "it seems to be another network, with names like visual.weight, visual.bias.\n"
        "  7 missing: 0.weight, 0.bias, 1.weight, …\n"
        "  2 unknown: visual.weight, visual.bias",
    ),
}


@pytest.mark.parametrize("case", MISFITS)
def test_state_dict_that_does_not_fit(tmp_path, case):
    state_dict, wrong = MISFITS[case]
    network, path = tiny_network(), tmp_path / "mine.pth"
    before = {name: value.clone() for name, value in network.state_dict().items()}
    message = refused(weights.load_into, network, state_dict, path, URL)
    assert message == (
        f"{path} does not fit Sequential: {wrong}\n  published at: {URL}\n"
        f"  get it with:  curl -fL --create-dirs -o {tmp_path / 'published.pth'} {URL}"
    )
    assert all(torch.equal(value, before[name]) for name, value in network.state_dict().items())


def test_values_that_cannot_be_copied(tmp_path):
    state_dict = changed(lambda d: d.update({"0.bias": torch.zeros(3).to_sparse()}))
    message = refused(weights.load_into, tiny_network(), state_dict, "mine.pth", URL)
    assert message.startswith("mine.pth does not fit Sequential: a tensor is torch.sparse_coo")
    assert message.endswith(f"curl -fL --create-dirs -o published.pth {URL}")


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf")])
def test_values_that_are_no_numbers(value):
    state_dict = changed(lambda d: d.update({"0.bias": torch.tensor([0, value, 0])}))
    network = tiny_network()
    message = refused(weights.load_into, network, state_dict, "mine.pth", URL)
    assert message == "mine.pth: 0.bias holds values that are no numbers"
    assert network[0].bias.isfinite().all()


def test_a_network_on_the_meta_device_takes_the_tensors_themselves():
    state_dict = tiny_network().state_dict()
    with torch.device("meta"):
        network = tiny_network()
    weights.load_into(network, state_dict, "any")
    for name, value in network.state_dict().items():
        assert value.data_ptr() == state_dict[name].data_ptr()
    assert network(torch.zeros(1, 2, 5)).shape == (1, 3, 5)


def test_tensors_under_an_entry(tmp_path):
    inner = tiny_network().state_dict()
    torch.save({"model": inner, "epoch": 3}, tmp_path / "nested.pth")
    torch.save(inner, tmp_path / "flat.pth")
    for name in ("nested.pth", "flat.pth"):
        assert weights.load_state_dict(tmp_path / name, under="model").keys() == inner.keys()
    message = refused(weights.load_state_dict, tmp_path / "nested.pth")
    assert "The weights may lie under 'model'" in message


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
def test_why_the_hub_brought_nothing(error, reason):
    def get(name):
        try:
            raise error
        except Exception:  # as libraries do it, around each other
            raise RuntimeError(f"no {name}") from error

    message = refused(weights.from_hub, get, "wrapped", at="w.pth of a/b")
    assert message.startswith(f"w.pth of a/b could not be downloaded: {reason}")
    assert "\x1b" not in message


def fetched(name, repository, address, cache):
    """What fetch_from_hub does in a process of its own, as the Hub's settings are read at start."""
    code = (
        "import sys, weights\n"
        "try: print(weights.fetch_from_hub(*sys.argv[1:]))\n"
        "except UserError as error: sys.exit(str(error))"
    )
    environment = {key: value for key, value in os.environ.items() if key[:3] != "HF_"}
    environment |= {"HF_ENDPOINT": address, "HF_HOME": str(cache)}
    return subprocess.run(
        [sys.executable, "-c", code, repository, name, "MIT"],
        cwd=Path(weights.__file__).parent.parent,
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
def test_what_the_hub_refuses(tmp_path, repository, reason):
    with hub.serve(tmp_path) as (address, _):
        done = fetched("w.bin", repository, address, tmp_path / "cache")
    assert done.returncode == 1 and "Traceback" not in done.stderr
    assert f"w.bin of {repository} could not be downloaded: {reason}" in done.stderr
    assert f"published at: https://huggingface.co/{repository}" in done.stderr
    assert not list(tmp_path.rglob("w.bin"))


def test_names_from_a_file_cannot_play_with_the_terminal(tmp_path):
    names = {"\x1b[31mred\nline": torch.zeros(1), "x" * 10_000: torch.zeros(1)}
    message = refused(weights.load_into, tiny_network(), names, "mine.pth")
    assert "\x1b" not in message
    assert len(message) < 700
    path = tmp_path / "mine.pth"
    torch.save(dict.fromkeys(names, 1), path)
    assert "\x1b" not in refused(weights.load_state_dict, path)


# --- the rest


def test_sha256(tmp_path):
    path = tmp_path / "file.bin"
    path.write_bytes(BODY)
    assert weights.sha256(path) == hashlib.sha256(BODY).hexdigest()
    assert "does not exist" in refused(weights.sha256, tmp_path / "none")


def test_import_is_light():
    code = (
        "import sys, weights; "
        "print([m for m in ('torch', 'numpy', 'safetensors', 'tqdm', 'http.client', 'ssl') "
        "if m in sys.modules])"
    )
    folder = Path(weights.__file__).parent
    said = subprocess.run([sys.executable, "-c", code], cwd=folder, capture_output=True, text=True)
    assert said.stdout == "[]\n"


@pytest.mark.skipif(not shutil.which("curl"), reason="needs curl")
def test_the_command_in_the_message_works(server, tmp_path):
    path = tmp_path / "my file.bin"
    message = refused(weights.load_state_dict, path, f"{server}/redirect/my file.bin")
    assert "curl" in message
    message = refused(weights.load_state_dict, path, f"{server}/redirect/file.bin")
    command = message.rpartition("get it with:  ")[2]
    subprocess.run(command + " -s", shell=True, check=True, timeout=20)
    assert (tmp_path / "file.bin").read_bytes() == BODY
