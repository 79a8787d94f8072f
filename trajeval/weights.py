"""Finds, downloads, checks and loads checkpoints.

Nothing that is read from disk or network is ever executed: pickles go through PyTorch's
weights-only unpickler. Every failure is a UserError, whose message names the file, what is
wrong with it, the address of the published file and the command that fetches it by hand.
"""

import math
import os
import re
import shlex
import sys
import time
from pathlib import Path

from trajeval.cache import NO_CACHE, Cache
from trajeval.terminal import UserError

TIMEOUT = 30  # seconds without a byte from the server
BLOCK = 1 << 20  # bytes read at a time, at most
PROGRESS_EVERY = 10  # seconds between progress lines where standard error is no terminal

# The first bytes of what people have in place of weights.
OTHER_FILES = {
    b"\x93NUMPY": "a NumPy array",
    b"\x89HDF": "an HDF5 file",
    b"\x1f\x8b": "a gzip archive",
}
OLD_MAGIC = b"\x80\x02\x8a\nl\xfc\x9cF\xf9 j\xa8P\x19."  # opens PyTorch's old, non-zip format

# What a pickled state dict may look up by name. Everything else is code to us.
TENSOR_GLOBALS = re.compile(
    r"collections\.OrderedDict"
    r"|torch\._utils\._rebuild_\w+"
    r"|torch\.(storage\.)?\w*Storage"
    r"|torch\.(Size|device|bool|(bfloat|float|complex|int|uint|q)\w+)"
)


def fetch(path: str | Path, url: str, n_bytes: int) -> None:
    """Makes sure that the file at `path` exists and has `n_bytes` bytes; downloads it if missing.

    The download goes to a temporary file in the same folder, which is renamed when it is complete
    and removed whatever else happens. A file that is already there is never replaced. `path` ends
    with the same file name as `url`.

    Raises UserError: no network, a refused, stalled or broken connection, an HTTP error, a web
    page or any other file in place of the right one, a disk that cannot be written to, or an
    existing file of another size.
    """
    path = Path(path)
    try:
        if os.path.lexists(path):
            return check_published(path, url, n_bytes)
        path.parent.mkdir(parents=True, exist_ok=True)
        # A name of our own: two processes may be downloading the same file.
        temporary = path.with_name(f".{path.name}.{os.urandom(8).hex()}.part")
        try:
            with open(temporary, "xb") as file:
                print(f"downloading {url} to {path} ({n_bytes / 1e6:.1f} MB)", file=sys.stderr)
                for block in _with_progress(_receive(url, n_bytes), path.name, n_bytes):
                    file.write(block)
            os.replace(temporary, path)
        finally:
            temporary.unlink(missing_ok=True)
    except _Undelivered as error:
        raise UserError(
            f"{path} is missing and could not be downloaded: {error}.{by_hand(path, url)}"
        ) from None
    except OSError as error:
        raise UserError(
            f"{path} cannot be written: {error.strerror or error}. Make room or make the folder "
            f"writable, or download the file to another place and give its path."
            f"{by_hand(path, url)}"
        ) from None


def check_published(path, url, n_bytes):
    """Raises UserError unless the file that is there is of the published size. It is the
    user's, and never replaced."""
    head = first_bytes(path, url)
    size = path.stat().st_size
    if size != n_bytes:
        what = _stand_in(head)
        raise UserError(
            f"{path} has {size:,} bytes, and the published file has {n_bytes:,}"
            + (f": it is {what}" if what else ": it is damaged, cut short or another file")
            + ". It is left as it is: delete it and run again, or replace it by hand."
            + by_hand(path, url)
        )


