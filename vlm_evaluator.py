"""Does a model that answers questions see in these trajectories what is written about them?

    uv run --extra hf vlm_evaluator.py -t trajectories_lists/mine.txt -p prompts/mine.txt -e NAME

writes evaluation_results/NAME.png, a heatmap of the scores that the model, as a judge, gives each
trajectory and prompt, and the folder NAME with the same as numbers.

--question says what the model is asked, and so what the scores are. true: the logarithm of p(True)
after the statement that the video completes the task (TOPReward). yes: p(Yes) after the question
whether it shows the prompt (VQAScore). rank: a reranker's logit of yes less that of no.
"""

from trajeval.terminal import exit_on_interrupt, run_script

if __name__ == "__main__":
    exit_on_interrupt()

import copy
from functools import cached_property
from importlib.util import find_spec
from threading import Lock
from typing import Any

import numpy as np

from hf_folders import on_disk, wrong_name
from hf_models import DEVICE_MAP, SAFELY, FolderModel, check_prompts, clip_scaling
from trajeval.evaluator import main
from trajeval.model import Judge
from trajeval.options import Option, choice
from trajeval.readings import Reading
from trajeval.terminal import UserError, printable
from vlm_questions import LABELS, answer_tokens, score_of, text_of

MODEL, RERANKER = "Qwen/Qwen3-VL-2B-Instruct", "Qwen/Qwen3-VL-Reranker-2B"
FPS = 2.0  # what a video without times is taken for, and any video by TOPReward


