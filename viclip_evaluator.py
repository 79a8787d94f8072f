"""Can ViCLIP tell these trajectories apart by what is written about them?

    uv run viclip_evaluator.py -t trajectories_lists/mine.txt -p prompts/mine.txt -e NAME

writes evaluation_results/NAME.png, a heatmap of cosine similarities, trajectory by prompt, and
the same as numbers. The network and how it wants its frames are here; the run is evaluator.py.
"""

import sys
from pathlib import Path

import evaluator
from arguments import whole_number
from model import Model
from texts import unseen
from weights import (
    WeightsError,
    check_weights,
    fetch_from_hub,
    load_into,
    load_state_dict,
    sha256,
)

REPOSITORY = "OpenGVLab/ViCLIP"  # of the Hugging Face Hub
CHECKPOINT = Path("checkpoints/ViClip-InternVid-10M-FLT.pth")  # L/14
LICENCE = "CC-BY-NC-SA-4.0: not for commercial use"
SIZES = {"l": "ViCLIP-L/14", "b": "ViCLIP-B/16"}
RESIZES = ("stretch", "crop")
MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)  # ImageNet's, as the model's authors do
TIME = "vision_encoder.temporal_positional_embedding"


class ViCLIPModel(Model):
    """ViCLIP behind the interface that evaluator.main and embedding.py expect."""

    name, packages = "viclip", ("open_clip_torch",)
    n_frames, resize, size = 8, "stretch", 224

    @classmethod
    def load(
        cls,
        checkpoint_path: str | Path = CHECKPOINT,
        model_size: str = "l",
        *,
        device: str = "auto",
        precision: str = "auto",
        n_frames: int = n_frames,
        interpolate_time: bool = False,
        resize: str = resize,
    ) -> "ViCLIPModel":
        """Loads weights of a size, "l" (L/14) or "b" (B/16), to a device: "auto", "cpu", "cuda",
        "cuda:N" or "mps"; videos are embedded at a precision: "auto", "float32", "bfloat16" or
        "float16".

        The published file (L/14) is taken from the Hugging Face Hub if it is missing from its
        default place. n_frames must be the length of the weights' position embedding for time,
        unless interpolate_time asks for its interpolation. resize is "stretch" or "crop".

        Raises WeightsError for files that are missing or wrong, embedding.DeviceError for a device
        that is not there.
        """
        path = Path(checkpoint_path)
        if path == CHECKPOINT and not path.exists():
            path = fetch_from_hub(REPOSITORY, CHECKPOINT.name, LICENCE)
        import torch

        import viclip
        from embedding import choose_device, choose_precision

        model = cls()
        model.device = choose_device(device)
        model.precision = choose_precision(precision, model.device)
        state_dict = load_state_dict(path, under="model")
        found = getattr(state_dict.get("vision_encoder.class_embedding"), "shape", None)
        for other, size in viclip.SIZES.items():
            if other != model_size and found == (size.width,):
                raise WeightsError(f"{path} holds {SIZES[other]}: give --model-size {other}")
        time = state_dict.get(TIME)
        if time is not None and time.ndim == 3 and time.shape[1] != n_frames:
            if not interpolate_time:
                raise WeightsError(
                    f"{path} was trained with {time.shape[1]} frames, and --n-frames asks for "
                    f"{n_frames}: leave it out, or give --interpolate-time too"
                )
            state_dict[TIME] = viclip.interpolate_time(time, n_frames)
        with torch.device("meta"):  # no time and no memory for values that are replaced anyway
            network = viclip.ViCLIP(model_size, n_frames)
        load_into(network, state_dict, path)
        del state_dict, time

        model.network = network.eval().requires_grad_(False).to(model.device)
        model.n_frames, model.resize = n_frames, resize
        model.preparation = {"resize": resize, "size": cls.size, "mean": MEAN, "std": STD}
        if interpolate_time:
            model.preparation["interpolate_time"] = True
        model.weights = {str(path): sha256(path)}
        model.description = f"{SIZES[model_size]}, {path.name}"
        return model

    def prepare(self, frames):
        """uint8 [T, 224, 224, 3] -> float32 [T, 3, 224, 224] on the CPU: in [0, 1], less ImageNet's
        mean, over its standard deviation."""
        from embedding import normalized

        return normalized(frames, MEAN, STD)

    def embed_videos(self, batch):
        """Prepared videos [B, T, 3, 224, 224] -> NumPy float32 [B, D]."""
        import torch

        with torch.inference_mode():
            return self.network.encode_video(batch.to(self.device)).float().cpu().numpy()

    def embed_texts(self, prompts: list[str]):
        """Prompts -> NumPy float32 [P, D]."""
        import torch

        with torch.inference_mode():
            return self.network.encode_text(prompts).float().cpu().numpy()

    def check_texts(self, prompts: list[str]) -> list[list[str]]:
        """For each prompt, what the network will not see of it."""
        from viclip import CONTEXT, tokenize

        return unseen(prompts, tokenize, CONTEXT)

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
            except WeightsError as error:
                problems.append(str(error))
        return problems

    @classmethod
    def from_arguments(cls, args) -> "ViCLIPModel":
        return cls.load(
            args.model_checkpoint_path,
            args.model_size,
            device=args.device,
            precision=args.precision,
            n_frames=args.n_frames,
            interpolate_time=args.interpolate_time,
            resize=args.resize,
        )


if __name__ == "__main__":
    sys.exit(evaluator.main(ViCLIPModel, __doc__))
