"""Can CLIP, frame by frame, tell these trajectories apart by what is written about them?

    uv run clip_evaluator.py -t trajectories_lists/mine.txt -p prompts/mine.txt -e NAME

writes evaluation_results/NAME.png, a heatmap of the cosine similarities of trajectories and
prompts, and the folder NAME with the same as numbers, for any model of open_clip.

The embedding of a video is that of its frames: each normalized, then averaged, and normalized
again, as in "Vision-Language Models are Zero-Shot Reward Models for Reinforcement Learning"
(Rocamonde et al., 2024) and ViSTa (Wybitul et al., 2024).
"""

from trajeval.terminal import exit_on_interrupt, run_script

if __name__ == "__main__":
    exit_on_interrupt()

from collections.abc import Callable
from functools import cached_property
from importlib.metadata import version
from pathlib import Path
from typing import Any

from clip_loading import Loaded, files_of, load_network
from clip_names import FOLDER, HUB, wrong_names
from trajeval import readings
from trajeval.evaluator import main
from trajeval.files import check_unchanged, stamps
from trajeval.model import FrameModel
from trajeval.options import Option, path
from trajeval.terminal import UserError, answer
from trajeval.weights import sha256

MODEL, PRETRAINED = "ViT-B-32", "laion2b_s34b_b79k"
VERSION = 2  # to be raised when other facts of a model are kept

# What a cache keeps of a model.
PREPARATION = {
    "resize_mode": str,
    "size": int | list[int],
    "interpolation": str,
    "mean": list[float | int],
    "std": list[float | int],
    "fill_color": int,
}
FACTS = {"preparation": PREPARATION, "weights": str, "files": dict[str, str]}


class ClipModel(FrameModel):
    """A model of open_clip, applied frame by frame.

    model: a name of open_clip, with `pretrained` a tag of it or a file of weights; or
    "hf-hub:OWNER/NAME" or "local-dir:FOLDER", which bring their own. What is missing is downloaded
    into the Hugging Face Hub's cache. The other settings are Model's. A cache also keeps what
    open_clip, which is slow to import, says of the model.
    """

    name, packages = "clip", ("open_clip_torch", "timm", "transformers", "pillow")
    n_frames, size = 32, None
    options = (
        Option(
            "--model",
            f"a model of open_clip, {HUB}OWNER/NAME or {FOLDER}FOLDER",
            "NAME",
            str,
            MODEL,
        ),
        Option(
            "--pretrained",
            "weights of the model: a tag, or a file, as in ./FILE",
            "TAG",
            path,
            shown=f"{PRETRAINED} for {MODEL}",
        ),
        Option("--list-models", "print the models and their tags, and exit"),
    )

    def __init__(self, model: str = MODEL, pretrained: str | Path | None = None, **settings):
        super().__init__(**settings)
        if pretrained is None and model == MODEL:
            pretrained = PRETRAINED
        self.model, self.pretrained = model, None if pretrained is None else str(pretrained)

    @property
    def description(self) -> str:
        return (
            self.model if self.pretrained is None else f"{self.model}, {Path(self.pretrained).name}"
        )

    @cached_property
    def loaded(self) -> Loaded:
        loaded = load_network(self.model, self.pretrained)
        if "facts" in vars(self):  # known from the files' hashes before
            check_unchanged(self.stamps)
        return loaded

    @cached_property
    def facts(self) -> dict:
        """How the network wants its frames; the file of its weights; and all files that it is made
        of, with their hashes."""
        if problems := wrong_names(self.model, self.pretrained):
            raise UserError(*problems)
        key = {
            "version": VERSION,
            "model": self.model,
            "pretrained": self.pretrained,
            "packages": {package: version(package) for package in self.packages},
        }
        facts = self.cache.get("models", key, FACTS)
        if facts is not None:
            self.stamps = stamps(facts["files"])
            if self.hashes(facts["weights"]) == facts["files"]:
                return facts
        loaded = self.loaded
        facts = {
            "preparation": preparation_of(loaded.network),
            "weights": str(loaded.path),
            "files": self.hashes(loaded.path),
        }
        check_unchanged(loaded.stamps)
        self.cache.put("models", key, facts)
        return facts

    def hashes(self, weights: str | Path) -> dict[str, str]:
        """The model's files and their hashes; none if one is missing."""
        try:
            files = files_of(self.model, weights)
            return {path: sha256(path, cache=self.cache) for path in files}
        except (OSError, UserError):
            return {}

    def find_files(self) -> list[Path]:
        return [Path(self.facts["weights"])]

    @cached_property
    def weights(self) -> dict[str, str]:
        path = self.facts["weights"]
        return {path: self.facts["files"][path]}

    @property
    def preparation(self) -> dict:
        return self.facts["preparation"]

    @cached_property
    def architecture(self) -> list:
        return [self.model, self.pretrained, sorted(set(self.facts["files"].values()))]

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

    def embed_frames(self, frames):
        from trajeval.batches import normalized

        images = normalized(frames, self.preparation["mean"], self.preparation["std"])
        return self.video_network.encode_image(images)

    def embed_texts(self, prompts: list[str]):
        from trajeval.batches import infer

        tokens = self.loaded.tokenizer(prompts).to(self.device)
        return infer(self.text_network.encode_text, tokens)

    def read_texts(self, prompts: list[str]) -> list[readings.Reading]:
        tokenizer = self.loaded.tokenizer
        return readings.read(prompts, tokenizer, tokenizer.context_length)

    @classmethod
    def check(cls, args) -> list[str]:
        if args.list_models:
            list_models()
            raise SystemExit(0)
        model = cls(args.model, args.pretrained)
        return wrong_names(model.model, model.pretrained)


def preparation_of(network) -> dict[str, Any]:
    """How open_clip prepares images for a network, as JSON values."""
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
    image_size, others = config["size"], {key: config[key] for key in PREPARATION if key != "size"}
    transform = open_clip.image_transform(image_size, is_train=False, **others)
    *scale, _to_tensor, _normalize = transform.transforms

    def resize(frame):
        image = Image.fromarray(frame)
        try:
            for step in scale:
                image = step(image)
        except ValueError:  # a side would have no pixel
            width, height = image.size
            raise ValueError(f"{width}x{height} pixels are too narrow for this model") from None
        return np.asarray(image)

    return resize


def list_models() -> None:
    """Prints open_clip's models with their tags, one pair a line."""
    import open_clip

    pairs = open_clip.list_pretrained()
    answer("\n".join(f"--model {model} --pretrained {tag}" for model, tag in pairs))


if __name__ == "__main__":
    run_script(lambda: main(ClipModel, __doc__))
