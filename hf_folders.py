"""Models as Hugging Face libraries save them: folders on disk, or repositories of the Hub.

Nothing in a folder is executed: weights are safetensors, code beside them is not imported, and
settings that would fetch or import something are refused. What is wrong with a folder is found
without transformers, which takes seconds to import.
"""

import json
import math
import os
import re
from collections.abc import Iterable
from functools import partial
from pathlib import Path
from typing import Any

from trajeval.download import HUB, from_hub
from trajeval.files import open_regular
from trajeval.terminal import UserError, printable, tell
from trajeval.weights import check_weights

CONFIG, MODULES = "config.json", "modules.json"
WEIGHTS, INDEX = "model.safetensors", "model.safetensors.index.json"
SMALL = ("*.json", "*.jinja", "*.txt", "*.model")  # all that is needed besides weights
VOCABULARIES = ("tokenizer.json", "vocab.json", "vocab.txt", "tokenizer.model", "spiece.model")
PROCESSORS = ("processor_config.json", "video_preprocessor_config.json", "preprocessor_config.json")
SETTINGS = (
    *(*PROCESSORS, "tokenizer_config.json"),
    *("sentence_bert_config.json", "config_sentence_transformers.json"),
)
PICKLES = (".bin", ".pt", ".pth", ".ckpt", ".h5", ".msgpack")
ATTENTION = ("eager", "sdpa")  # others may be code that is fetched from the Hub
REPOSITORY = re.compile(r"(\w[\w.-]*/\w[\w.-]*)(?:@(\w[\w./-]*))?", re.ASCII)


# --- finding


def wrong_name(model: str) -> list[str]:
    """What is wrong with the name of a model, and with its folder if it is one on disk."""
    if os.path.isdir(model):
        return wrong_folder(Path(model))
    if os.path.lexists(model):
        return [f"--model {printable(model)}: is a file: give the folder that it is in"]
    if not REPOSITORY.fullmatch(model):
        return [
            f"--model {printable(model)}: neither a folder nor OWNER/NAME, the name of a "
            "repository of the Hugging Face Hub, with @REVISION if it is not its main one"
        ]
    return []


def on_disk(model: str) -> Path | None:
    """The folder of a model whose files are all here, None if it has to be downloaded."""
    if os.path.isdir(model):
        return Path(model)
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import LocalEntryNotFoundError

    repository, revision = parts(model)
    try:
        folder = Path(snapshot_download(repository, revision=revision, local_files_only=True))
    except LocalEntryNotFoundError:
        return None
    return None if wrong_folder(folder) else folder


def parts(model: str) -> tuple[str, str | None]:
    """The repository and the revision that OWNER/NAME@REVISION means."""
    found = REPOSITORY.fullmatch(model)
    assert found  # or wrong_name has a message
    return found[1], found[2]


def small_files(model: str) -> Path:
    """The folder of a model with all of its files but perhaps the weights. Asks the Hub only for a
    repository that is not all here. Raises UserError."""
    if problems := wrong_name(model):
        raise UserError(*problems)
    return on_disk(model) or download(model, SMALL, model)


def find_folder(model: str) -> Path:
    """The folder of a model, on disk or in the Hub's cache; what is missing is downloaded. Raises
    UserError."""
    folder = small_files(model)
    if not os.path.isdir(model) and wrong_folder(folder):
        if not (folder / CONFIG).is_file():
            raise UserError(*wrong_folder(folder))
        names = [path.relative_to(folder).as_posix() for path in weights_of(folder)]
        tell(f"downloading the weights of {printable(model)}: {', '.join(names[:3])}")
        folder = download(model, names, f"the weights of {model}")
    if problems := wrong_folder(folder):
        raise UserError(*problems)
    return folder


def download(model: str, patterns: Iterable[str], what: str) -> Path:
    """The folder in the Hub's cache, with those files of a repository that match the patterns."""
    from huggingface_hub import snapshot_download

    repository, revision = parts(model)
    place, of_revision = f"checkpoints/{Path(repository).name}", ""
    if revision:
        of_revision = f" --revision {revision}"
    advice = (
        f"\n  published at: {HUB}{repository}"
        f"\n  get it with:  hf download {repository}{of_revision} --local-dir {place}"
        f"\n  then give:    --model {place}"
    )
    get = partial(snapshot_download, revision=revision, allow_patterns=list(patterns))
    return Path(from_hub(get, repository, what=what, advice=advice))


def weights_of(folder: Path) -> list[Path]:
    """The files that weights are loaded from, whether they are there or not. Raises UserError."""
    main = [folder / WEIGHTS]
    if (folder / INDEX).is_file() and not main[0].is_file():
        shards = read_json(folder / INDEX).get("weight_map")
        if (
            not isinstance(shards, dict)
            or not shards
            or not all(map(is_file_name, shards.values()))
        ):
            raise UserError(f"{folder / INDEX}: weight_map: must name the file of each weight")
        main = [folder / name for name in sorted(set(shards.values()))]
    others = (folder / path / WEIGHTS for path in module_paths(folder) if path)
    return main + [path for path in others if path.is_file()]


def files_of(folder: Path) -> list[Path]:
    """All files that a model is made of. Raises UserError."""
    folders = {folder, *(folder / path for path in module_paths(folder))}
    small = {path for one in folders for pattern in SMALL for path in one.glob(pattern)}
    return sorted(small | set(weights_of(folder)))


