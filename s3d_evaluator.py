"""Can S3D tell these trajectories apart by what is written about them?

    uv run s3d_evaluator.py -t trajectories_lists/cheetah.txt -p prompts/cheetah_prompts.txt -e NAME

writes evaluation_results/NAME.png, a heatmap of the cosine similarities of trajectories and
prompts, and the folder NAME with the same as numbers.
"""

from trajeval.terminal import exit_on_interrupt, run_script

if __name__ == "__main__":
    exit_on_interrupt()

from functools import cached_property
from pathlib import Path

from trajeval.download import (
    by_hand,
    check_published,
    checkpoint_path,
    fetch,
    first_bytes,
    project_file,
)
from trajeval.evaluator import main
from trajeval.model import Model
from trajeval.options import Option, choice, path, whole
from trajeval.readings import Reading
from trajeval.terminal import UserError, printable
from trajeval.weights import check_weights, load_into, load_state_dict

# The published files: address and sizes from the README of antoine77340/S3D_HowTo100M and its
# server, frame sizes from the README too.
URL = "https://www.rocq.inria.fr/cluster-willow/amiech/howto100m/"
CHECKPOINT, DICTIONARY = "s3d_howto100m.pth", "s3d_dict.npy"
PUBLISHED_BYTES = {CHECKPOINT: 125_031_128, DICTIONARY: 5_830_040}
SIZE, TRAINED_SIZES = 224, (200, 256)

DEMO_CHECKPOINT, DEMO_SIZE = "s3d_cheetah_demo.safetensors", 112
DEMO = {  # option -> value; paths start at the project's folder
    "trajectories_path": "trajectories_lists/cheetah.txt",
    "prompts_path": "prompts/cheetah_prompts.txt",
    "model_checkpoint_path": f"checkpoints/{DEMO_CHECKPOINT}",
    "dict_path": "checkpoints/s3d_cheetah_demo_dict.npy",
}


