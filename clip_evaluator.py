"""Can CLIP, frame by frame, tell these trajectories apart by what is written about them?

    uv run clip_evaluator.py -t trajectories_lists/mine.txt -p prompts/mine.txt -e NAME

writes evaluation_results/NAME.png, a heatmap of cosine similarities, trajectory by prompt, and
the same as numbers, for any model of open_clip. How a network of images is asked about a video is
here: its frames are embedded one by one, normalised, averaged and normalised again, as in
"Vision-Language Models are Zero-Shot Reward Models for Reinforcement Learning" (Rocamonde et al.,
2024) and ViSTa (Wybitul et al., 2024). The run is evaluator.py.
"""

import argparse
import json
import os
import sys
import warnings
from collections.abc import Callable
from difflib import get_close_matches
from functools import cached_property, partial
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path
from typing import NamedTuple

from trajeval import evaluator, readings
from trajeval.arguments import whole_number
from trajeval.cache import NO_CACHE, Cache
from trajeval.devices import choose_device, choose_precision
from trajeval.download import by_hand, from_hub, hub_by_hand
from trajeval.files import check_unchanged, stamps
from trajeval.model import Model
from trajeval.terminal import UserError
from trajeval.weights import check_finite, check_weights, read, sha256

MODEL, PRETRAINED = "ViT-B-32", "laion2b_s34b_b79k"
HUB, FOLDER = "hf-hub:", "local-dir:"  # how open_clip's names begin that are not its own
WEIGHTS_SUFFIXES = (".safetensors", ".bin", ".pth", ".pt", ".npz")

# What the cache holds of a model.
PREPARATION = {
    "resize_mode": str,
    "size": int | list[int],
    "interpolation": str,
    "mean": list[float | int],
    "std": list[float | int],
}
FACTS = {"preparation": PREPARATION, "weights": list[str], "files": dict[str, str]}


class ClipModel(Model):
    """A network of open_clip behind the interface that evaluator.main and embedding.py expect.

    model is a name of open_clip with `pretrained` a tag that it has or a file of weights, or
    "hf-hub:OWNER/NAME" or "local-dir:FOLDER", which bring their own. What is missing is downloaded
    into the Hugging Face Hub's cache. device is "auto", "cpu", "cuda", "cuda:N" or "mps"; frames
    are embedded at a precision, "auto", "float32", "bfloat16" or "float16". cache may know what
    open_clip, which is slow to import, says of the model.

    Raises UserError for a name that open_clip does not have and for files that are
    missing or wrong, UserError for a device that is not there.
    """

    name, packages = "clip", ("open_clip_torch", "timm", "transformers", "pillow")
    n_frames, size = 32, None

    def __init__(
        self,
        model: str = MODEL,
        pretrained: str | Path | None = None,
        *,
        device: str = "auto",
        precision: str = "auto",
        n_frames: int = n_frames,
        cache: Cache = NO_CACHE,
    ):
        if pretrained is None and model == MODEL:
            pretrained = PRETRAINED
        if problems := wrong_names(model, pretrained):
            raise UserError("\n".join(problems))
        self.model, self.pretrained = model, None if pretrained is None else str(pretrained)
        self.device = choose_device(device)
        self.precision = choose_precision(precision, self.device)
        self.n_frames = n_frames
        self.description = f"{model}, {Path(pretrained).name}" if pretrained else model

        packages = {package: version(package) for package in self.packages}
        key = {"model": model, "pretrained": self.pretrained, "packages": packages}
        facts = cache.get("models", key, FACTS)
        self.stamps = facts and stamps_if_unchanged(model, facts, cache)
        if not self.stamps:
            self.stamps = {}  # load_network takes its own
            facts = self.find_facts(cache)
            cache.put("models", key, facts)
        self.preparation = facts["preparation"]
        self.weights = {path: facts["files"][path] for path in facts["weights"]}
        others = sorted(set(facts["files"].values()) - set(self.weights.values()))
        self.architecture = [model, self.pretrained, *others]

    def find_facts(self, cache) -> dict:
        """How the network wants its frames; the files that it is made of, with their hashes; and
        which of them are weights."""
        weights = [str(path) for path in self.loaded.weights]
        files = hashes(self.model, weights, cache)
        check_unchanged(self.loaded.stamps)
        return {
            "preparation": preparation_of(self.loaded.network),
            "weights": weights,
            "files": files,
        }

    @cached_property
    def loaded(self):
        """The network on the CPU in float32, its tokenizer, and the files of its weights."""
        loaded = load_network(self.model, self.pretrained)
        check_unchanged(self.stamps)
        return loaded

    @cached_property
    def resize(self):
        """How open_clip scales an image for the network: uint8 [H, W, 3] -> uint8 [h, w, 3]."""
        return resizing(self.loaded.network)

    @cached_property
    def video_network(self):
        return self.loaded.network.eval().requires_grad_(False).to(self.device)

    @property
    def text_network(self):
        return self.video_network

    def embed_videos(self, frames):
        """Tensors on the device, uint8 [B, T, H, W, 3] -> float32 [B, D], of length 1."""
        import torch.nn.functional as F

        from trajeval.embedding import normalized

        video = normalized(frames, self.preparation["mean"], self.preparation["std"])
        images = self.video_network.encode_image(video.flatten(0, 1))  # [B * T, D]
        images = F.normalize(images.float(), dim=1).unflatten(0, frames.shape[:2])
        return F.normalize(images.mean(1), dim=1)

    def embed_texts(self, prompts: list[str]):
        """Prompts -> NumPy float32 [P, D]."""
        from trajeval.embedding import infer

        tokens = self.loaded.tokenizer(prompts).to(self.device)
        return infer(self.text_network.encode_text, tokens)

    def read_texts(self, prompts: list[str]) -> list[readings.Reading]:
        """How the network reads each prompt."""
        tokenizer = self.loaded.tokenizer
        return readings.read(prompts, tokenizer, tokenizer.context_length)

    @staticmethod
    def add_arguments(parser) -> None:
        parser.add_argument(
            "--model",
            default=MODEL,
            help=f"a model of open_clip, {HUB}OWNER/NAME or {FOLDER}FOLDER (default: {MODEL})",
        )
        parser.add_argument(
            "--pretrained",
            metavar="TAG",
            help=f"weights of the model: a tag or a file (default for {MODEL}: {PRETRAINED})",
        )
        parser.add_argument(
            "--list-models", action=ListModels, nargs=0, help="print models and their tags, and end"
        )

    @staticmethod
    def check_arguments(args) -> list[str]:
        """Fills in what was not given. Returns what is wrong."""
        problems = []
        args.n_frames = whole_number(args, "n_frames", 1, 1024, problems)
        if args.pretrained is None and args.model == MODEL:
            args.pretrained = PRETRAINED
        return problems + wrong_names(args.model, args.pretrained)

    @classmethod
    def from_arguments(cls, args, cache) -> "ClipModel":
        return cls(
            args.model,
            args.pretrained,
            device=args.device,
            precision=args.precision,
            n_frames=args.n_frames,
            cache=cache,
        )


