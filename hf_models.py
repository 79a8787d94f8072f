"""What all models from Hugging Face folders share: their files, frames, tokens and loading."""

import os
from functools import cached_property, lru_cache, partial
from itertools import product
from pathlib import Path
from typing import Any

from hf_folders import CONFIG, PROCESSORS, entries, files_of, find_folder, read_json, small_files
from hf_loading import check_memory, strict_loading
from trajeval import readings
from trajeval.files import stamps
from trajeval.model import Model
from trajeval.options import Option, choice
from trajeval.terminal import UserError, printable
from trajeval.weights import check_finite, sha256

DEVICE_MAP = Option(
    "--device-map",
    "auto: spread the weights over all GPUs and the main memory, with accelerate",
    "HOW",
    choice("auto"),
    shown="all on --device",
)
# How a folder's processor prepares frames: what run.json and users are told.
PREPARATION = (
    *("do_resize", "size", "do_center_crop", "crop_size", "resample"),
    *("do_normalize", "image_mean", "image_std"),
)
SAFELY: dict[str, Any] = {"trust_remote_code": False, "local_files_only": True}


class FolderModel(Model):
    """A model from a Hugging Face folder: what its families share.

    model: a folder, or OWNER/NAME on the Hub. device_map: "auto" spreads the weights over all
    devices, with accelerate. The other settings are Model's. n_frames: by default what the
    processor or the configuration says, else `default_frames`.
    """

    name = "transformers"
    packages = ("transformers", "tokenizers", "torchvision")
    default_frames, size = 32, None

    def __init__(self, model: str, *, device_map: str | None = None, **settings):
        super().__init__(**settings)
        self.model, self.device_map = str(model), device_map

    @property
    def description(self) -> str:
        return Path(os.path.abspath(self.model)).name

    @cached_property
    def folder(self) -> Path:
        """Where the model is, perhaps without its weights; downloaded if it is missing. Raises
        UserError."""
        return small_files(self.model)

    @cached_property
    def config(self) -> dict:
        return read_json(self.folder / CONFIG)

    @cached_property
    def frame_config(self) -> dict:
        """What the folder says of how frames are prepared."""
        found: dict[str, Any] = {}
        for name in PROCESSORS[::-1]:  # the first has the last word
            if (path := self.folder / name).is_file():
                content = read_json(path)
                nested = content.get("video_processor") or content.get("image_processor")
                found |= nested if isinstance(nested, dict) else content
        return found

    @cached_property
    def n_frames(self) -> int:
        told = self.frame_config.get("num_frames")
        return told if type(told) is int and 0 < told <= 1024 else self.trained_frames

    @property
    def trained_frames(self) -> int:
        """The number of frames in the configuration, which positions in time are for."""
        told = (value for key, value in entries(self.config) if key == "num_frames")
        return next((n for n in told if type(n) is int and 0 < n <= 1024), self.default_frames)

    @property
    def wrong_settings(self) -> list[str]:
        """What is wrong with the settings for this model; nothing heavy is loaded for it."""
        return []

    @classmethod
    def from_arguments(cls, args, cache):
        model = super().from_arguments(args, cache)
        model.check_settings()
        return model

    def check_settings(self) -> None:
        """Raises UserError for settings that the model does not take, before weights are
        downloaded."""
        if problems := self.wrong_settings:
            raise UserError(*problems)

    def find_files(self) -> list[Path]:
        self.check_settings()
        self.folder = find_folder(self.model)
        return files_of(self.folder)

    @cached_property
    def hashes(self) -> dict[str, str]:
        """The path of each file of the model -> its SHA-256."""
        files = self.find_files()
        self.stamps = stamps(files)
        return {str(path): sha256(path, cache=self.cache) for path in files}

    @cached_property
    def weights(self) -> dict[str, str]:
        return {path: one for path, one in self.hashes.items() if path.endswith(".safetensors")}

    @cached_property
    def architecture(self) -> list:
        """The hashes of the files that are not weights: settings, vocabularies, templates."""
        return sorted({one for path, one in self.hashes.items() if path not in self.weights})

    @property
    def preparation(self) -> dict[str, Any]:
        return {key: self.frame_config[key] for key in PREPARATION if key in self.frame_config}

    @property
    def weights_type(self) -> str:
        """The type of the weights in memory."""
        return "float32"

    @cached_property
    def video_network(self):
        places = [self.device]
        if self.device_map:
            places = [*all_gpus(), "cpu"]
        with self.loading():
            paths = [Path(path) for path in self.weights]
            check_memory(self.model, paths, self.weights_type, places)
            with strict_loading(self.folder):
                network = self.load_network()
                if not self.device_map:
                    network = network.to(self.device)
        state = {k: v for k, v in network.state_dict().items() if v.device.type != "meta"}
        check_finite(state, self.folder)
        return network.eval().requires_grad_(False)

    @property
    def text_network(self):
        return self.video_network

    def load_network(self):
        """The network, on all devices if there is a device_map. Raises whatever transformers
        does."""
        import torch
        from transformers import AutoModel

        settings = SAFELY | {"use_safetensors": True, "device_map": self.device_map}
        return AutoModel.from_pretrained(str(self.folder), dtype=torch.float32, **settings)

    @cached_property
    def processor(self):
        """The processor of transformers: of frames, and a tokenizer."""
        from transformers import AutoProcessor

        with self.loading(), strict_loading(self.folder):
            return AutoProcessor.from_pretrained(str(self.folder), **SAFELY)

    @cached_property
    def resize(self):
        """How the processor scales and cuts a frame: uint8 [H, W, 3] -> uint8 [h, w, 3]."""
        off = {"do_rescale": False, "do_normalize": False}
        return of_frames(partial(through, self.processor.video_processor, **off))

    def pixels(self, frames):
        """Scaled frames, uint8 [..., H, W, 3] -> what the processor makes of their values, float32
        [..., 3, H, W]."""
        flat = frames.movedim(-1, -3).flatten(end_dim=-4)
        off = {"do_resize": False, "do_center_crop": False}
        values = through(self.processor.video_processor, flat, **off)
        return values.unflatten(0, frames.shape[:-3])

    @property
    def context(self) -> int:
        """The tokens of a prompt that the network reads, at most."""
        told = [value for key, value in entries(self.config) if key == "max_position_embeddings"]
        return min([self.processor.tokenizer.model_max_length, *told])

    def tokens(self, prompts: list[str], context: int | None = None) -> dict[str, Any]:
        """What the network gets of prompts: input_ids and attention_mask, int64 [P, tokens], on
        its device. Raises UserError for a prompt with a token of the model's own."""
        check_prompts(prompts, self.processor.tokenizer)
        settings = {"padding": True, "truncation": True, "return_tensors": "pt"}
        found = self.processor.tokenizer(prompts, max_length=context or self.context, **settings)
        kept = ("input_ids", "attention_mask")
        return {name: found[name].to(self.text_network.device) for name in kept}

    def read_texts(self, prompts: list[str]) -> list[readings.Reading]:
        def tokenize(texts, context):
            return self.tokens(texts, context)["input_ids"]

        tokenizer = self.processor.tokenizer
        found = readings.read(prompts, tokenize, self.context)
        for prompt, reading in zip(prompts, found):
            if words := unknown_words(tokenizer, prompt, reading.tokens):
                reading.unseen.append(f"not in the model's vocabulary: {' '.join(words)}")
        return found


