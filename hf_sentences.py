"""Models of sentence-transformers that take video, such as Qwen3-VL-Embedding."""

from contextlib import nullcontext
from functools import cached_property
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from threading import Lock
from typing import Any

from hf_folders import CONFIG, modules_of, read_json
from hf_models import SAFELY, FolderModel, check_prompts, clip_scaling
from trajeval.terminal import UserError

NEEDED = 5, 4  # the first sentence-transformers that takes video
SETTINGS, KIND = "sentence_bert_config.json", "config_sentence_transformers.json"
SHRINKING = ("qwen3_vl",)  # model types whose authors say that embeddings may be cut (MRL)
NO_VIDEO = "this model of sentence-transformers takes no video"
TOO_LONG = "its frames are more than the {} tokens that this model reads: use a lower --n-frames"
NO_TIMES = "this model reads when each frame is shown: give the frames per second (--fps)"


class SentenceModel(FolderModel):
    """A model of sentence-transformers.

    dimensions: the size that embeddings are cut to, for models that are trained for it (Matryoshka
    representation learning). The other settings are FolderModel's.

    Prompts are embedded as queries and videos as documents, with the instructions that the model
    has for them. The weights are in memory in the precision, as the model's authors run it.
    """

    name = "sentence-transformers"
    packages = (*FolderModel.packages, "sentence-transformers")
    default_frames = 16

    def __init__(self, model: str, *, dimensions: int | None = None, **settings):
        super().__init__(model, **settings)
        self.dimensions = dimensions

    @property
    def description(self) -> str:
        return super().description + (f", {self.dimensions} dimensions" if self.dimensions else "")

    @property
    def wrong_settings(self) -> list[str]:
        problems = wrong_package() + wrong_kind(self.model, self.folder)
        if self.dimensions is None or problems:
            return problems
        if self.config["model_type"] not in SHRINKING:
            return [f"--dimensions: {self.short_name} is not known to be trained for it"]
        full = embedding_size(self.folder)
        if full is not None and self.dimensions > full:
            return [f"--dimensions {self.dimensions}: this model's embeddings have {full}"]
        return []

    @property
    def weights_type(self) -> str:
        return "float32" if self.precision == "tf32" else self.precision

    @cached_property
    def architecture(self) -> list:
        return [*super().architecture, self.weights_type, self.dimensions]

    @property
    def preparation(self) -> dict[str, Any]:
        return super().preparation | {"cap_pixels_per_frame": True}

    def load_network(self):
        import torch
        from sentence_transformers import SentenceTransformer

        settings = {"dtype": getattr(torch, self.weights_type), "use_safetensors": True}
        placed = {"device_map": self.device_map} if self.device_map else {}
        device = None if self.device_map else self.device
        network = SentenceTransformer(
            str(self.folder), device=device, model_kwargs=settings | placed, **SAFELY
        )
        if not network.supports("video"):
            raise UserError(f"--model {self.model}: {NO_VIDEO}")
        preprocess, lock = network.preprocess, Lock()  # tokenizers are not safe with threads

        def one_at_a_time(*arguments, **settings):
            with lock:
                return preprocess(*arguments, **settings)

        network.preprocess = one_at_a_time
        return network

    @cached_property
    def processor(self):
        return self.video_network.processor

    @cached_property
    def turn(self):
        """Held by who runs the network: accelerate may move weights while it runs."""
        return Lock() if self.device_map else nullcontext()

    @cached_property
    def resize(self):
        """How the processor scales a frame, uint8 [H, W, 3] -> uint8 [h, w, 3]; None for one that
        is not Qwen's, which is given frames as they are."""
        return clip_scaling(self.processor.video_processor, self.n_frames, cap=True)

    @property
    def video_settings(self) -> dict[str, Any]:
        """What the processor is told of frames that are sampled, and scaled if resize does that."""
        scaled = {} if self.resize is None else {"do_resize": False, "cap_pixels_per_frame": True}
        return {"do_sample_frames": False} | scaled

    def embed_clips(self, frames, times):
        import numpy as np
        import torch

        if not np.isfinite(times).all():
            raise ValueError(NO_TIMES)
        if frames.shape[1] == 1:  # frames go in pairs
            frames, times = frames.expand(-1, 2, -1, -1, -1), times.repeat(2, 1)
        clips = [
            {"array": clip, "video_metadata": metadata(seconds.tolist())}
            for clip, seconds in zip(frames, times)
        ]
        settings: dict[str, Any] = {"processing_kwargs": {"video": self.video_settings}}
        # The weights are in the precision, so the sums that autocast would lower can stay as exact
        # as the authors have them.
        with self.turn, torch.autocast(torch.device(self.device).type, enabled=False):
            try:
                return self.video_network.encode_document(clips, **settings, **self.encoding(clips))
            except ValueError as error:
                if "truncation" in str(error):
                    raise ValueError(TOO_LONG.format(self.context)) from None
                raise

    def embed_texts(self, prompts: list[str]):
        check_prompts(prompts, self.processor.tokenizer)
        with self.turn:
            found = self.text_network.encode_query(prompts, **self.encoding(prompts[:32]))
        return found.float().cpu().numpy()

    def encoding(self, batch: list) -> dict[str, Any]:
        return {
            "batch_size": len(batch),
            "convert_to_tensor": True,
            "truncate_dim": self.dimensions,
            "show_progress_bar": False,
        }

    @property
    def context(self) -> int:
        return self.text_network.max_seq_length

    def tokens(self, prompts: list[str], context: int | None = None) -> dict[str, Any]:
        check_prompts(prompts, self.processor.tokenizer)
        network, settings = self.text_network, {"max_length": context or self.context}
        prompt = network.prompts.get("query")
        return network.preprocess(
            prompts, prompt=prompt, task="query", processing_kwargs={"text": settings}
        )


