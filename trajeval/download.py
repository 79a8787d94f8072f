"""Finds and downloads checkpoints.

Every failure is a UserError that names the file, what is wrong with it, the address of the
published file and the command that downloads it by hand.
"""

import os
import shlex
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from trajeval.files import open_regular, project_folder, replacing
from trajeval.terminal import UserError, printable, progress, tell

TIMEOUT = 30  # seconds without a byte from the server
BLOCK = 1 << 20  # bytes read at a time, at most
HUB = "https://huggingface.co/"


# --- where files are


def project_file(relative: str | Path) -> Path:
    """The path of a file that belongs to the project, beside the scripts; relative if that is the
    current folder. Raises UserError where the suite is installed without the project's files."""
    folder = project_folder()
    if folder is None:
        raise UserError(
            f"{relative} is only in the project's repository: clone it and run the script there"
        )
    return Path(relative) if Path.cwd() == folder else folder / relative


def checkpoint_path(name: str) -> Path:
    """Where a checkpoint is, or is to be downloaded to: in `checkpoints/` of the current folder if
    it is there, else beside the scripts, or in the user's data folder if they are installed (in
    the current folder for a user without a home folder)."""
    here = Path("checkpoints", name)
    if os.path.lexists(here):
        return here
    if project_folder():
        return project_file(here)
    from platformdirs import user_data_path

    try:
        return user_data_path("trajectory-heatmaps", appauthor=False) / here
    except RuntimeError:  # no home folder
        return here


# --- a file of known size at an address


def fetch(path: str | Path, url: str, n_bytes: int) -> None:
    """Makes sure that the file at `path` exists and has `n_bytes` bytes; downloads it if missing.

    The download goes to a temporary file in the same folder, which is renamed once complete and
    removed otherwise. An existing file is never replaced. `path` and `url` end with the same file
    name.

    Raises UserError: no network, a refused, stalled or broken connection, an HTTP error, a web
    page or any other file in place of the right one, a disk that cannot be written to, or an
    existing file of another size.
    """
    if os.path.lexists(path):
        return check_published(path, url, n_bytes)
    path, shown = Path(path), printable(str(path))
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with replacing(path) as file:
            tell(f"downloading {url} to {shown} ({n_bytes / 1e6:.1f} MB)")
            with progress(f"downloading {printable(path.name)}", n_bytes, "B") as advance:
                for block in _receive(url, n_bytes):
                    file.write(block)
                    advance(len(block))
    except _Undelivered as error:
        raise UserError(
            f"{shown} is missing and could not be downloaded: {error}.{by_hand(path, url)}"
        ) from None
    except OSError as error:
        raise UserError(
            f"{shown} cannot be written: {error.strerror or error}. Free some space or make the "
            f"folder writable, or download the file to another place and give its path."
            f"{by_hand(path, url)}"
        ) from None


def check_published(path: str | Path, url: str, n_bytes: int) -> None:
    """Raises UserError unless the file at `path` has the published size. It is left as it is."""
    head = first_bytes(path, url)
    size = os.path.getsize(path)
    if size != n_bytes:
        what = stand_in(head)
        raise UserError(
            f"{printable(str(path))} has {size:,} bytes, and the published file has {n_bytes:,}"
            + (f": it is {what}" if what else ": it is damaged, cut short or another file")
            + ". It was not replaced: delete it and run again, or replace it by hand."
            + by_hand(path, url)
        )


def first_bytes(path: str | Path, url: str | None = None) -> bytes:
    """The first 512 bytes of a file. Raises UserError if it is missing, empty, unreadable or not a
    regular file."""
    try:
        with open_regular(path) as file:
            if head := file.read(512):
                return head
        wrong = "is empty"
    except IsADirectoryError:
        wrong = "is a folder, not a file"
    except (FileNotFoundError, NotADirectoryError):
        wrong = "is a broken symbolic link" if os.path.islink(path) else "does not exist"
    except OSError as error:
        wrong = error.strerror or str(error)
        if not wrong.startswith("is "):
            wrong = f"cannot be read: {wrong}"
    raise UserError(f"{printable(str(path))} {wrong}.{by_hand(path, url)}")


def by_hand(path: str | Path, url: str | None) -> str:
    """The end of a message: the address of the published file, and how to download it without this
    script."""
    if url is None:
        return ""
    path, name = Path(path), Path(url).name
    target = path / name if os.path.isdir(path) else path.parent / name
    command = shlex.join(["curl", "-fL", "--create-dirs", "-o", str(target), url])
    return f"\n  published at: {url}\n  get it with:  {printable(command, 2000)}"


def stand_in(head: bytes) -> str | None:
    """What a file that begins with `head` is if a server sent it in place of another; else None."""
    if head.removeprefix(b"\xef\xbb\xbf").lstrip().startswith(b"<"):
        return "a web page (HTML)"
    if head.startswith(b"version https://git-lfs"):
        return "a git-LFS pointer (`git lfs pull` gets the file itself)"
    return None


# --- the Hugging Face Hub


