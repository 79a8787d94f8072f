"""Reads, checks and diagnoses checkpoints, and loads them into networks.

Nothing that is read is ever executed: pickles go through PyTorch's weights-only unpickler. Every
failure is a UserError that names the file, what is wrong with it, and where the published file is.
"""

import os
import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from trajeval.cache import NO_CACHE, Cache
from trajeval.download import by_hand, first_bytes, stand_in
from trajeval.terminal import UserError, printable

# Beyond these a pickle is a bomb, or at least not weights: a tensor takes 35 operations and 130
# bytes, and 10 million operations take seconds to run.
MAX_OPERATIONS = 10_000_000
MAX_PICKLE_BYTES = 100_000_000  # in a zip archive, which may be compressed

# The first bytes of files that people mistake for weights.
OTHER_FILES = {
    b"\x93NUMPY": "a NumPy array",
    b"\x89HDF": "an HDF5 file",
    b"\x1f\x8b": "a gzip archive",
}
OLD_MAGIC = b"\x80\x02\x8a\nl\xfc\x9cF\xf9 j\xa8P\x19."  # opens PyTorch's old, non-zip format

# The globals that a pickled state dict may use. All others count as code.
TENSOR_GLOBALS = re.compile(
    r"collections\.OrderedDict"
    r"|torch\._utils\._rebuild_\w+"
    r"|torch\.(storage\.)?\w*Storage"
    r"|torch\.(Size|device|bool|(bfloat|float|complex|int|uint|q)\w+)"
)


def check_weights(path: str | Path, url: str | None = None) -> bytes:
    """The first 512 bytes of a file of weights. Raises UserError as first_bytes does, and for
    files that are obviously something else. Quick: nothing is loaded."""
    head = first_bytes(path, url)
    if what := _other_file(head):
        raise UserError(f"{printable(str(path))} is {what}, not weights.{by_hand(path, url)}")
    return head


def sha256(path: str | Path, url: str | None = None, cache: Cache = NO_CACHE) -> str:
    """The SHA-256 of a file in hexadecimal, from the cache if it is there. `url` is for the error
    message. Raises UserError if the file cannot be read."""
    first_bytes(path, url)
    try:
        return cache.digest(path, "sha256")
    except OSError as error:
        reason = error.strerror or error
        raise UserError(f"{printable(str(path))} cannot be read: {reason}") from None


def load_state_dict(path: str | Path, url: str | None = None, under: str | None = None) -> dict:
    """Reads a checkpoint: name -> tensor on the CPU, in the data type of the file.

    Reads safetensors and both formats of torch.save, whatever the extension. `url` is the address
    of the published file, for error messages. `under` is the entry that holds the tensors in the
    published file; they may also be at the top level.

    Raises UserError for a file that is missing, empty, cut short, of another kind, that holds code,
    or that holds anything but one flat dict of tensors.
    """
    import torch

    contents, shown = read(path, url), printable(str(path))
    if not isinstance(contents, dict):
        raise UserError(
            f"{shown} holds one {type(contents).__name__}, not a dict of tensors."
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
            f"{shown} is not the published file: it should hold tensors only, and has "
            + (_few(f"{k!r} ({type(v).__name__})" for k, v in others.items()) or "no entries")
            + (f". The weights may be under {_few(map(repr, nested))}" if nested else "")
            + f".{by_hand(path, url)}"
        )
    return dict(contents)


def load_into(network, state_dict: dict, path: str | Path, url: str | None = None) -> None:
    """Assigns the tensors of a state dict to a network (torch.nn.Module), strictly. Only tensors of
    another data type than the network's are copied, so a network on the meta device takes no more
    memory than its weights. `path` and `url` are for the error message.

    Raises UserError, and leaves the network as it was, if a name is missing or unknown, a shape
    differs or a value is NaN or infinite.
    """
    misfit = f"{printable(str(path))} does not fit {type(network).__name__}"
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
            f"{misfit}: {_guess(found, wanted)}."
            + "".join(f"\n  {len(names)} {what}: {_few(names)}" for what, names in lists if names)
            + by_hand(path, url)
        )
    types = {name: value.dtype for name, value in network.state_dict().items()}
    try:
        converted = {name: _plain_tensor(value, types[name]) for name, value in state_dict.items()}
    except RuntimeError as error:
        raise UserError(f"{misfit}: {error}{by_hand(path, url)}") from None
    check_finite(converted, path)
    network.load_state_dict(converted, assign=True)