class ListModels(argparse.Action):
    """Prints open_clip's models with their tags, one pair a line, and ends the program."""

    def __call__(self, parser, *_):
        import open_clip

        for model, tag in open_clip.list_pretrained():
            print(f"--model {model} --pretrained {tag}")
        parser.exit()


def wrong_names(model: str, pretrained: str | Path | None) -> list[str]:
    """What is wrong with the name of a model and its weights, as far as can be told at once."""
    if model.startswith((HUB, FOLDER)):
        problems = []
        if pretrained is not None:
            problems.append(f"--pretrained: has no meaning with --model {model}")
        if model.startswith(FOLDER):
            problems += wrong_folder(Path(model.removeprefix(FOLDER)))
        return problems
    # open_clip keeps its models as files; importing it takes far longer than reading their names
    configs = Path(find_spec("open_clip").origin).with_name("model_configs")
    models = sorted(path.stem for path in configs.glob("*.json"))
    if model.replace("/", "-") not in models:
        return [
            f"--model {model}: no model of open_clip{nearest(model, models)}; "
            "--list-models shows what there is"
        ]
    if pretrained is None:
        return [f"--pretrained is missing: a tag that --list-models shows for {model}, or a file"]
    if is_file(pretrained):
        try:
            check_weights(pretrained)
        except UserError as error:
            return [str(error)]
    return []


def wrong_folder(folder: Path) -> list[str]:
    """What is wrong with a folder that should hold a model as open_clip saves it."""
    config = folder / "open_clip_config.json"
    try:
        content = json.loads(config.read_text(encoding="utf-8"))
    except OSError as error:
        return [f"{config}: cannot be read: {error.strerror}"]
    except (ValueError, RecursionError) as error:
        return [f"{config}: not JSON in UTF-8: {error}"]
    if not isinstance(content, dict) or "model_cfg" not in content:
        return [f"{config}: has no model_cfg, so it does not describe a model"]
    if not weights_in(folder):
        return [f"{folder}: holds no weights ({', '.join(WEIGHTS_SUFFIXES)})"]
    return []


def weights_in(folder):
    return sorted(path for path in folder.iterdir() if path.suffix in WEIGHTS_SUFFIXES)


def is_file(pretrained):
    """Whether weights are named by a path; a tag has no suffix and no folder."""
    path = Path(pretrained)
    return path.exists() or path.suffix in WEIGHTS_SUFFIXES or os.sep in str(pretrained)


def nearest(name, names):
    """The end of a message: the names that look most like a wrong one."""
    by_lower = {other.lower(): other for other in names}
    found = get_close_matches(name.lower(), by_lower, n=3, cutoff=0.4)
    did_you_mean = ", ".join(by_lower[other] for other in found)
    return f"; nearest: {did_you_mean}" if found else ""