class VlmJudge(FolderModel, Judge):
    """An image-text-to-text model of transformers that takes videos, as a judge.

    model: OWNER/NAME of the Hugging Face Hub or a folder; by default the question's own. question:
    "true", "yes" or "rank". chat_template: "true" is asked as a whole message, not as its authors
    do within one that is left open. device_map: "auto" spreads the network over all GPUs and, if
    they are too small, the CPU's memory. n_frames: 16 by default, as many as TOPReward looks at.
    The other settings are Model's.
    """

    name = "vlm"
    n_frames = 16
    options = (
        Option(
            "--model",
            "a model of transformers that answers questions about videos: OWNER/NAME of the "
            "Hugging Face Hub, or a folder",
            "NAME",
            shown=f"{MODEL}; for rank {RERANKER}",
        ),
        Option(
            "--question",
            "true: log p(True), as TOPReward; yes: p(Yes), as VQAScore; rank: a reranker's logit "
            "of yes less that of no",
            "WHAT",
            choice(*LABELS),
            "true",
        ),
        Option("--chat-template", "ask --question true as a whole message of the model's template"),
        DEVICE_MAP,
    )

    def __init__(
        self,
        model: str | None = None,
        question: str = "true",
        *,
        chat_template: bool = False,
        **settings,
    ):
        super().__init__(model or (RERANKER if question == "rank" else MODEL), **settings)
        self.question, self.chat_template = question, chat_template
        self.score_label = LABELS[question]
        self._one_at_a_time = Lock()  # tokenizers are not safe with several threads

    @property
    def description(self) -> str:
        asked = f"{super().description}, question {self.question}"
        return f"{asked}, chat template" if self.chat_template else asked

    @cached_property
    def architecture(self) -> list:
        return [self.question, self.chat_template, super().architecture]

    @property
    def weights_type(self) -> str:
        return "float32" if self.precision == "tf32" else self.precision

    def find_files(self):
        if on_disk(self.model) is None:
            self.check_kind()  # before large files are downloaded
        return super().find_files()

    def check_kind(self) -> None:
        """Raises UserError for a model that does not answer questions about what it sees."""
        from transformers.models.auto.modeling_auto import (
            MODEL_FOR_IMAGE_TEXT_TO_TEXT_MAPPING_NAMES as KINDS,
        )

        kind = self.config.get("model_type")
        if kind not in KINDS:
            raise UserError(
                f"--model {printable(self.model)}: is of type {printable(str(kind))}, which does "
                f"not answer questions about videos: take one such as {MODEL}"
            )

    @cached_property
    def text_network(self):
        """The model's processor. Raises UserError for a model that cannot be asked about videos."""
        self.check_kind()
        if getattr(self.processor, "video_processor", None) is None:
            raise UserError(f"--model {printable(self.model)}: does not take videos")
        return self.processor

    @cached_property
    def answer(self) -> list[int]:
        """The tokens that the score is made of. Raises UserError."""
        try:
            return answer_tokens(self.question, self.text_network, self.chat_template)
        except UserError as error:
            shown = printable(self.model)
            raise UserError(
                *(f"--model {shown}: {problem}" for problem in error.problems)
            ) from None

    @cached_property
    def video_network(self):
        _ = self.answer  # a model that cannot be asked is not loaded
        return super().video_network

    @cached_property
    def scaling(self):
        """How the processor scales a frame, uint8 [H, W, 3] -> uint8 [h, w, 3], as far as that can
        be done before the frames of a curve are held together; else None."""
        from transformers.video_processing_utils import BaseVideoProcessor

        of_videos = self.text_network.video_processor
        if type(of_videos)._preprocess is BaseVideoProcessor._preprocess:
            return super().resize
        cap = bool(getattr(of_videos, "cap_pixels_per_frame", False))
        return clip_scaling(of_videos, self.n_frames, cap)

    @cached_property
    def resize(self):
        return self.scaling or (lambda frame: frame)

    def load_network(self):
        from transformers import AutoModelForImageTextToText

        from trajeval.devices import torch_type

        settings = SAFELY | {"use_safetensors": True, "device_map": self.device_map}
        dtype = torch_type(self.precision)
        load = AutoModelForImageTextToText.from_pretrained
        return load(str(self.folder), dtype=dtype, **settings)

    def score(self, frames, times, prompts: list[str]):
        from vlm_prefix import next_logits

        video, texts = self.encode(frames, times, prompts)
        n = 1 if self.question == "rank" else len(self.answer)
        logits = next_logits(self.video_network, video, texts, n)
        return np.array([score_of(self.question, one, self.answer) for one in logits], np.float32)

    def encode(self, frames, times, prompts: list[str]) -> tuple[dict[str, Any], list[dict]]:
        """What the network is given: the tensors of the video, and for each prompt the tokens up to
        the last one that is to be predicted, int64 [1, L], and what kind each is."""
        from hf_loading import quiet

        metadata = metadata_of(times, self.question)
        if len(frames) == 1:  # Qwen3-VL takes two or more
            frames = frames.expand(2, -1, -1, -1)
        processor = copy.copy(self.text_network)
        processor.video_processor = Once(processor.video_processor)
        scaled = {"do_resize": False, "do_center_crop": False} if self.scaling else {}
        network, video, texts = self.video_network, {}, []
        for prompt in prompts:
            text = text_of(self.question, prompt, processor, self.chat_template)
            with self._one_at_a_time, quiet():
                inputs = processor(
                    text=[text],
                    videos=[frames.movedim(3, 1)],  # [T, 3, H, W]
                    video_metadata=[metadata],
                    do_sample_frames=False,
                    **scaled,
                    add_special_tokens=not text.startswith(processor.tokenizer.bos_token or "\0"),
                    return_tensors="pt",
                )
            shape = inputs.pop("attention_mask").shape  # [1, L]
            end = shape[1] - (self.question != "rank")  # the last token is only predicted
            found = {name: value.to(network.device) for name, value in inputs.items()}
            video = {name: value for name, value in found.items() if value.shape != shape}
            texts.append({n: value[:, :end] for n, value in found.items() if value.shape == shape})
        floats = {
            name: value.to(network.dtype)
            for name, value in video.items()
            if value.is_floating_point()
        }
        return video | floats, texts

    def read_texts(self, prompts: list[str]) -> list[Reading]:
        check_prompts(prompts, self.text_network.tokenizer)
        with self._one_at_a_time:
            tokens = self.text_network.tokenizer(prompts, add_special_tokens=False)["input_ids"]
        return [Reading(one, []) for one in tokens]

    @classmethod
    def check(cls, args) -> list[str]:
        problems = [] if args.model is None else wrong_name(args.model)
        if args.chat_template and args.question != "true":
            problems.append("--chat-template: --question yes and rank always have theirs")
        if args.device_map and args.device not in ("auto", None):
            problems.append("--device-map: cannot be combined with --device")
        if args.device_map and not find_spec("accelerate"):
            problems.append("--device-map: needs accelerate: use `uv run --extra hf ...`")
        return problems


class Once:
    """A processor of videos that is given the same video again and again, and prepares it once."""

    def __init__(self, processor):
        self._processor, self._prepared = processor, None

    def __getattr__(self, name):
        return getattr(self._processor, name)

    def __call__(self, *arguments, **settings):
        if self._prepared is None:
            self._prepared = self._processor(*arguments, **settings)
        return copy.copy(self._prepared)


def metadata_of(times: np.ndarray, question: str) -> dict[str, Any]:
    """What transformers is told of sampled frames. times: float64 [T], in seconds; where they are
    unknown, and by TOPReward always, frames are said to be half a second apart."""
    indices, fps, total = list(range(len(times))), FPS, float(len(times))
    if question != "true" and np.isfinite(times).all():
        indices, fps, total = times.tolist(), 1.0, max(float(np.ptp(times)), 1.0)
    if len(indices) == 1:  # the frame is doubled, as TOPReward's authors do
        indices *= 2
    return {"fps": fps, "frames_indices": indices, "total_num_frames": total}


if __name__ == "__main__":
    run_script(lambda: main(VlmJudge, __doc__))