def fetch_from_hub(repository: str, name: str, licence: str) -> Path:
    """The path of a repository's file in the Hub's cache. Downloads it if it is missing, with
    huggingface_hub, which resumes broken downloads and follows its own environment variables
    (HF_HOME, HF_TOKEN, HF_HUB_OFFLINE ...). Raises UserError."""
    from huggingface_hub import hf_hub_download, try_to_load_from_cache

    if isinstance(cached := try_to_load_from_cache(repository, name), str):
        return Path(cached)
    tell(f"downloading {name} of {repository} (licence {licence})")
    what, advice = f"{name} of {repository}", hub_by_hand(repository, name)
    return Path(from_hub(hf_hub_download, repository, name, what=what, advice=advice))


def from_hub(get: Callable, *arguments, what: str, advice: str = "") -> Any:
    """The result of get(*arguments), which asks the Hugging Face Hub or its cache. Raises
    UserError with the reason if that fails. what: what was asked for; advice: the end of the
    message."""
    try:
        with _one_line_for_retries():
            return get(*arguments)
    except Exception as error:  # of huggingface_hub, its network library, or those that wrap them
        reason = _hub_reason(error)
        raise UserError(f"{printable(what)} could not be downloaded: {reason}{advice}") from None


def hub_by_hand(repository: str, name: str, option: str = "") -> str:
    """The end of a message: how to download a repository's file without this script. option: the
    one that takes the file, such as "--pretrained"."""
    command = shlex.join(["hf", "download", repository, name, "--local-dir", "checkpoints"])
    text = f"\n  published at: {HUB}{repository}\n  get it with:  {command}"
    return text + (f"\n  then give:    {option} checkpoints/{name}" if option else "")


@contextmanager
def _one_line_for_retries() -> Iterator[None]:
    """Replaces the two warnings that huggingface_hub logs for every retry by one in all."""
    from logging import WARNING

    from huggingface_hub import logging

    told = False

    def is_shown(record):
        nonlocal told
        if not told and record.getMessage().startswith("Retrying"):
            told = True
            tell("no answer from the Hugging Face Hub, trying again for up to a minute ...")
        return record.levelno > WARNING

    handlers = logging.get_logger().handlers
    for handler in handlers:
        handler.addFilter(is_shown)
    try:
        yield
    finally:
        for handler in handlers:
            handler.removeFilter(is_shown)


def _hub_reason(error: BaseException) -> str:
    """An error of huggingface_hub, or one that was raised because of it, in words."""
    from huggingface_hub import errors

    causes = [error]
    while cause := causes[-1].__cause__ or causes[-1].__context__:
        causes.append(cause)
    if any(isinstance(cause, errors.GatedRepoError) for cause in causes):
        return (
            "its owners ask for your agreement: give it on its page, then log in with "
            "`hf auth login` or set HF_TOKEN"
        )
    for cause in causes:
        if isinstance(cause, errors.OfflineModeIsEnabled):
            return "it is not in the Hub's cache, and HF_HUB_OFFLINE forbids downloads"
        if isinstance(cause, errors.RepositoryNotFoundError):
            return "the Hub has no such repository, or not for you (is HF_TOKEN set?)"
        if isinstance(cause, errors.RemoteEntryNotFoundError):
            return "the repository has no such file"
        if isinstance(cause, errors.HfHubHTTPError):
            return f"the server answered {cause.response.status_code}"
    if isinstance(causes[-1], OSError):
        return _reason(causes[-1])
    return f"{type(causes[-1]).__name__}: {printable(str(causes[-1]), 300)}"


# --- the network


class _Undelivered(Exception):
    """Why the server's file did not come, without the path and the advice."""


def _receive(url: str, n_bytes: int) -> Iterator[bytes]:
    """Yields the file at `url` in blocks, n_bytes in all. Raises _Undelivered."""
    from http.client import HTTPException
    from urllib.request import Request, urlopen

    received = 0
    try:
        # Some servers refuse the name that urllib gives itself.
        request = Request(url, headers={"User-Agent": "trajectory-heatmaps"})
        with urlopen(request, timeout=TIMEOUT) as response:
            length = response.length  # None if the server does not say
            block = response.read(512)
            if what := stand_in(block):
                raise _Undelivered(f"the server sent {what}")
            if length not in (None, n_bytes):
                raise _Undelivered(
                    f"the server offers {length:,} bytes, and the published file has {n_bytes:,}"
                )
            while block:
                received += len(block)
                if received > n_bytes:
                    raise _Undelivered(f"the server sends more than the {n_bytes:,} bytes expected")
                yield block
                block = response.read1(BLOCK)
    except (OSError, HTTPException) as error:
        reason = _reason(error)
        if received:
            reason = f"the connection broke after {received:,} of {n_bytes:,} bytes ({reason})"
        raise _Undelivered(reason) from None
    if received < n_bytes:
        raise _Undelivered(f"the connection ended after {received:,} of {n_bytes:,} bytes")


def _reason(error: Exception) -> str:
    """A network error in words."""
    import socket
    from urllib.error import HTTPError

    if isinstance(error, HTTPError):
        return f"the server answered {error.code} {printable(str(error.reason))}".rstrip()
    error = getattr(error, "reason", error)  # URLError wraps the socket's own error
    if isinstance(error, socket.gaierror):
        return "the server's name was not found (is there a network?)"
    if isinstance(error, TimeoutError):
        return f"the server sent nothing for {TIMEOUT} seconds"
    if isinstance(error, ConnectionRefusedError):
        return "the connection was refused"
    return printable(str(getattr(error, "strerror", None) or error)) or type(error).__name__