def module_paths(folder: Path) -> list[str]:
    """The folders of the modules of a sentence-transformers model, "" for the model's own."""
    return [module["path"] for module in modules_of(folder)]


def modules_of(folder: Path) -> list[dict]:
    """What modules.json says; nothing where there is none. Raises UserError."""
    if not (folder / MODULES).is_file():
        return []
    modules = read_json(folder / MODULES, list)
    for module in modules:
        if not isinstance(module, dict) or not is_below(module.get("path")):
            raise UserError(f"{folder / MODULES}: each module must have a path in the folder")
        kind = module.get("type")
        if not isinstance(kind, str) or not kind.startswith("sentence_transformers."):
            raise UserError(
                f"{folder / MODULES}: {printable(str(kind))} is code that does not belong to "
                "sentence-transformers, and was not run"
            )
    return modules


# --- checking


def wrong_folder(folder: Path) -> list[str]:
    """What is wrong with the files of a model, as far as can be told at once."""
    problems = []
    for check in (check_config, check_files, check_all_weights):
        try:
            check(folder)
        except UserError as error:
            problems += error.problems
    return list(dict.fromkeys(problems))


def check_config(folder: Path) -> None:
    config = read_json(folder / CONFIG)
    if not isinstance(config.get("model_type"), str):
        raise UserError(f"{folder / CONFIG}: has no model_type, so it does not describe a model")
    if "quantization_config" in config:
        raise UserError(f"{folder / CONFIG}: quantized weights cannot be used: take plain ones")
    for key, value in entries(config):
        if key.endswith("attn_implementation") and value not in (None, *ATTENTION):
            shown = printable(str(value), 60)
            raise UserError(
                f"{folder / CONFIG}: {key}: takes {' or '.join(ATTENTION)}, got {shown}"
            )
    modules_of(folder)


def check_files(folder: Path) -> None:
    for name in SETTINGS:
        if (folder / name).is_file():
            read_json(folder / name)
    if not any((folder / name).is_file() for name in VOCABULARIES):
        raise UserError(f"{folder}: has no tokenizer ({', '.join(VOCABULARIES)})")
    if not any((folder / name).is_file() for name in PROCESSORS):
        raise UserError(
            f"{folder}: has no processor of frames ({', '.join(PROCESSORS)}), so this model takes "
            "no video"
        )


def check_all_weights(folder: Path) -> None:
    for path in weights_of(folder):
        if not path.is_file() and (pickle := pickled(path.parent)):
            raise UserError(
                f"{path.parent}: has weights as {pickle} only, which are not loaded, as such files "
                "can hold code: convert them to safetensors"
            )
        header_of(path)
    for path in module_paths(folder):
        if path and not (folder / path / WEIGHTS).is_file() and pickled(folder / path):
            raise UserError(f"{folder / path}: has pickled weights: convert them to safetensors")


def pickled(folder: Path) -> str | None:
    """The name of a file of weights that is not safetensors."""
    found = sorted(folder.iterdir()) if folder.is_dir() else []
    return next((path.name for path in found if path.suffix in PICKLES), None)


def header_of(path: Path) -> dict[str, Any]:
    """What a safetensors file says of its tensors: name -> dtype, shape, data_offsets. Raises
    UserError if it is missing, of another kind or cut short."""
    check_weights(path)
    try:
        with open_regular(path) as file:
            length = int.from_bytes(file.read(8), "little")
            header = json.loads(file.read(min(length, 100_000_000)))
            header.pop("__metadata__", None)
            end = 8 + length + max(one["data_offsets"][1] for one in header.values())
            sizes = [n_elements(tensor) for tensor in header.values()]
            if end == os.fstat(file.fileno()).st_size and min(sizes) >= 0:
                return header
    except (ValueError, KeyError, TypeError, AttributeError, IndexError, RecursionError):
        pass
    size = f"{os.path.getsize(path):,} bytes"
    raise UserError(f"{path} is not a safetensors file, or damaged or cut short ({size})")


def n_elements(tensor: dict) -> int:
    return math.prod(tensor["shape"])


def read_json(path: Path, kind: type = dict) -> Any:
    """The object, or list, in a JSON file. Raises UserError."""
    try:
        with open_regular(path) as file:
            content = json.loads(file.read().decode("utf-8"))
    except OSError as error:
        raise UserError(f"{path}: cannot be read: {error.strerror}") from None
    except UnicodeDecodeError:
        raise UserError(f"{path}: not UTF-8") from None
    except (ValueError, RecursionError) as error:
        raise UserError(f"{path}: not JSON: {error}") from None
    if not isinstance(content, kind):
        raise UserError(f"{path}: must hold {'an object' if kind is dict else 'a list'}")
    return content


def entries(config: Any) -> Iterable[tuple[str, Any]]:
    """The keys and values of an object and of those in it."""
    for key, value in config.items() if isinstance(config, dict) else ():
        yield key, value
        yield from entries(value)


def is_file_name(name: Any) -> bool:
    return isinstance(name, str) and name == Path(name).name and name.endswith(".safetensors")


def is_below(path: Any) -> bool:
    return isinstance(path, str) and not Path(path).is_absolute() and ".." not in Path(path).parts
