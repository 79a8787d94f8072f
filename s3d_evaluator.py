"""Can S3D tell these trajectories apart by what is written about them?

    uv run s3d_evaluator.py -t trajectories_lists/cheetah.txt -p prompts/cheetah_prompts.txt -e NAME

writes evaluation_results/NAME.png, a heatmap of cosine similarities, trajectory by prompt, and
the same as numbers. The network and how it wants its frames are here; the run is evaluator.py.
"""

import sys
from functools import cached_property
from pathlib import Path

from trajeval import evaluator
from trajeval.arguments import whole_number
from trajeval.cache import NO_CACHE, Cache
from trajeval.devices import choose_device, choose_precision
from trajeval.download import by_hand, check_published, fetch, first_bytes
from trajeval.files import check_unchanged, stamps
from trajeval.model import Model
from trajeval.readings import Reading
from trajeval.terminal import UserError
from trajeval.weights import check_weights, load_into, load_state_dict, sha256

# Address and sizes from the README of antoine77340/S3D_HowTo100M and its server.
URL = "https://www.rocq.inria.fr/cluster-willow/amiech/howto100m/"
CHECKPOINT = Path("checkpoints/s3d_howto100m.pth")
DICTIONARY = Path("checkpoints/s3d_dict.npy")
PUBLISHED_BYTES = {CHECKPOINT: 125_031_128, DICTIONARY: 5_830_040}

DEMO_CHECKPOINT = Path("checkpoints/s3d_cheetah_demo.safetensors")
DEMO = {
    "trajectories_path": "trajectories_lists/cheetah.txt",
    "prompts_path": "prompts/cheetah_prompts.txt",
    "experiment_id": "demo",
    "model_checkpoint_path": str(DEMO_CHECKPOINT),
    "dict_path": "checkpoints/s3d_cheetah_demo_dict.npy",
    "size": 112,  # as it was trained
}
RESIZES = ("crop", "stretch", "half")


