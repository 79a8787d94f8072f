"""Can ViCLIP tell these trajectories apart by what is written about them?

    uv run viclip_evaluator.py -t trajectories_lists/mine.txt -p prompts/mine.txt -e NAME

writes evaluation_results/NAME.png, a heatmap of cosine similarities, trajectory by prompt, and
the same as numbers. The network and how it wants its frames are here; the run is evaluator.py.
"""

import sys
from functools import cached_property
from pathlib import Path

from trajeval import evaluator, readings
from trajeval.arguments import whole_number
from trajeval.cache import NO_CACHE, Cache
from trajeval.devices import choose_device, choose_precision
from trajeval.download import fetch_from_hub
from trajeval.files import check_unchanged, stamps
from trajeval.model import Model
from trajeval.terminal import UserError
from trajeval.weights import check_weights, load_into, load_state_dict, sha256

REPOSITORY = "OpenGVLab/ViCLIP"  # of the Hugging Face Hub
CHECKPOINT = Path("checkpoints/ViClip-InternVid-10M-FLT.pth")  # L/14
LICENCE = "CC-BY-NC-SA-4.0: not for commercial use"
SIZES = {"l": "ViCLIP-L/14", "b": "ViCLIP-B/16"}
RESIZES = ("stretch", "crop")
MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)  # ImageNet's, as the model's authors do
TIME = "vision_encoder.temporal_positional_embedding"


class ViCLIPModel(Model):
    """ViCLIP behind the interface that evaluator.main and embedding.py expect.

    model_size is that of the weights, "l" (L/14) or "b" (B/16). device is "auto", "cpu", "cuda",
    "cuda:N" or "mps"; videos are embedded at a precision, "auto", "float32", "bfloat16" or
    "float16". The published file (L/14) is taken from the Hugging Face Hub if it is missing from
    its default place. n_frames must be the length of the weights' position embedding for time,
    unless interpolate_time asks for its interpolation. resize is "stretch" or "crop".
    cache may know the hash of the file.

    Raises UserError for files that are missing or wrong, UserError for a
    device that is not there.
    """

    name, packages = "viclip", ("open_clip_torch",)
    n_frames, resize, size = 8, "stretch", 224

    def __init__(
        self,
        checkpoint_path: str | Path = CHECKPOINT,
        model_size: str = "l",
        *,
        device: str = "auto",
        precision: str = "auto",
        n_frames: int = n_frames,
        interpolate_time: bool = False,
        resize: str = resize,
        cache: Cache = NO_CACHE,
    ):
        path = Path(checkpoint_path)
        if path == CHECKPOINT and not path.exists():
            path = fetch_from_hub(REPOSITORY, CHECKPOINT.name, LICENCE)
        self.path, self.architecture = path, model_size
        self.device = choose_device(device)
        self.precision = choose_precision(precision, self.device)
        self.n_frames, self.resize, self.interpolate_time = n_frames, resize, interpolate_time
        self.preparation = {"resize": resize, "size": self.size, "mean": MEAN, "std": STD}
        if interpolate_time:
            self.preparation["interpolate_time"] = True
        self.stamps = stamps([path])
        self.weights = {str(path): sha256(path, cache=cache)}
        self.description = f"{SIZES[model_size]}, {path.name}"

    @cached_property
    def network(self):
        """The viclip.ViCLIP with its weights, on the CPU in float32."""
        import torch

        import viclip

        state_dict = load_state_dict(self.path, under="model")
        found = getattr(state_dict.get("vision_encoder.class_embedding"), "shape", None)
        for other, size in viclip.SIZES.items():
            if other != self.architecture and found == (size.width,):
                raise UserError(f"{self.path} holds {SIZES[other]}: give --model-size {other}")
        time = state_dict.get(TIME)
        if time is not None and time.ndim == 3 and time.shape[1] != self.n_frames:
            if not self.interpolate_time:
                raise UserError(
                    f"{self.path} was trained with {time.shape[1]} frames, and --n-frames asks for "
                    f"{self.n_frames}: leave it out, or give --interpolate-time too"
                )
            state_dict[TIME] = viclip.interpolate_time(time, self.n_frames)
        with torch.device("meta"):  # no time and no memory for values that are replaced anyway
            network = viclip.ViCLIP(self.architecture, self.n_frames)
        load_into(network, state_dict, self.path)
        check_unchanged(self.stamps)
        return network.eval().requires_grad_(False)

    @cached_property
    def video_network(self):
        import torch

        from viclip_inference import arrange

        return arrange(self.network.vision_encoder, getattr(torch, self.precision), self.device)

    @cached_property
    def text_network(self):
        return self.network.text_encoder.to(self.device)

    def embed_videos(self, frames):
        """Tensors on the device, uint8 [B, T, 224, 224, 3] -> [B, D]."""
        from trajeval.embedding import normalized

        return self.video_network(normalized(frames, MEAN, STD))

    def embed_texts(self, prompts: list[str]):
        """Prompts -> NumPy float32 [P, D]."""
        from trajeval.embedding import infer
        from viclip import tokenize

        return infer(self.text_network, tokenize(prompts).to(self.device))

    def read_texts(self, prompts: list[str]) -> list[readings.Reading]:
        """How the network reads each prompt."""
        from viclip import CONTEXT, tokenize

        return readings.read(prompts, tokenize, CONTEXT)

    @staticmethod
    def add_arguments(parser) -> None:
        parser.add_argument(
            "--model-checkpoint-path",
            metavar="FILE",
            help=f"weights, .pth or .safetensors (default: {CHECKPOINT}; if missing, {REPOSITORY} "
            "from the Hugging Face Hub)",
        )
        parser.add_argument(
            "--model-size",
            default="l",
            help="l: L/14; b: B/16, with weights of your own (default: l)",
        )
        parser.add_argument(
            "--resize",
            metavar="HOW",
            default=ViCLIPModel.resize,
            help="stretch: scaled to 224 by 224 pixels; crop: the shorter side scaled to 224, the "
            "centre square (default: stretch)",
        )
        parser.add_argument(
            "--interpolate-time",
            action="store_true",
            help="with another --n-frames than the weights were trained with, interpolate their "
            "position embedding for time",
        )

    @staticmethod
    def check_arguments(args) -> list[str]:
        """Fills in what was not given. Returns what is wrong."""
        problems = []
        args.n_frames = whole_number(args, "n_frames", 1, 1024, problems)
        if args.resize not in RESIZES:
            problems.append(f"--resize {args.resize}: takes {', '.join(RESIZES)}")
        if args.model_size not in SIZES:
            problems.append(f"--model-size {args.model_size}: takes {', '.join(SIZES)}")
        if args.model_checkpoint_path is None:
            args.model_checkpoint_path = str(CHECKPOINT)
            if args.model_size == "b":
                problems.append(
                    "--model-size b: has no default weights, give --model-checkpoint-path"
                )
        path = Path(args.model_checkpoint_path)
        if path != CHECKPOINT or path.exists():
            try:
                check_weights(path)
            except UserError as error:
                problems.append(str(error))
        return problems

    @classmethod
    def from_arguments(cls, args, cache) -> "ViCLIPModel":
        return cls(
            args.model_checkpoint_path,
            args.model_size,
            device=args.device,
            precision=args.precision,
            n_frames=args.n_frames,
            interpolate_time=args.interpolate_time,
            resize=args.resize,
            cache=cache,
        )


if __name__ == "__main__":
    sys.exit(evaluator.main(ViCLIPModel, __doc__))
