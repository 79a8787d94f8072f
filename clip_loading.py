"""Models of open_clip: what their names and tags stand for, and loading them.

A model is a name of open_clip with weights, a tag or a file; or "hf-hub:OWNER/NAME" or
"local-dir:FOLDER", which bring their own weights and an open_clip_config.json.
"""

import json
import logging
import os
import re
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from difflib import get_close_matches
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from trajeval.cache import Cache
from trajeval.download import by_hand, from_hub, hub_by_hand
from trajeval.files import stamps
from trajeval.terminal import UserError, printable
from trajeval.weights import check_finite, check_weights, read, sha256

if TYPE_CHECKING:
    import torch

HUB, FOLDER = "hf-hub:", "local-dir:"
CONFIG = "open_clip_config.json"
FILE_SUFFIXES = (".safetensors", ".bin", ".pth", ".pt", ".npz")  # of a file in place of a tag
FOLDER_SUFFIXES = (".safetensors", ".bin", ".pth")  # that open_clip looks for in a folder
PREFERRED = (  # by open_clip, where a folder has several files of weights
    *("open_clip_model.safetensors", "open_clip_pytorch_model.safetensors"),
    *("open_clip_pytorch_model.bin", "open_clip_pytorch_model.pth"),
    *("model.safetensors", "pytorch_model.bin", "pytorch_model.pth", "model.pth"),
)


class Loaded(NamedTuple):
    """A network on the CPU in float32, its tokenizer, the file of its weights, and the stamps that
    its files had before they were loaded."""

    network: "torch.nn.Module"
    tokenizer: Callable
    path: Path
    stamps: dict


# --- names, checked without open_clip, which takes seconds to import


def wrong_names(model: str, pretrained: str | None) -> list[str]:
    """What is wrong with the name of a model and its weights, as far as can be told at once."""
    if model.startswith((HUB, FOLDER)):
        problems = []
        if pretrained is not None:
            problems.append(f"--pretrained: cannot be combined with --model {model}")
        if model.startswith(FOLDER):
            return problems + wrong_folder(model.removeprefix(FOLDER))
        if not re.fullmatch(r"(\w[\w.-]*/)?\w[\w.-]*", model.removeprefix(HUB), re.ASCII):
            problems.append(
                f"--model {printable(model)}: takes {HUB}OWNER/NAME, the name of a repository of "
                "the Hugging Face Hub"
            )
        return problems
    # open_clip keeps its models as files, whose names are much quicker to read
    configs = Path(find_spec("open_clip").origin).with_name("model_configs")
    models = sorted(file.stem for file in configs.glob("*.json"))
    if model.replace("/", "-") not in models:
        return [
            f"--model {printable(model)}: not a model of open_clip{nearest(model, models)}; "
            "--list-models shows all"
        ]
    if pretrained is None:
        return [f"--pretrained is missing: a tag that --list-models shows for {model}, or a file"]
    if is_path(pretrained):
        try:
            check_weights(pretrained)
        except UserError as error:
            return error.problems
    return []


def wrong_folder(name: str) -> list[str]:
    """What is wrong with a folder that should hold a model as open_clip saves it."""
    if not name:
        return [f"--model {FOLDER}: takes {FOLDER}FOLDER, a folder with a model"]
    folder = Path(name)
    problems = wrong_config(folder / CONFIG)
    if folder.is_dir() and not weights_in(folder):
        problems.append(f"{folder}: holds no weights ({', '.join(FOLDER_SUFFIXES)})")
    return problems