class S3DModel(Model):
    """S3D trained on HowTo100M, the network of s3dg.py.

    model_checkpoint_path: weights, .pth or .safetensors; dict_path: their dictionary, .npy, beside
    them by default. The published files are the default, and downloaded if missing. resize: "crop",
    "stretch" or "half", as the original script did. size: height and width in pixels that the first
    two give, even; 224 by default, 112 for the demo's weights. The other settings are Model's;
    n_frames must be even.
    """

    name, architecture = "s3d", "s3d"
    n_frames, even_frames = 32, True
    options = (
        Option(
            "--model-checkpoint-path",
            "weights, .pth or .safetensors",
            "FILE",
            path,
            shown=f"checkpoints/{CHECKPOINT}, downloaded if missing",
        ),
        Option(
            "--dict-path",
            "the weights' dictionary, .npy",
            "FILE",
            path,
            shown=f"{DICTIONARY} beside the weights",
        ),
        Option(
            "--resize",
            "crop: scale the shorter side to --size and cut out the centre square; stretch: scale "
            "to --size by --size; half: halve both sides, as the original script did",
            "HOW",
            choice("crop", "stretch", "half"),
            "crop",
        ),
        Option(
            "--size",
            "height and width of the frames, even; the published weights were trained at 200 "
            "to 256",
            "PIXELS",
            whole(64, 512, even=True),
            shown=f"{SIZE}; {DEMO_SIZE} for the demo's weights",
        ),
        Option(
            "--demo",
            "run the cheetah trajectories and prompts of this project with its demo weights; "
            "-t, -p and -e may be given to use others",
        ),
    )

    def __init__(
        self,
        model_checkpoint_path: str | Path | None = None,
        dict_path: str | Path | None = None,
        *,
        resize: str = "crop",
        size: int | None = None,
        **settings,
    ):
        super().__init__(**settings)
        self.checkpoint_path = place_of(model_checkpoint_path, CHECKPOINT)
        if dict_path is None and not is_published(self.checkpoint_path):
            dict_path = self.checkpoint_path.parent / DICTIONARY
        self.dict_path = place_of(dict_path, DICTIONARY)
        self.is_demo = self.checkpoint_path.name == DEMO_CHECKPOINT
        self.resize, self.size = half, None
        if resize != "half":
            self.resize, self.size = resize, size or (DEMO_SIZE if self.is_demo else SIZE)

    @property
    def description(self) -> str:
        if self.is_demo:
            return "S3D with the demo's weights, which know nothing but this cheetah"
        return f"S3D, {self.checkpoint_path.name}"

    @property
    def preparation(self) -> dict:
        return {"resize": "half" if self.resize is half else self.resize, "size": self.size}

    @property
    def warnings(self) -> list[str]:
        if self.size is None:
            return []
        if self.is_demo and self.size != DEMO_SIZE:
            return [f"--size {self.size}: the demo's weights were trained at {DEMO_SIZE} pixels"]
        low, high = TRAINED_SIZES
        if not self.is_demo and not low <= self.size <= high:
            return [
                f"--size {self.size}: the published weights were trained at {low} to {high} pixels"
            ]
        return []

    def find_files(self) -> list[Path]:
        for file, published in ((self.checkpoint_path, CHECKPOINT), (self.dict_path, DICTIONARY)):
            if is_published(file):
                fetch(file, URL + published, PUBLISHED_BYTES[published])
            first_bytes(file, URL + published)
        return [self.checkpoint_path, self.dict_path]

    @cached_property
    def network(self):
        """The s3dg.S3D with its weights, on the CPU in float32."""
        import torch

        from s3dg import S3D

        with self.loading():
            state_dict = load_state_dict(self.checkpoint_path, URL + CHECKPOINT)
            dictionary_by_hand = by_hand(self.dict_path, URL + DICTIONARY)
            try:
                with torch.device("meta"):  # no time for random weights that are replaced anyway
                    network = S3D(self.dict_path, 512)
            except (FileNotFoundError, ValueError) as error:
                raise UserError(f"{error}.{dictionary_by_hand}") from None
            words = network.text_module.word_embd.num_embeddings - 1
            table = state_dict.get("text_module.word_embd.weight")
            if table is not None and table.ndim == 2 and len(table) != words + 1:
                raise UserError(
                    f"{self.dict_path} does not belong to {self.checkpoint_path}: it has {words:,} "
                    f"words, and the weights have vectors for {len(table) - 1:,}. Give the right "
                    f"dictionary with --dict-path.{dictionary_by_hand}"
                )
            load_into(network, state_dict, self.checkpoint_path, URL + CHECKPOINT)
        return network.eval().requires_grad_(False)

    @cached_property
    def video_network(self):
        from s3dg_inference import S3DInference
        from trajeval.devices import torch_type

        return S3DInference(self.network, torch_type(self.precision), self.device)

    @cached_property
    def text_network(self):
        """The words' token ids, and the weights that s3dg_text.embed takes. PyTorch is imported
        only if the cache does not have the weights."""
        import numpy as np

        from s3dg_text import ARRAYS, load_dictionary, number
        from trajeval.embedding import model_key

        key = model_key(self)  # with the dictionary's hash: its token ids fit the weights
        if weights := self.cache.get("text_networks", key, dict.fromkeys(ARRAYS, np.ndarray)):
            with self.loading():
                return number(load_dictionary(self.dict_path)), weights
        module = self.network.text_module
        weights = {name: value.numpy() for name, value in module.state_dict().items()}
        self.cache.put("text_networks", key, weights)
        return module.word_to_token, weights

    def embed_clips(self, frames, times):
        """Frames on the device, uint8 [B, T, H, W, 3], or float32 from `half` -> [B, 512]."""
        return self.video_network(frames)

    def embed_texts(self, prompts: list[str]):
        from s3dg_text import embed, tokenize

        word_to_token, weights = self.text_network
        return embed(tokenize(prompts, word_to_token), weights)

    def read_texts(self, prompts: list[str]) -> list[Reading]:
        from s3dg_text import MAX_WORDS, split, tokenize

        word_to_token, _ = self.text_network
        readings = []
        # The network takes the maximum over the tokens: their order and number do not matter.
        for prompt, tokens in zip(prompts, tokenize(prompts, word_to_token).tolist()):
            known, unknown = split(prompt, word_to_token)
            messages = []
            if not known:
                messages.append("none of its words is in the dictionary: its scores mean nothing")
            elif unknown:
                words = printable(", ".join(dict.fromkeys(unknown)))
                messages.append(f"ignored, as not in the dictionary: {words}")
            if len(known) > MAX_WORDS:
                cut = printable(" ".join(known[MAX_WORDS:]))
                messages.append(f"only its first {MAX_WORDS} words are used; cut off: {cut}")
            readings.append(Reading(sorted(set(tokens)), messages))
        return readings

    @classmethod
    def check(cls, args) -> list[str]:
        problems = []
        if args.demo:
            problems += use_demo(args)
        if args.resize == "half" and args.size is not None:
            problems.append("--size: cannot be combined with --resize half")
        model = cls(args.model_checkpoint_path, args.dict_path)
        for file, check in ((model.checkpoint_path, check_weights), (model.dict_path, first_bytes)):
            try:
                if not is_published(file):
                    check(file)
                elif file.exists():
                    check_published(file, URL + file.name, PUBLISHED_BYTES[file.name])
            except UserError as error:
                problems += error.problems
        return problems


def place_of(file: str | Path | None, published: str) -> Path:
    """Where a file is, or where the published one of that name is or is to be downloaded to."""
    if file is None or Path(file) == Path("checkpoints", published):
        return checkpoint_path(published)
    return Path(file)


def is_published(file: Path) -> bool:
    return file.name in PUBLISHED_BYTES and file == checkpoint_path(file.name)


def use_demo(args) -> list[str]:
    """Fills in the demo's files where no others are given; returns what is wrong."""
    problems = []
    if args.model_checkpoint_path or args.dict_path:
        problems.append("--demo: cannot be combined with --model-checkpoint-path or --dict-path")
    for name, relative in DEMO.items():
        if getattr(args, name) is None:
            try:
                setattr(args, name, str(project_file(relative)))
            except UserError as error:
                return [*problems, f"--demo: {error}"]
    if args.experiment_id is None:
        args.experiment_id = "demo"
    return problems


def half(frame):
    """NumPy uint8 [H, W, 3] -> float32 [H/2, W/2, 3] in 0 to 255, as the original script did it:
    PyTorch's bicubic interpolation, clamped. Raises ValueError if a side of that is odd."""
    import torch

    height, width = frame.shape[0] // 2, frame.shape[1] // 2
    if height % 2 or width % 2 or not height or not width:
        raise ValueError(
            f"half of its size is {width}x{height}, and S3D needs even sides: "
            "use --resize crop or stretch"
        )
    image = torch.from_numpy(frame).movedim(2, 0)[None].float()  # [1, 3, H, W]
    image = torch.nn.functional.interpolate(image, scale_factor=0.5, mode="bicubic")
    return image.clamp(0, 255)[0].movedim(0, 2).numpy()


if __name__ == "__main__":
    run_script(lambda: main(S3DModel, __doc__))