def first_bytes(path, url=None):
    """The first 512 bytes of a file. Raises UserError if it is missing, empty or unreadable."""
    path = Path(path)
    try:
        if path.is_dir():
            wrong = "is a folder, not a file"
        elif not path.exists():
            wrong = "is a link to nowhere" if path.is_symlink() else "does not exist"
        elif not path.is_file():
            wrong = "is no regular file"
        else:
            with open(path, "rb") as file:
                if head := file.read(512):
                    return head
            wrong = "is empty"
    except OSError as error:
        wrong = f"cannot be read: {error.strerror or error}"
    raise UserError(f"{path} {wrong}.{by_hand(path, url)}")


def check_weights(path, url=None):
    """The first 512 bytes of a file of weights. Raises UserError as first_bytes does, and for
    what is plainly something else. Quick: nothing is loaded."""
    head = first_bytes(path, url)
    if what := _other_file(head):
        raise UserError(f"{path} is {what}, not weights.{by_hand(path, url)}")
    return head


def sha256(path: str | Path, url: str | None = None, cache: Cache = NO_CACHE) -> str:
    """The SHA-256 of a file, as 64 hexadecimal digits; the cache may know it. `url` is for the
    error message. Raises UserError if it cannot be read."""
    first_bytes(path, url)
    try:
        return cache.digest(path, "sha256")
    except OSError as error:
        raise UserError(f"{path} cannot be read: {error.strerror or error}") from None


def load_state_dict(path: str | Path, url: str | None = None, under: str | None = None) -> dict:
    """Reads a checkpoint: name -> tensor on the CPU, of the type that the file has.

    Reads what torch.save writes (old format and new) and safetensors; the content decides, not the
    extension. `url` is the address of the published file, for the error messages. `under` is the
    entry under which the published file has its tensors; a file that has them at the top is taken
    too.

    Raises UserError: a file that is missing, empty, cut short, of another kind, that holds code,
    or that holds anything but one flat dict of tensors.
    """
    import torch

    contents = read(path, url)
    if not isinstance(contents, dict):
        raise UserError(
            f"{path} holds one {type(contents).__name__}, not a dict of tensors."
            f"{by_hand(path, url)}"
        )
    if isinstance(contents.get(under), dict):
        contents = contents[under]
    others = {
        name: value
        for name, value in contents.items()
        if not (isinstance(name, str) and isinstance(value, torch.Tensor) and value.is_cpu)
    }
    if others or not contents:
        nested = [name for name, value in others.items() if isinstance(value, dict)]
        raise UserError(
            f"{path} is not the published file: it should hold tensors only, and has "
            + (_few(f"{k!r} ({type(v).__name__})" for k, v in others.items()) or "no entry at all")
            + (f". The weights may lie under {_few(map(repr, nested))}" if nested else "")
            + f".{by_hand(path, url)}"
        )
    return dict(contents)


def places_of(arrays: dict, path: str | Path) -> dict[str, list] | None:
    """Where in the file at `path` the values of NumPy float32 arrays lie that were loaded from it:
    name -> [NumPy type, offset in bytes, shape]. None if one does not lie there in float32 or
    float16 just as it does in memory: the file may be compressed."""
    import numpy as np

    content, places = Path(path).read_bytes(), {}
    for name, array in arrays.items():
        for dtype in ("<f4", "<f2"):
            values = array.astype(dtype, order="C", copy=False)
            offset = content.find(values)
            if offset >= 0 and np.array_equal(values, array):
                places[name] = [dtype, offset, list(array.shape)]
                break
        else:
            return None
    return places


def values_at(places: dict[str, list], path: str | Path) -> dict:
    """The arrays that `places_of` found, read without PyTorch, float32. Raises OSError, or
    ValueError if the file is shorter than it was."""
    import numpy as np

    arrays = {}
    for name, (dtype, offset, shape) in places.items():
        values = np.fromfile(path, dtype, math.prod(shape), offset=offset)
        arrays[name] = values.reshape(shape).astype(np.float32, copy=False)
    return arrays


