"""What the names of open_clip's models and weights stand for, and what is wrong with them.

A model is a name of open_clip with weights, a tag or a file; or "hf-hub:OWNER/NAME" or
"local-dir:FOLDER", which bring their own weights and an open_clip_config.json. All is checked
without open_clip, which takes seconds to import.
"""

import json
import re
from difflib import get_close_matches
from importlib.util import find_spec
from pathlib import Path

from trajeval.files import open_regular
from trajeval.terminal import UserError, printable
from trajeval.weights import check_weights

HUB, FOLDER = "hf-hub:", "local-dir:"
CONFIG = "open_clip_config.json"
FILE_SUFFIXES = (".safetensors", ".bin", ".pth", ".pt", ".npz")  # of a file in place of a tag
FOLDER_SUFFIXES = (".safetensors", ".bin", ".pth")  # that open_clip looks for in a folder
PREFERRED = (  # by open_clip, where a folder has several files of weights
    *("open_clip_model.safetensors", "open_clip_pytorch_model.safetensors"),
    *("open_clip_pytorch_model.bin", "open_clip_pytorch_model.pth"),
    *("model.safetensors", "pytorch_model.bin", "pytorch_model.pth", "model.pth"),
)


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
    spec = find_spec("open_clip")
    if spec is None or spec.origin is None:
        raise ModuleNotFoundError("No module named 'open_clip'", name="open_clip")
    configs = Path(spec.origin).with_name("model_configs")
    models = sorted(file.stem for file in configs.glob("*.json"))
    if model.replace("/", "-") not in models:
        return [
            f"--model {printable(model)}: not a model of open_clip{nearest(model, models)}; "
            "--list-models shows all"
        ]
    if pretrained is None:
        return [f"--pretrained is missing: a tag that --list-models shows for {model}, or a file"]
    if is_path(pretrained):
        return wrong_weights(pretrained)
    return []


def wrong_folder(name: str) -> list[str]:
    """What is wrong with a folder that should hold a model as open_clip saves it."""
    if not name:
        return [f"--model {FOLDER}: takes {FOLDER}FOLDER, a folder with a model"]
    folder = Path(name)
    problems = wrong_config(folder / CONFIG)
    if not folder.is_dir():
        return problems
    if not (weights := weights_in(folder)):
        return [*problems, f"{folder}: holds no weights ({', '.join(FOLDER_SUFFIXES)})"]
    return problems + wrong_weights(weights[0])


def wrong_weights(path: str | Path) -> list[str]:
    """What is obviously wrong with a file of weights."""
    try:
        check_weights(path)
    except UserError as error:
        return error.problems
    return []


def wrong_config(path: Path) -> list[str]:
    """What is wrong with an open_clip_config.json."""
    try:
        with open_regular(path) as file:
            content = json.loads(file.read().decode("utf-8"))
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
