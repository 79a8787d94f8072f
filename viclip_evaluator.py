"""Can ViCLIP tell these trajectories apart by what is written about them?

    uv run viclip_evaluator.py -t trajectories_lists/mine.txt -p prompts/mine.txt -e NAME

writes evaluation_results/NAME.png, a heatmap of the cosine similarities of trajectories and
prompts, and the folder NAME with the same as numbers.
"""

from trajeval.terminal import exit_on_interrupt, run_script

if __name__ == "__main__":
    exit_on_interrupt()

from functools import cached_property
from pathlib import Path

from trajeval import readings
from trajeval.download import checkpoint_path, fetch_from_hub
from trajeval.evaluator import main
from trajeval.model import Model
from trajeval.options import Option, choice, path
from trajeval.terminal import UserError
from trajeval.weights import check_weights, load_into, load_state_dict

REPOSITORY = "OpenGVLab/ViCLIP"  # of the Hugging Face Hub
CHECKPOINT = "ViClip-InternVid-10M-FLT.pth"  # L/14
LICENCE = "CC-BY-NC-SA-4.0: not for commercial use"
SIZES = {"l": "ViCLIP-L/14", "b": "ViCLIP-B/16"}
MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)  # ImageNet's, as the model's authors do
TIME = "vision_encoder.temporal_positional_embedding"
NO_SIZE_B = "--model-size b: there are no published weights, give --model-checkpoint-path"


class ViCLIPModel(Model):
    """ViCLIP trained on InternVid, the network of viclip.py.

    model_checkpoint_path: weights, .pth or .safetensors; the published ones (L/14) are the default,
    and downloaded from the Hugging Face Hub if missing. model_size: of the weights, "l" (L/14) or
    "b" (B/16). interpolate_time: whether n_frames may differ from the number that the weights were
    trained with, their position embedding for time being interpolated. resize: "stretch" or
    "crop". The other settings are Model's.
    """

    name, packages = "viclip", ("open_clip_torch",)
    n_frames, size = 8, 224
    options = (
        Option(
            "--model-checkpoint-path",
            "weights, .pth or .safetensors",
            "FILE",
            path,
            shown=f"checkpoints/{CHECKPOINT}; if missing, {REPOSITORY} from the Hugging Face Hub",
        ),
        Option(
            "--model-size",
            "l: L/14; b: B/16, with weights of your own",
            "SIZE",
            choice(*SIZES),
            "l",
        ),
        Option(
            "--resize",
            "stretch: scale to 224 by 224 pixels; crop: scale the shorter side to 224 and cut out "
            "the centre square",
            "HOW",
            choice("stretch", "crop"),
            "stretch",
        ),
        Option(
            "--interpolate-time",
            "with another --n-frames than the weights were trained with, interpolate their "
            "position embedding for time",
        ),
    )

    def __init__(
        self,
        model_checkpoint_path: str | Path | None = None,
        model_size: str = "l",
        *,
        interpolate_time: bool = False,
        resize: str = "stretch",
        **settings,
    ):
        super().__init__(**settings)
        if model_checkpoint_path == f"checkpoints/{CHECKPOINT}":
            model_checkpoint_path = None
        self.given = None if model_checkpoint_path is None else Path(model_checkpoint_path)
        self.architecture, self.interpolate_time, self.resize = model_size, interpolate_time, resize

    @property
    def description(self) -> str:
        return f"{SIZES[self.architecture]}, {(self.given or Path(CHECKPOINT)).name}"

    @property
    def preparation(self) -> dict:
        found = super().preparation | {"mean": MEAN, "std": STD}
        return found | ({"interpolate_time": True} if self.interpolate_time else {})

    @cached_property
    def path(self) -> Path:
        """The file of weights; downloaded if it is the published one and missing."""
        if self.given is None and self.architecture == "b":
            raise UserError(NO_SIZE_B)
        place = self.given or checkpoint_path(CHECKPOINT)
        if self.given is None and not place.exists():
            return fetch_from_hub(REPOSITORY, CHECKPOINT, LICENCE)
        return place

    def find_files(self) -> list[Path]:
        return [self.path]

    @cached_property
    def network(self):
        """The viclip.ViCLIP with its weights, on the CPU in float32."""
        import torch

        import viclip

        with self.loading():
            state_dict = load_state_dict(self.path, under="model")
            found = getattr(state_dict.get("vision_encoder.class_embedding"), "shape", None)
            for other, size in viclip.SIZES.items():
                if other != self.architecture and found == (size.width,):
                    raise UserError(f"{self.path} holds {SIZES[other]}: use --model-size {other}")
            time = state_dict.get(TIME)
            if time is not None and time.ndim == 3 and time.shape[1] != self.n_frames:
                if not self.interpolate_time:
                    raise UserError(
                        f"{self.path} was trained with {time.shape[1]} frames, and --n-frames asks "
                        f"for {self.n_frames}: leave it out, or add --interpolate-time"
                    )
                state_dict[TIME] = viclip.interpolate_time(time, self.n_frames)
            with torch.device("meta"):  # no time and no memory for values that are replaced anyway
                network = viclip.ViCLIP(self.architecture, self.n_frames)
            load_into(network, state_dict, self.path)
        return network.eval().requires_grad_(False)

    @cached_property
    def video_network(self):
        from trajeval.devices import torch_type
        from viclip_inference import arrange

        return arrange(self.network.vision_encoder, torch_type(self.precision), self.device)

    @cached_property
    def text_network(self):
        return self.network.text_encoder.to(self.device)

    def embed_clips(self, frames, times):
        from trajeval.batches import normalized

        return self.video_network(normalized(frames, MEAN, STD))

    def embed_texts(self, prompts: list[str]):
        from trajeval.batches import infer
        from viclip import tokenize

        return infer(self.text_network, tokenize(prompts).to(self.device))

    def read_texts(self, prompts: list[str]) -> list[readings.Reading]:
        from viclip import CONTEXT, tokenize

        return readings.read(prompts, tokenize, CONTEXT)

    @classmethod
    def check(cls, args) -> list[str]:
        file = args.model_checkpoint_path
        if file is None:
            if args.model_size == "b":
                return [NO_SIZE_B]
            file = checkpoint_path(CHECKPOINT)
            if not file.exists():
                return []
        try:
            check_weights(file)
        except UserError as error:
            return error.problems
        return []


if __name__ == "__main__":
    run_script(lambda: main(ViCLIPModel, __doc__))