def wrong_config(path: Path) -> list[str]:
    """What is wrong with an open_clip_config.json."""
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        return [f"{path}: cannot be read: {error.strerror}"]
    except UnicodeDecodeError:
        return [f"{path}: not UTF-8"]
    except (ValueError, RecursionError) as error:
        return [f"{path}: not JSON: {error}"]
    if not isinstance(content, dict) or "model_cfg" not in content:
        return [f"{path}: has no model_cfg, so it does not describe a model"]
    model, preprocess = content["model_cfg"], content.get("preprocess_cfg") or {}
    if not isinstance(model, dict) or not isinstance(preprocess, dict):
        key = "preprocess_cfg" if isinstance(model, dict) else "model_cfg"
        return [f"{path}: {key}: must be an object, got {shown(content[key])}"]
    problems = [
        f"{path}: model_cfg.{key}: must be an object, got {shown(model.get(key))}"
        for key in ("vision_cfg", "text_cfg")
        if not isinstance(model.get(key), dict)
    ]
    for key, (is_right, what) in PREPROCESS.items():
        value = preprocess.get(key)
        if value is not None and not is_right(value):  # null means the default
            problems.append(f"{path}: preprocess_cfg.{key}: must be {what}, got {shown(value)}")
    return problems


def are_numbers(value, low: float) -> bool:
    """Whether a value from JSON is three numbers above `low`."""
    return (
        isinstance(value, list)
        and len(value) == 3
        and all(type(n) in (int, float) and low < n < float("inf") for n in value)
    )


def is_size(value) -> bool:
    sides = value if isinstance(value, list) else [value]
    return len(sides) in (1, 2) and all(type(n) is int and 0 < n <= 10_000 for n in sides)


PREPROCESS = {  # key -> whether a value is right, and what it must be
    "mean": (lambda value: are_numbers(value, float("-inf")), "three numbers"),
    "std": (lambda value: are_numbers(value, 0), "three numbers above 0"),
    "size": (is_size, "a number of pixels, or height and width"),
    "interpolation": (
        lambda value: value in ("bicubic", "bilinear", "random"),
        "bicubic, bilinear or random",
    ),
    "resize_mode": (
        lambda value: value in ("shortest", "longest", "squash"),
        "shortest, longest or squash",
    ),
    "fill_color": (lambda value: type(value) is int and 0 <= value <= 255, "0 to 255"),
    "mode": (lambda value: value == "RGB", "RGB"),
}


def shown(value) -> str:
    return printable(json.dumps(value, ensure_ascii=False), 60)


def weights_in(folder: Path) -> list[Path]:
    """The files of weights in a folder, first the one that open_clip takes."""

    def rank(path):
        place = PREFERRED.index(path.name) if path.name in PREFERRED else len(PREFERRED)
        return place, path.suffix != ".safetensors", path

    return sorted((p for p in folder.iterdir() if p.suffix in FOLDER_SUFFIXES), key=rank)


def is_path(pretrained: str) -> bool:
    """Whether weights are certainly named by a path: a tag has no suffix and no folder."""
    return Path(pretrained).suffix in FILE_SUFFIXES or Path(pretrained).name != pretrained


def nearest(name: str, names: list[str]) -> str:
    """The end of a message: the names most like a wrong one."""
    by_lower = {other.lower(): other for other in names}
    found = get_close_matches(name.lower(), by_lower, n=3, cutoff=0.4)
    did_you_mean = ", ".join(by_lower[other] for other in found)
    return f"; nearest: {did_you_mean}" if found else ""


# --- files


def hashes(model: str, weights: str | Path, cache: Cache) -> dict[str, str]:
    """The SHA-256 of each file that a model is made of. Raises UserError, OSError."""
    return {path: sha256(path, cache=cache) for path in files_of(model, weights)}


def files_of(model: str, weights: str | Path) -> list[str]:
    """The files that a model is made of, given the file of its weights."""
    files = {str(weights)}
    if model.startswith((HUB, FOLDER)):  # the configuration, the vocabulary, other weights ...
        files |= {str(other) for other in Path(weights).parent.iterdir() if other.is_file()}
    return sorted(files)


