"""Loads models from Hugging Face folders: every weight of the file into the network, no other, as
far as memory goes, and without the words that the libraries print meanwhile."""

import copy
import io
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stdout, suppress
from pathlib import Path
from threading import RLock

from hf_folders import CONFIG, entries, header_of, n_elements, weights_of
from trajeval.terminal import UserError, printable, tell

FLOATS = {"F16", "BF16", "F32", "F64"}  # in safetensors; loaded in the network's own type
# What there is time and memory for, so that weights that do not fit are told by name.
MOST_LAYERS, MOST_NUMBERS = 1000, 100_000_000
ALONE = RLock()
HEADS = ("lm_head.",)  # of the language model that an embedder was made from


@contextmanager
def strict_loading(folder: Path) -> Iterator[None]:
    """Within the block, a model that transformers loads must have every weight that it needs in
    its files, in its shape, and no other. Raises UserError for that and for whatever else
    transformers has against the folder."""
    from transformers import PreTrainedModel

    def from_pretrained(cls, *arguments, **settings):
        check_size(cls, settings["config"], folder)
        settings |= {"output_loading_info": True, "ignore_mismatched_sizes": True}  # told below
        network, found = original.__func__(cls, *arguments, **settings)
        check_keys(network, found, folder)
        return network

    with quiet():
        original = vars(PreTrainedModel)["from_pretrained"]
        setattr(PreTrainedModel, "from_pretrained", classmethod(from_pretrained))  # noqa: B010
        try:
            yield
        except UserError:
            raise
        except Exception as error:  # whatever a folder can lead to
            raise UserError(f"{folder}: cannot be loaded{reason(error)}") from None
        finally:
            setattr(PreTrainedModel, "from_pretrained", original)  # noqa: B010


def check_size(network_class, config, folder: Path) -> None:
    """Raises UserError for a configuration of a network that is plainly larger than its weights,
    before any of it takes memory. Weights that a network uses twice are in the files once."""
    import torch

    tensors = [tensor for path in weights_of(folder) for tensor in header_of(path).values()]
    layers = [
        value for key, value in entries(config.to_dict()) if re.search("layers|depth", str(key))
    ]
    most = max(len(tensors), MOST_LAYERS)
    if all(value <= most for value in layers if type(value) is int):
        with torch.device("meta"):  # without values
            state = network_class(copy.deepcopy(config)).state_dict()
        most = max(4 * sum(map(n_elements, tensors)), MOST_NUMBERS)
        if sum(value.numel() for value in state.values()) <= most:
            return
    raise UserError(f"{folder / CONFIG}: describes a network that is larger than its weights")


def check_keys(network, found: dict, folder: Path) -> None:
    """Raises UserError unless all weights that were found are those that a network needs."""
    misfits = {
        "missing": found["missing_keys"],
        "unknown": [key for key in found["unexpected_keys"] if not key.startswith(HEADS)],
        "of another shape": [key for key, *_ in found["mismatched_keys"]],
    }
    lines = [
        f"\n  {len(keys)} {what}: {', '.join(printable(key, 100) for key in sorted(keys)[:3])}"
        + (", …" if len(keys) > 3 else "")
        for what, keys in misfits.items()
        if keys
    ]
    if lines:
        raise UserError(
            f"{folder}: its weights do not fit {type(network).__name__}:" + "".join(lines)
        )


@contextmanager
def quiet() -> Iterator[None]:
    """Without the progress, warnings and advice that transformers prints. One thread at a time, as
    the settings are the whole process's."""
    from transformers.utils import logging

    with ALONE:
        level, bar = logging.get_verbosity(), logging.is_progress_bar_enabled()
        logging.set_verbosity_error()
        logging.disable_progress_bar()
        try:
            with redirect_stdout(io.StringIO()):
                yield
        finally:
            logging.set_verbosity(level)
            if bar:
                logging.enable_progress_bar()


def reason(error: Exception) -> str:
    """The end of a message: an error in the libraries' words, without advice to run code. What
    Python itself says, such as that an object has no attribute, helps nobody."""
    words = " ".join(str(error).split())
    if "trust_remote_code" in words:
        return ": it needs code that comes with it, which was not run"
    if isinstance(error, (ValueError, OSError, RuntimeError, ImportError)):
        return f": {printable(words, 400)}"
    return f": its configuration is wrong ({type(error).__name__}: {printable(words, 200)})"


# --- memory


def check_memory(model: str, weights: list[Path], precision: str, places: list[str]) -> None:
    """Says what the weights take in memory, and raises UserError if that is plainly more than there
    is. places: the devices that share them."""
    import torch

    size = torch.empty((), dtype=getattr(torch, precision)).element_size()
    needed = n_bytes(weights, size)
    where = " and ".join(places)
    tell(f"loading {printable(model)}: {in_words(needed)} of weights in {precision} on {where}")
    there = sum(total_memory(place) for place in places)
    if needed > there:
        raise UserError(
            f"--model {printable(model)}: its weights take {in_words(needed)} in {precision}, and "
            f"{where} has {in_words(there)}: use --precision bfloat16, --device-map auto or a "
            "smaller model"
        )


def n_bytes(weights: list[Path], size: int) -> int:
    """What weights take in memory, with `size` bytes for each number that is not whole."""
    tensors = [tensor for path in weights for tensor in header_of(path).values()]
    low_high = [tensor["data_offsets"] for tensor in tensors]
    return sum(
        n_elements(tensor) * size if tensor["dtype"] in FLOATS else high - low
        for tensor, (low, high) in zip(tensors, low_high)
    )


def total_memory(place: str) -> int:
    """The bytes of memory that a device has in all; of the machine's, those that this process may
    use."""
    if place.startswith("cuda"):
        import torch

        return torch.cuda.mem_get_info(place)[1]
    limits = [int(os.sysconf("SC_PAGE_SIZE")) * int(os.sysconf("SC_PHYS_PAGES"))]
    for name in ("memory.max", "memory/memory.limit_in_bytes"):  # of a container
        with suppress(OSError, ValueError):
            limits.append(int(Path("/sys/fs/cgroup", name).read_text()))
    return min(limits)


def in_words(n: int) -> str:
    return f"{n / 1e9:.1f} GB" if n >= 1e8 else f"{n / 1e6:.1f} MB"