def load_into(network, state_dict, path, url=None):
    """Makes a state dict's tensors a network's own, strictly; those of another type than the
    network's are converted. Nothing else is copied, so a network on the meta device takes no more
    memory than its weights. `path` and `url` are for the error message.

    Raises UserError, and leaves the network as it was, if a name is missing or unknown, a shape
    differs or a value is no number.
    """
    wanted = {name: tuple(value.shape) for name, value in network.state_dict().items()}
    found = {name: tuple(value.shape) for name, value in state_dict.items()}
    missing = [name for name in wanted if name not in found]
    unknown = [name for name in found if name not in wanted]
    reshaped = [
        f"{name} {list(found[name])} instead of {list(shape)}"
        for name, shape in wanted.items()
        if found.get(name, shape) != shape
    ]
    if missing or unknown or reshaped:
        lists = [("missing", missing), ("unknown", unknown), ("of another shape", reshaped)]
        raise UserError(
            f"{path} does not fit {type(network).__name__}: {_guess(found, wanted)}."
            + "".join(f"\n  {len(names)} {what}: {_few(names)}" for what, names in lists if names)
            + by_hand(path, url)
        )
    types = {name: value.dtype for name, value in network.state_dict().items()}
    try:
        converted = {name: _plain_tensor(value, types[name]) for name, value in state_dict.items()}
    except RuntimeError as error:
        raise UserError(
            f"{path} does not fit {type(network).__name__}: {error}{by_hand(path, url)}"
        ) from None
    check_finite(converted, path)
    network.load_state_dict(converted, assign=True)


def _plain_tensor(value, dtype):
    """The tensor itself if it is of this type. Raises RuntimeError if it is of a kind that cannot
    stand in a network: sparse, quantised, complex ..."""
    import torch

    if value.layout is not torch.strided or value.is_quantized or value.is_complex():
        raise RuntimeError(f"a tensor is {value.layout}, {value.dtype}")
    return value.to(dtype)


def check_finite(state_dict, path):
    """Raises UserError if a tensor holds a value that is no number."""
    for name, value in state_dict.items():
        # The least and the greatest are numbers only if all are; nothing is copied to find them.
        if value.numel() and not all(end.isfinite() for end in value.aminmax()):
            raise UserError(f"{path}: {name} holds values that are no numbers")


# --- downloading


class _Undelivered(Exception):
    """Why the server's file did not come, without the path and the advice."""


def _receive(url, n_bytes):
    """Yields the file at `url` in blocks of bytes: exactly n_bytes in all, or _Undelivered."""
    from http.client import HTTPException
    from urllib.request import Request, urlopen

    received = 0
    try:
        # Some servers turn Python's own name away.
        request = Request(url, headers={"User-Agent": "weights.py"})
        with urlopen(request, timeout=TIMEOUT) as response:
            length = response.length  # None if the server does not say
            block = response.read(512)
            if what := _stand_in(block):
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


def _reason(error):
    """A network error in words."""
    import socket
    from urllib.error import HTTPError

    if isinstance(error, HTTPError):
        return f"the server answered {error.code} {_plain(str(error.reason))}".rstrip()
    error = getattr(error, "reason", error)  # URLError wraps the socket's own error
    if isinstance(error, socket.gaierror):
        return "the server's name was not found (is there a network?)"
    if isinstance(error, TimeoutError):
        return f"the server sent nothing for {TIMEOUT} seconds"
    if isinstance(error, ConnectionRefusedError):
        return "the connection was refused"
    return _plain(str(getattr(error, "strerror", None) or error)) or type(error).__name__


def _with_progress(blocks, name, n_bytes):
    """Passes the blocks on, and shows how far they are on standard error."""
    if sys.stderr.isatty():
        from tqdm import tqdm

        with tqdm(total=n_bytes, desc=name, unit="B", unit_scale=True) as bar:
            for block in blocks:
                yield block
                bar.update(len(block))
    else:
        received, told = 0, time.monotonic()
        for block in blocks:
            yield block
            received += len(block)
            if time.monotonic() - told >= PROGRESS_EVERY:
                told = time.monotonic()
                print(f"downloading {name}: {received / n_bytes:.0%}", file=sys.stderr)