def find_weights(model: str, pretrained: str | None) -> tuple[Path, dict]:
    """The file of a model's weights, downloaded if missing; and what open_clip says of it, if it
    is one that a tag stands for. A tag of the model has precedence over a file of that name.
    Raises UserError."""
    import open_clip

    if model.startswith(HUB):
        name, get = model.removeprefix(HUB), open_clip.pretrained.download_pretrained_from_hf
        config = from_hub(get, name, CONFIG, what=f"{CONFIG} of {name}")
        if problems := wrong_config(Path(config)):
            raise UserError(*problems)
        return Path(from_hub(get, name, what=f"the weights of {name}")), {}
    if model.startswith(FOLDER):
        return weights_in(Path(model.removeprefix(FOLDER)))[0], {}
    if is_path(pretrained):
        return Path(pretrained), {}
    name = model.replace("/", "-")
    if published := open_clip.get_pretrained_cfg(name, pretrained):
        return download_published(published), published
    if os.path.isfile(pretrained):
        return Path(pretrained), {}
    tags = open_clip.list_pretrained_tags_by_model(name)
    raise UserError(
        f"--pretrained {printable(pretrained)}: neither a tag of {model}"
        f"{nearest(pretrained, tags)}; it has {', '.join(tags) or 'none'}; nor a file"
    )


def download_published(published: dict) -> Path:
    """The file of the weights that open_clip has for a tag. Raises UserError."""
    import open_clip

    if hub := published.get("hf_hub"):  # OWNER/NAME/FILE, or OWNER/NAME/ for the usual file
        repository, name = os.path.split(hub)
        name = name or open_clip.constants.HF_WEIGHTS_NAME
        what, advice = f"{name} of {repository}", hub_by_hand(repository, name, "--pretrained")
    else:
        what = published["url"]
        advice = by_hand(Path("checkpoints", Path(what).name), what)
    return Path(from_hub(open_clip.download_pretrained, published, what=what, advice=advice))


# --- loading


def load_network(model: str, pretrained: str | None) -> Loaded:
    """A model with its weights. Raises UserError."""
    import open_clip

    path, published = find_weights(model, pretrained)
    before = stamps(files_of(model, path))
    get_tokenizer = partial(open_clip.get_tokenizer, **no_code(model))
    with quiet():
        try:
            network = open_clip.create_model(
                model,
                load_weights=False,
                pretrained_text=False,
                # open_clip only warns where weights need another activation than the name says
                force_quick_gelu=bool(published.get("quick_gelu")),
                force_preprocess_cfg=published,
            )
        except Exception as error:  # whatever a configuration can lead to
            raise UserError(f"--model {model}: open_clip cannot build it{reason(error)}") from None
        try:
            open_clip.load_checkpoint(network, str(path), weights_only=True)
        except Exception as error:  # whatever a file of weights can lead to
            if path.suffix != ".npz":
                read(path)  # says what is wrong if the file itself is
            raise UserError(f"{path} does not fit {model}{reason(error)}") from None
    check_finite(network.state_dict(), path)
    tokenizer = from_hub(get_tokenizer, model, what=f"the tokenizer of {model}")
    return Loaded(network, tokenizer, path, before)


@contextmanager
def quiet() -> Iterator[None]:
    """Without the warnings that open_clip gives and logs, such as that it loads no weights."""
    before = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        with warnings.catch_warnings(action="ignore"):
            yield
    finally:
        logging.disable(before)


def reason(error: Exception) -> str:
    """The end of a message: an error in PyTorch's and open_clip's words. What Python itself says,
    such as that an object has no attribute, helps nobody."""
    words = " ".join(str(error).split())[:400]
    return f": {words}" if isinstance(error, RuntimeError) else ": it is of another kind of network"


def no_code(model: str) -> dict[str, Any]:
    """Keeps transformers from running code that lies beside a model, which the model's own files
    may ask for, and from asking whether it may. Returns the arguments that tell a tokenizer of
    transformers so, none for another."""
    import open_clip

    config = from_hub(open_clip.get_model_config, model, what=model) or {}
    text_config = config.get("text_cfg") or {}
    if not (text_config.get("hf_tokenizer_name") or text_config.get("hf_model_name")):
        return {}
    from transformers import dynamic_module_utils

    dynamic_module_utils.TIME_OUT_REMOTE_CODE = 0  # seconds that an answer is waited for
    return {"trust_remote_code": False} if text_config.get("hf_tokenizer_name") else {}