class S3DModel(Model):
    """S3D behind the interface that evaluator.main and embedding.py expect.

    device is "auto", "cpu", "cuda", "cuda:N" or "mps"; videos are embedded at a precision, "auto",
    "float32", "bfloat16" or "float16". dict_path is s3d_dict.npy beside the checkpoint by default.
    The published files are downloaded if they are missing from their default place. n_frames must
    be even. resize is "crop", "stretch" or "half"; size is the height and width in pixels that the
    first two give, even. cache may have the hashes of the files, and the text network.

    Raises UserError for files that are missing or wrong, UserError for a
    device that is not there.
    """

    name, architecture, packages = "s3d", "s3d", ()
    n_frames, resize, size = 32, "crop", 224

    def __init__(
        self,
        checkpoint_path: str | Path = CHECKPOINT,
        dict_path: str | Path | None = None,
        *,
        device: str = "auto",
        precision: str = "auto",
        n_frames: int = n_frames,
        resize: str = resize,
        size: int = size,
        cache: Cache = NO_CACHE,
    ):
        self.checkpoint_path = Path(checkpoint_path)
        self.dict_path = Path(dict_path or self.checkpoint_path.parent / DICTIONARY.name)
        self.device = choose_device(device)
        self.precision = choose_precision(precision, self.device)
        self.n_frames, self.resize, self.size, self.cache = n_frames, resize, size, cache
        self.preparation = {"resize": resize, "size": None if resize == "half" else size}
        self.weights, self.stamps = {}, {}
        for path, published in ((self.checkpoint_path, CHECKPOINT), (self.dict_path, DICTIONARY)):
            if path in PUBLISHED_BYTES:
                fetch(path, URL + path.name, PUBLISHED_BYTES[path])
            self.stamps |= stamps([path])
            self.weights[str(path)] = sha256(path, URL + published.name, cache)
        self.description = f"S3D, {self.checkpoint_path.name}"
        if self.checkpoint_path.name == DEMO_CHECKPOINT.name:
            self.description = "S3D with the demo's weights, which know nothing but this cheetah"

    @cached_property
    def network(self):
        """The s3dg.S3D with its weights, on the CPU in float32."""
        import torch

        from s3dg import S3D

        state_dict = load_state_dict(self.checkpoint_path, URL + CHECKPOINT.name)
        dictionary_by_hand = by_hand(self.dict_path, URL + DICTIONARY.name)
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
                f"words, and the checkpoint has vectors for {len(table) - 1:,}. Give the right one "
                f"with --dict-path.{dictionary_by_hand}"
            )
        load_into(network, state_dict, self.checkpoint_path, URL + CHECKPOINT.name)
        check_unchanged(self.stamps)
        return network.eval().requires_grad_(False)

    @cached_property
    def video_network(self):
        import torch

        from s3dg_inference import S3DInference

        return S3DInference(self.network, getattr(torch, self.precision), self.device)

    @cached_property
    def text_network(self):
        """The words' token ids, and the weights that s3dg_text.embed takes. PyTorch is imported
        only if the cache does not have the weights."""
        import numpy as np

        from s3dg_text import ARRAYS, load_dictionary, number
        from trajeval.embedding import model_key

        key = model_key(self)  # with the dictionary's hash: its token ids fit the weights
        if weights := self.cache.get("text_networks", key, dict.fromkeys(ARRAYS, np.ndarray)):
            word_to_token = number(load_dictionary(self.dict_path))
            check_unchanged(self.stamps)
            return word_to_token, weights
        module = self.network.text_module
        weights = {name: value.numpy() for name, value in module.state_dict().items()}
        self.cache.put("text_networks", key, weights)
        return module.word_to_token, weights

    def embed_videos(self, frames):
        """Tensors on the device, uint8 [B, T, H, W, 3] -> [B, 512].

        With resize "half", height and width are halved as the original script did it, with torch's
        bicubic interpolation, clamped to the range of the pixels. Raises ValueError if that leaves
        an odd side.
        """
        if self.resize == "half":
            frames = half(frames)
        return self.video_network(frames)

    def embed_texts(self, prompts: list[str]):
        """Prompts -> NumPy float32 [P, 512]."""
        from s3dg_text import embed, tokenize

        word_to_token, weights = self.text_network
        return embed(tokenize(prompts, word_to_token), weights)

    def read_texts(self, prompts: list[str]) -> list[Reading]:
        """How the network reads each prompt."""
        from s3dg_text import MAX_WORDS, split, tokenize

        word_to_token, _ = self.text_network
        readings = []
        # The network takes the maximum over the tokens: their order and number play no part.
        for prompt, tokens in zip(prompts, tokenize(prompts, word_to_token).tolist()):
            known, unknown = split(prompt, word_to_token)
            messages = []
            if not known:
                messages.append("the dictionary has none of its words, so it says nothing")
            elif unknown:
                words = ", ".join(dict.fromkeys(unknown))
                messages.append(f"words that the dictionary lacks, left out: {words}")
            if len(known) > MAX_WORDS:
                cut = " ".join(known[MAX_WORDS:])
                messages.append(f"only its first {MAX_WORDS} words count, cut off: {cut}")
            readings.append(Reading(sorted(set(tokens)), messages))
        return readings

    @staticmethod
    def add_arguments(parser) -> None:
        parser.add_argument(
            "--model-checkpoint-path",
            metavar="FILE",
            help=f"weights, .pth or .safetensors (default: {CHECKPOINT}, downloaded if missing)",
        )
        parser.add_argument(
            "--dict-path",
            metavar="FILE",
            help=f"the weights' dictionary, .npy (default: {DICTIONARY.name} beside the weights)",
        )
        parser.add_argument(
            "--resize",
            metavar="HOW",
            default=S3DModel.resize,
            help="crop: the shorter side scaled to --size, the centre square; stretch: scaled to "
            "--size by --size; half: both sides halved, as the original script did (default: crop)",
        )
        parser.add_argument(
            "--size",
            metavar="PIXELS",
            help="height and width of the frames, even, 200 to 256 pixels (default: 224)",
        )
        parser.add_argument(
            "--demo",
            action="store_true",
            help="run the shipped cheetah trajectories and prompts with the shipped demo weights; "
            "-t, -p and -e may be given to use others",
        )

    @staticmethod
    def check_arguments(args) -> list[str]:
        """Fills in what was not given. Returns what is wrong."""
        problems = []
        if args.demo and (args.model_checkpoint_path or args.dict_path):
            problems.append("--demo: has its own weights, leave out --demo or the paths of others")
        if args.resize not in RESIZES:
            problems.append(f"--resize {args.resize}: takes {', '.join(RESIZES)}")
        if args.size is not None:
            if args.resize == "half":
                problems.append("--size: has no meaning with --resize half")
            args.size = whole_number(args, "size", 200, 256, problems, even=True)
        args.n_frames = whole_number(args, "n_frames", 2, 1024, problems, even=True)
        defaults = {
            "size": S3DModel.size,
            "model_checkpoint_path": str(CHECKPOINT),
        }
        for name, value in (defaults | DEMO if args.demo else defaults).items():
            if getattr(args, name) is None:
                setattr(args, name, value)
        if args.dict_path is None:
            args.dict_path = str(Path(args.model_checkpoint_path).parent / DICTIONARY.name)
        for path, check in (
            (Path(args.model_checkpoint_path), check_weights),
            (Path(args.dict_path), first_bytes),
        ):
            try:
                if path not in PUBLISHED_BYTES:
                    check(path)
                elif path.exists():
                    check_published(path, URL + path.name, PUBLISHED_BYTES[path])
            except UserError as error:
                problems.append(str(error))
        return problems

    @classmethod
    def from_arguments(cls, args, cache) -> "S3DModel":
        return cls(
            args.model_checkpoint_path,
            args.dict_path,
            device=args.device,
            precision=args.precision,
            n_frames=args.n_frames,
            resize=args.resize,
            size=args.size,
            cache=cache,
        )


def half(frames):
    """A tensor uint8 [B, T, H, W, 3] -> float32 [B, T, H/2, W/2, 3], still from 0 to 255."""
    import torch

    height, width = frames.shape[2] // 2, frames.shape[3] // 2
    if height % 2 or width % 2 or not height or not width:
        raise ValueError(
            f"half of its size is {width}x{height}, and S3D needs even sides: "
            "use --resize crop or stretch"
        )
    video = frames.flatten(0, 1).movedim(3, 1).float()  # [B * T, 3, H, W]
    video = torch.nn.functional.interpolate(video, scale_factor=0.5, mode="bicubic")
    return video.clamp(0, 255).movedim(1, 3).unflatten(0, frames.shape[:2])


if __name__ == "__main__":
    sys.exit(evaluator.main(S3DModel, __doc__))