# --- the Hugging Face Hub


def fetch_from_hub(repository, name, licence):
    """The path of a repository's file in the Hub's cache; downloaded if it is not there yet, by
    huggingface_hub, which goes on where a broken download stopped and heeds its own environment
    variables (HF_HOME, HF_TOKEN, HF_HUB_OFFLINE ...). Raises UserError."""
    from huggingface_hub import hf_hub_download, try_to_load_from_cache

    if isinstance(cached := try_to_load_from_cache(repository, name), str):
        return Path(cached)
    print(f"downloading {name} of {repository} (licence {licence})", file=sys.stderr)
    try:
        return Path(from_hub(hf_hub_download, repository, name, at=f"{name} of {repository}"))
    except UserError as error:
        command = shlex.join(["hf", "download", repository, name, "--local-dir", "checkpoints"])
        raise UserError(
            f"{error}\n  published at: https://huggingface.co/{repository}\n"
            f"  get it with:  {command}"
        ) from None


def from_hub(get, *arguments, at):
    """What get(*arguments) brings from the Hugging Face Hub or its cache. Raises UserError with
    the reason if it brings nothing; `at` names what was wanted."""
    try:
        return get(*arguments)
    except Exception as error:  # of huggingface_hub, its network library, or those that wrap them
        raise UserError(f"{at} could not be downloaded: {_hub_reason(error)}") from None


def _hub_reason(error):
    """An error of huggingface_hub, or one that was raised because of it, in words."""
    from huggingface_hub import errors

    causes = [error]
    while cause := causes[-1].__cause__ or causes[-1].__context__:
        causes.append(cause)
    for cause in causes:
        if isinstance(cause, errors.GatedRepoError):
            return (
                "its owners ask for your agreement: give it on its page, then log in with "
                "`hf auth login` or set HF_TOKEN"
            )
    for cause in causes:
        if isinstance(cause, errors.OfflineModeIsEnabled):
            return "it is not in the cache, and HF_HUB_OFFLINE forbids to fetch it"
        if isinstance(cause, errors.RepositoryNotFoundError):
            return "the Hub has no such repository, or not for you (is HF_TOKEN set?)"
        if isinstance(cause, errors.RemoteEntryNotFoundError):
            return "the repository has no such file"
        if isinstance(cause, errors.HfHubHTTPError):
            return f"the server answered {cause.response.status_code}"
    if isinstance(causes[-1], OSError):
        return _reason(causes[-1])
    return f"{type(causes[-1]).__name__}: {_plain(str(causes[-1]))[:300]}"


# --- reading


def read(path, url=None):
    """Whatever object a checkpoint holds, read without running anything. Raises UserError if it
    is missing, empty, cut short, of another kind or holds code."""
    import warnings

    head = check_weights(path, url)
    try:
        if _is_safetensors(head):
            from safetensors.torch import load_file

            return load_file(path)
        import torch

        # An open file, because torch.load goes by the extension of a name. The warnings are of
        # pickles too new for PyTorch, which are an error below.
        with open(path, "rb") as file, warnings.catch_warnings(action="ignore"):
            return torch.load(file, map_location="cpu", weights_only=True)
    except Exception:  # a damaged file can raise anything
        raise UserError(f"{path} {_diagnosis(path, head)}.{by_hand(path, url)}") from None


def _other_file(head):
    """What a file is that begins with `head`, if that is surely no weights; else None."""
    if _is_safetensors(head):
        return None
    if what := _stand_in(head):
        return what
    if head[257:262] == b"ustar":
        return "a tar archive"
    return next((what for magic, what in OTHER_FILES.items() if head.startswith(magic)), None)


def _stand_in(head):
    """What a file is that begins with `head`, if a server put it in place of another; else None."""
    if head.removeprefix(b"\xef\xbb\xbf").lstrip().startswith(b"<"):
        return "a web page (HTML)"
    if head.startswith(b"version https://git-lfs"):
        return "a git-LFS pointer (`git lfs pull` gets the file itself)"
    return None