class Loaded(NamedTuple):
    network: "torch.nn.Module"  # noqa: F821, imported where it is needed
    tokenizer: Callable
    weights: list[str | Path]
    stamps: dict  # of the files, taken before they were loaded


def files_of(model, weights) -> set[str]:
    """The files that a network is made of. Raises OSError."""
    files = {str(path) for path in weights}
    if model.startswith((HUB, FOLDER)):  # their configuration, vocabulary, other weights ...
        for path in weights:
            files |= {str(other) for other in Path(path).parent.iterdir() if other.is_file()}
    return files


def hashes(model, weights, cache) -> dict[str, str]:
    """The SHA-256 of each file that a network is made of. Raises UserError, OSError."""
    return {path: sha256(path, cache=cache) for path in sorted(files_of(model, weights))}


def stamps_if_unchanged(model, facts, cache) -> dict | None:
    """The stamps of a network's files, taken before their hashes are compared with those of the
    facts; None if these differ."""
    try:
        before = stamps(files_of(model, facts["weights"]))
        return before if hashes(model, facts["weights"], cache) == facts["files"] else None
    except (OSError, UserError):
        return None


def load_network(model, pretrained):
    """The network, on the CPU in float32, with what belongs to it. Raises UserError."""
    import open_clip

    force_quick_gelu = False
    if model.startswith(HUB):
        name = model.removeprefix(HUB)
        download = open_clip.pretrained.download_pretrained_from_hf
        paths = [from_hub(download, name, what=name)]
    elif model.startswith(FOLDER):
        paths = weights_in(Path(model.removeprefix(FOLDER)))
    elif is_file(pretrained):
        paths = [Path(pretrained)]
    else:
        name = model.replace("/", "-")
        tags = open_clip.list_pretrained_tags_by_model(name)
        published = open_clip.get_pretrained_cfg(name, pretrained)
        if not published:
            raise UserError(
                f"--pretrained {pretrained}: no weights that open_clip has for {model}"
                f"{nearest(pretrained, tags)}; it has {', '.join(tags) or 'none'}"
            )
        # open_clip only warns where weights were trained with another activation than the name's
        force_quick_gelu = bool(published.get("quick_gelu"))
        paths = [download_published(published)]
    before = stamps(files_of(model, paths))
    get_tokenizer = partial(open_clip.get_tokenizer, **no_code(model))
    try:
        with warnings.catch_warnings(action="ignore"):
            network = open_clip.create_model(
                model,
                pretrained=pretrained,
                force_quick_gelu=force_quick_gelu,
                require_pretrained=True,
                weights_only=True,
            )
    except Exception as error:  # whatever a file of weights can lead to
        for path in paths:
            if Path(path).suffix != ".npz":
                read(path)  # says what is wrong if the file itself is
        reason = " ".join(str(error).split())
        raise UserError(f"{paths[0]} does not fit {model}: {reason[:400]}") from None
    check_finite(network.state_dict(), paths[0])
    tokenizer = from_hub(get_tokenizer, model, what=f"the tokenizer of {model}")
    return Loaded(network, tokenizer, paths, before)


def download_published(published: dict):
    """The path of the weights that open_clip has for a tag. Raises UserError."""
    import open_clip

    if hub := published.get("hf_hub"):  # OWNER/NAME/FILE, or OWNER/NAME/ for the usual file
        repository, name = os.path.split(hub)
        name = name or open_clip.constants.HF_WEIGHTS_NAME
        what, advice = f"{name} of {repository}", hub_by_hand(repository, name, "--pretrained")
    else:
        what = published["url"]
        advice = by_hand(Path("checkpoints", Path(what).name), what)
    return from_hub(open_clip.download_pretrained, published, what=what, advice=advice)


def no_code(model):
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


def preparation_of(network) -> dict:
    """How open_clip prepares images for a network."""
    import open_clip

    config = open_clip.get_model_preprocess_cfg(network)
    found = {key: config[key] for key in PREPARATION}
    return {key: list(value) if isinstance(value, tuple) else value for key, value in found.items()}


def resizing(network) -> Callable:
    """The part of that which scales an image, uint8 [H, W, 3] -> uint8 [h, w, 3]."""
    import numpy as np
    import open_clip
    from PIL import Image

    config = open_clip.get_model_preprocess_cfg(network)
    transform = open_clip.image_transform(
        config["size"],
        is_train=False,
        mean=config["mean"],
        std=config["std"],
        resize_mode=config["resize_mode"],
        interpolation=config["interpolation"],
        fill_color=config["fill_color"],
    )
    *scale, _to_tensor, _normalize = transform.transforms

    def resize(frame):
        image = Image.fromarray(frame)
        for step in scale:
            image = step(image)
        return np.asarray(image)

    return resize


if __name__ == "__main__":
    sys.exit(evaluator.main(ClipModel, __doc__))