def metadata(times: list[float]) -> dict[str, Any]:
    """What a processor is told of sampled frames that are shown at `times`, in seconds: a video of
    one frame a second, of which those were taken."""
    step = times[-1] / (len(times) - 1) if times[-1] else 1.0
    return {"fps": 1.0, "total_num_frames": times[-1] + step, "frames_indices": times}


def wrong_package() -> list[str]:
    """What is wrong with the installed sentence-transformers."""
    try:
        found = version("sentence-transformers")
    except PackageNotFoundError:
        found = None
    if found and tuple(map(int, found.split(".")[:2])) >= NEEDED:
        return []
    return [
        f"this model needs sentence-transformers {NEEDED[0]}.{NEEDED[1]} or later"
        f"{f', and {found} is installed' if found else ''}: run "
        "`uv run --extra hf transformers_evaluator.py ...`, or install it for all runs with "
        "`uv sync --extra hf`"
    ]


def wrong_kind(model: str, folder: Path) -> list[str]:
    """Why a model of sentence-transformers is not one that embeds videos, as far as its settings
    say."""
    kind, settings = (
        read_json(folder / name) if (folder / name).is_file() else {} for name in (KIND, SETTINGS)
    )
    if kind.get("model_type") == "CrossEncoder":
        return [f"--model {model}: a reranker has no embeddings: use vlm_evaluator.py"]
    kinds = settings.get("modality_config")
    if isinstance(kinds, dict) and "video" not in kinds:
        return [f"--model {model}: {NO_VIDEO}, only {', '.join(kinds)}"]
    return []


def embedding_size(folder: Path) -> int | None:
    """The size of a model's embeddings, as the last of its modules that has one says."""
    sizes = []
    for module in modules_of(folder):
        path = folder / module["path"] / CONFIG
        if module["path"] and path.is_file():
            config = read_json(path)
            keys = ("embedding_dimension", "word_embedding_dimension", "out_features")
            sizes += [config[key] for key in keys if type(config.get(key)) is int]
    return sizes[-1] if sizes else None
