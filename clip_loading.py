"""Loads models of open_clip, by the names that clip_names.py explains."""

import logging
import os
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

from clip_names import CONFIG, FOLDER, HUB, is_path, nearest, weights_in, wrong_config
from trajeval.download import by_hand, from_hub, hub_by_hand
from trajeval.files import stamps
from trajeval.terminal import UserError, printable
from trajeval.weights import check_finite, read


class Loaded(NamedTuple):
    """A network on the CPU in float32, its tokenizer, the file of its weights, and the stamps that
    its files had before they were loaded."""

    network: Any
    tokenizer: Any
    path: Path
    stamps: dict


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
    assert pretrained is not None  # or wrong_names has a message
    if is_path(pretrained):
        return Path(pretrained), {}
    name = model.replace("/", "-")
    if published := open_clip.get_pretrained_cfg(name, pretrained):
        return download_published(published), published
    if os.path.isfile(pretrained):
        return Path(pretrained), {}
    tags = open_clip.list_pretrained_tags_by_model(name)
    raise UserError(
        f"--pretrained {printable(pretrained)}: neither a file nor a tag of {model}"
        f"{nearest(pretrained, tags)}; all its tags: {', '.join(tags) or 'none'}"
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


def load_network(model: str, pretrained: str | None) -> Loaded:
    """A model with its weights. Raises UserError."""
    import open_clip

    path, published = find_weights(model, pretrained)
    before = stamps(files_of(model, path))
    get_tokenizer = partial(open_clip.get_tokenizer, **no_code(model))
    with quiet():
        try:
            network: Any = open_clip.create_model(
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
    """Keeps transformers from running code beside a model, as the model's own files may ask for,
    and from waiting for the user's permission. Returns the arguments that tell a tokenizer of
    transformers so, none for another."""
    import open_clip

    config = from_hub(open_clip.get_model_config, model, what=model) or {}
    text_config = config.get("text_cfg") or {}
    if not (text_config.get("hf_tokenizer_name") or text_config.get("hf_model_name")):
        return {}
    from transformers import dynamic_module_utils

    dynamic_module_utils.TIME_OUT_REMOTE_CODE = 0  # seconds  # ty: ignore[invalid-assignment]
    return {"trust_remote_code": False} if text_config.get("hf_tokenizer_name") else {}