def _plain_tensor(value, dtype):
    """The tensor in this data type. Raises RuntimeError for a kind that networks do not take:
    sparse, quantised, complex ..."""
    import torch

    if value.layout is not torch.strided or value.is_quantized or value.is_complex():
        raise RuntimeError(f"a tensor is {value.layout}, {value.dtype}")
    return value.to(dtype)


def check_finite(state_dict: dict, path: str | Path) -> None:
    """Raises UserError if a tensor holds a NaN or infinite value."""
    for name, value in state_dict.items():
        # The extremes are finite only if all values are, and finding them copies nothing.
        if value.numel() and not all(end.isfinite() for end in value.aminmax()):
            shown = printable(str(path))
            raise UserError(f"{shown}: {printable(name)} holds NaN or infinite values")


# --- reading


def read(path: str | Path, url: str | None = None) -> Any:
    """The object that a checkpoint holds, read without running anything. Raises UserError if it
    is missing, empty, cut short, of another kind, too large a pickle or holds code."""
    import warnings

    head, names = check_weights(path, url), []
    import torch
    from safetensors.torch import load_file

    try:
        if _is_safetensors(head):
            return load_file(path)
        names = _globals(path, head)
        # An open file, because torch.load goes by the extension of a name. It warns of pickles
        # that are too new for it, which are an error below.
        with open(path, "rb") as file, warnings.catch_warnings(action="ignore"):
            return torch.load(file, map_location="cpu", weights_only=True)
    except _TooLarge as error:
        wrong = f"was refused: {error}"
    except Exception:  # a damaged file can raise anything
        wrong = _diagnosis(path, head, names)
    raise UserError(f"{printable(str(path))} {wrong}.{by_hand(path, url)}")


def _other_file(head):
    """What a file is that begins with `head` if it obviously has no weights; else None."""
    if _is_safetensors(head):
        return None
    if what := stand_in(head):
        return what
    if head[257:262] == b"ustar":
        return "a tar archive"
    return next((what for magic, what in OTHER_FILES.items() if head.startswith(magic)), None)


def _is_safetensors(head):
    # the length of the header in 8 bytes (at most 100 MB), then the header, in JSON
    return head[8:9] == b"{" and int.from_bytes(head[:8], "little") <= 100_000_000


def _diagnosis(path, head, names):
    """What is wrong with a file that did not load, and whose pickles ask for these names."""
    import zipfile

    size = f"{os.path.getsize(path):,} bytes"
    if code := [name for name in names if not TENSOR_GLOBALS.fullmatch(name)]:
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


class _TooLarge(Exception):
    """What of a pickle exceeds its limit."""


def _globals(path, head):
    """The names that the pickles in a file ask for, as "module.name". Raises _TooLarge."""
    names, strings = {}, []
    try:
        for n, (operation, argument) in enumerate(_operations(path, head)):
            if n == MAX_OPERATIONS:
                raise _TooLarge(f"its pickle has more than {n:,} operations, too many for weights")
            if operation in ("GLOBAL", "INST"):
                names[argument.replace(" ", ".")] = None
            elif operation == "STACK_GLOBAL":
                names[".".join(strings)] = None
            elif "UNICODE" in operation:
                strings = [*strings[-1:], argument]
    except _TooLarge:
        raise
    except Exception:  # the file is damaged, or the bare tensors have begun
        pass
    return list(names)


def _operations(path, head) -> Iterator[tuple[str, Any]]:
    """The name and argument of each operation of the pickles in a file, which are not run."""
    import io
    import pickletools
    import zipfile

    with open(path, "rb") as file:
        pickles = [file] * 5  # the old format is five pickles in a row
        if head.startswith(b"PK"):
            archive = zipfile.ZipFile(file)
            members = [m for m in archive.infolist() if m.filename.endswith("data.pkl")]
            if (size := max(member.file_size for member in members)) > MAX_PICKLE_BYTES:
                raise _TooLarge(f"its pickle has {size:,} bytes, too many for weights")
            pickles = (io.BytesIO(archive.read(member)) for member in members)
        for pickle in pickles:
            for operation, argument, _position in pickletools.genops(pickle):
                yield operation.name, argument


def _guess(found, wanted):
    """What a state dict with wrong names or shapes seems to be."""
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


def _few(names: Iterable[str], n: int = 3) -> str:
    names = [printable(name, 100) for name in names]
    return ", ".join(names[:n]) + (", …" if len(names) > n else "")