def _is_safetensors(head):
    # the length of the header in 8 bytes (at most 100 MB), then the header, in JSON
    return head[8:9] == b"{" and int.from_bytes(head[:8], "little") <= 100_000_000


def _diagnosis(path, head):
    """What is wrong with a file that did not load."""
    import zipfile

    size = f"{os.path.getsize(path):,} bytes"
    if code := [name for name in _globals(path, head) if not TENSOR_GLOBALS.fullmatch(name)]:
        return (
            f"was refused: it holds code, which was not run (it asks for {_few(code)}). "
            "Weights need none"
        )
    if _is_safetensors(head):
        return f"is a safetensors file, but damaged or cut short ({size})"
    if head.startswith(b"PK"):
        try:
            with zipfile.ZipFile(path) as archive:
                names = [name.rpartition("/")[2] for name in archive.namelist()]
        except Exception:
            return f"is a PyTorch checkpoint or zip archive, but damaged or cut short ({size})"
        if "constants.pkl" in names:
            return "is a TorchScript program, not a state dict, and was not run"
        if "data.pkl" not in names:
            return f"is a zip archive that PyTorch did not write (it holds {_few(names)})"
        return f"is a PyTorch checkpoint, but damaged ({size})"
    if head.startswith(OLD_MAGIC) or OLD_MAGIC.startswith(head):
        return f"is a PyTorch checkpoint, but damaged or cut short ({size})"
    if head.startswith(b"\x80"):
        return "is a Python pickle that PyTorch did not write"
    return f"is neither a PyTorch checkpoint nor safetensors ({size}, beginning with {head[:16]!r})"


def _globals(path, head):
    """The names that the pickles in a file ask for, as "module.name"; they are read, not run."""
    import pickletools
    import zipfile
    from contextlib import suppress

    names, strings = [], []
    with suppress(Exception), open(path, "rb") as file:  # until the damage, or the bare tensors
        if head.startswith(b"PK"):
            archive = zipfile.ZipFile(file)
            file = archive.open(next(n for n in archive.namelist() if n.endswith("data.pkl")))
        for _ in range(5):  # the old format is five pickles in a row
            for code, argument, _position in pickletools.genops(file):
                if code.name in ("GLOBAL", "INST"):
                    names.append(argument.replace(" ", "."))
                elif code.name == "STACK_GLOBAL":
                    names.append(".".join(strings[-2:]))
                elif "UNICODE" in code.name:
                    strings.append(argument)
    return list(dict.fromkeys(names))


def _guess(found, wanted):
    """What a state dict with other names or shapes seems to be."""
    shared = found.keys() & wanted.keys()
    if len(shared) == len(wanted) == len(found):
        return "it seems to be the same network in another size"
    if shared:
        return f"it seems to be a variant of the network ({len(shared)} names are the same)"
    first = next(iter(wanted), "")
    for name in found:
        prefix = name.removesuffix(first)
        if prefix != name and all(prefix + other in found for other in wanted):
            return f"it is not the published file: all names begin with {prefix!r} here"
    return f"it seems to be another network, with names like {_few(found)}"


def _few(names, n=3):
    names = [_plain(name) for name in names]
    return ", ".join(names[:n]) + (", …" if len(names) > n else "")


def _plain(text, n=100):
    """Text from a file or a server, made safe to print: one line, no control characters."""
    text = "".join(c if c.isprintable() else " " for c in text[: n + 1]).strip()
    return text if len(text) <= n else text[:n] + "…"


def by_hand(path, url):
    """The end of a message: where the published file is, and how to get it without this script."""
    if url is None:
        return ""
    path = Path(path)
    path = path / Path(url).name if path.is_dir() else path.with_name(Path(url).name)
    command = shlex.join(["curl", "-fL", "--create-dirs", "-o", str(path), url])
    return f"\n  published at: {url}\n  get it with:  {command}"