def through(processor, frames, **off):
    """Frames uint8 [T, 3, H, W] through those steps of a processor that are not switched off."""
    if hasattr(processor, "sample_frames"):  # else it is of images
        found = processor(videos=[frames], do_sample_frames=False, return_tensors="pt", **off)
        return found["pixel_values_videos"].flatten(end_dim=-4)
    found = processor(images=list(frames), return_tensors="pt", **off)
    return found["pixel_values"].flatten(end_dim=-4)


def of_frames(scale):
    """A function of frames, uint8 [T, 3, H, W] -> uint8 [T, 3, h, w], as one of a NumPy array,
    uint8 [H, W, 3] -> uint8 [h, w, 3]."""

    def scaled(frame):
        import torch

        return scale(torch.from_numpy(frame).movedim(2, 0)[None])[0].movedim(0, 2).numpy()

    return scaled


def clip_scaling(processor, n_frames: int, cap: bool):
    """How a processor of Qwen's scales each frame of a clip, uint8 [H, W, 3] -> uint8 [h, w, 3]: it
    bounds the pixels of all together. None for another one. cap: its cap_pixels_per_frame."""
    if not hasattr(processor, "cap_pixels_per_frame"):
        return None
    import torch

    settings = {
        "size": processor.size,
        "factor": processor.patch_size * processor.merge_size,
        "temporal_factor": processor.temporal_patch_size,
        "cap_pixels_per_frame": cap,
    }

    @lru_cache
    def size_of(height, width):
        clip = torch.empty((1, max(n_frames, 2), 3, height, width), device="meta")
        height, width = processor.resize(clip, resample=None, **settings).shape[-2:]
        return type(processor.size)(height=height, width=width)

    def scale(frames):  # to that size, by the method that the processor's own calls
        plain = super(type(processor), processor).resize
        return plain(frames, size_of(*frames.shape[-2:]), processor.resample)

    return of_frames(scale)


def check_prompts(prompts: list[str], tokenizer) -> None:
    """Raises UserError for a prompt that a model would not read as text alone."""
    for prompt, token in product(prompts, tokenizer.all_special_tokens):
        if token in prompt:
            raise UserError(
                f'the prompt "{printable(prompt)}": the model takes {token} for a sign of its own, '
                "not for text: leave it out"
            )


def unknown_words(tokenizer, prompt: str, tokens: list[int]) -> list[str]:
    """The words of a prompt that a tokenizer has no tokens for, as far as it reads the prompt."""
    unknown = tokenizer.unk_token_id
    if unknown in (None, tokenizer.eos_token_id, tokenizer.pad_token_id) or unknown not in tokens:
        return []
    of_words = ((word, tokenizer(word, add_special_tokens=False)) for word in prompt.split())
    return [word for word, found in of_words if unknown in found["input_ids"]]


def all_gpus() -> list[str]:
    import torch

    return [f"cuda:{i}" for i in range(torch.cuda.device_count())]
