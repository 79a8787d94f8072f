"""Can S3D tell these trajectories apart by what is written about them?

    uv run s3d_evaluator.py -t trajectories_lists/cheetah.txt -p prompts/cheetah_prompts.txt -e NAME

writes evaluation_results/NAME.png, a heatmap of cosine similarities, trajectory by prompt, and
the same as numbers. The network and how it wants its frames are here; the run is evaluator.py.
"""

import sys
from pathlib import Path

import evaluator
from arguments import whole_number
from model import Model
from weights import (
    WeightsError,
    by_hand,
    check_published,
    check_weights,
    fetch,
    first_bytes,
    load_into,
    load_state_dict,
    sha256,
)

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
    """S3D behind the interface that evaluator.main and embedding.py expect."""

    name, packages = "s3d", ()
    n_frames, resize, size = 32, "crop", 224

    @classmethod
    def load(
        cls,
        checkpoint_path: str | Path = CHECKPOINT,
        dict_path: str | Path | None = None,
        *,
        device: str = "auto",
        precision: str = "auto",
        n_frames: int = n_frames,
        resize: str = resize,
        size: int = size,
    ) -> "S3DModel":
        """Loads weights to a device: "auto", "cpu", "cuda", "cuda:N" or "mps"; videos are embedded
        at a precision: "auto", "float32", "bfloat16" or "float16".

        dict_path is s3d_dict.npy beside the checkpoint by default. The published files are
        downloaded if they are missing from their default place. n_frames must be even. resize is
        "crop", "stretch" or "half"; size is the height and width in pixels that the first two
        give, even.

        Raises WeightsError for files that are missing or wrong, embedding.DeviceError for a device
        that is not there.
        """
        checkpoint_path = Path(checkpoint_path)
        dict_path = Path(dict_path or checkpoint_path.with_name(DICTIONARY.name))
        for path in (checkpoint_path, dict_path):
            if path in PUBLISHED_BYTES:
                fetch(path, URL + path.name, PUBLISHED_BYTES[path])
        import torch

        from embedding import choose_device, choose_precision
        from s3dg import S3D

        model = cls()
        model.device = choose_device(device)
        model.precision = choose_precision(precision, model.device)
        state_dict = load_state_dict(checkpoint_path, URL + CHECKPOINT.name)
        dictionary_by_hand = by_hand(dict_path, URL + DICTIONARY.name)
        try:
            with torch.device("meta"):  # no time for random weights that are replaced anyway
                network = S3D(dict_path, 512)
        except (FileNotFoundError, ValueError) as error:
            raise WeightsError(f"{error}.{dictionary_by_hand}") from None
        words = network.text_module.word_embd.num_embeddings - 1
        table = state_dict.get("text_module.word_embd.weight")
        if table is not None and table.ndim == 2 and len(table) != words + 1:
            raise WeightsError(
                f"{dict_path} does not belong to {checkpoint_path}: it has {words:,} words, and "
                f"the checkpoint has vectors for {len(table) - 1:,}. Give the right one with "
                f"--dict-path.{dictionary_by_hand}"
            )
        load_into(network, state_dict, checkpoint_path, URL + CHECKPOINT.name)

        model.network = network.eval().to(model.device)
        model.n_frames, model.resize, model.size = n_frames, resize, size
        model.preparation = {"resize": resize, "size": None if resize == "half" else size}
        model.weights = {str(path): sha256(path) for path in (checkpoint_path, dict_path)}
        model.description = f"S3D, {checkpoint_path.name}"
        if checkpoint_path.name == DEMO_CHECKPOINT.name:
            model.description = "S3D with the demo's weights, which know nothing but this cheetah"
        return model

    def prepare(self, frames):
        """uint8 [T, H, W, 3] -> float32 [3, T, H, W] in [0, 1] on the CPU.

        With resize "half", height and width are halved as the original script did it, with torch's
        bicubic interpolation, clamped to [0, 1]. Raises ValueError if that leaves an odd side.
        """
        import torch

        video = torch.from_numpy(frames).permute(3, 0, 1, 2).float() / 255
        if self.resize == "half":
            video = video.transpose(0, 1)  # [T, 3, H, W]
            video = torch.nn.functional.interpolate(video, scale_factor=0.5, mode="bicubic")
            video = video.clamp(0, 1).transpose(0, 1)
            height, width = video.shape[2:]
            if height % 2 or width % 2 or not height or not width:
                raise ValueError(
                    f"half of its size is {width}x{height}, and S3D needs even sides: "
                    "use --resize crop or stretch"
                )
        return video

    def embed_videos(self, batch):
        """Prepared videos [B, 3, T, H, W] -> NumPy float32 [B, 512]."""
        import torch

        with torch.inference_mode():
            return self.network(batch.to(self.device))["video_embedding"].float().cpu().numpy()

    def embed_texts(self, prompts: list[str]):
        """Prompts -> NumPy float32 [P, 512]."""
        import torch

        with torch.inference_mode():
            return self.network.text_module(prompts)["text_embedding"].float().cpu().numpy()

    def check_texts(self, prompts: list[str]) -> list[list[str]]:
        """For each prompt, what the network will not see of it."""
        from s3dg import MAX_WORDS

        text_module = self.network.text_module
        warnings, seen = [], {}
        # The network takes the maximum over the tokens: their order and number play no part.
        for prompt, tokens in zip(prompts, map(frozenset, text_module.tokenize(prompts).tolist())):
            known, unknown = text_module.split(prompt)
            messages = []
            if not known:
                messages.append("the dictionary has none of its words, so it says nothing")
            elif unknown:
                words = ", ".join(dict.fromkeys(unknown))
                messages.append(f"words that the dictionary lacks, left out: {words}")
            if len(known) > MAX_WORDS:
                cut = " ".join(known[MAX_WORDS:])
                messages.append(f"only its first {MAX_WORDS} words count, cut off: {cut}")
            if tokens in seen:
                messages.append(f'the same words to the network as in "{seen[tokens]}"')
            seen.setdefault(tokens, prompt)
            warnings.append(messages)
        return warnings

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
            args.dict_path = str(Path(args.model_checkpoint_path).with_name(DICTIONARY.name))
        for path, check in (
            (Path(args.model_checkpoint_path), check_weights),
            (Path(args.dict_path), first_bytes),
        ):
            try:
                if path not in PUBLISHED_BYTES:
                    check(path)
                elif path.exists():
                    check_published(path, URL + path.name, PUBLISHED_BYTES[path])
            except WeightsError as error:
                problems.append(str(error))
        return problems

    @classmethod
    def from_arguments(cls, args) -> "S3DModel":
        return cls.load(
            args.model_checkpoint_path,
            args.dict_path,
            device=args.device,
            precision=args.precision,
            n_frames=args.n_frames,
            resize=args.resize,
            size=args.size,
        )


if __name__ == "__main__":
    sys.exit(evaluator.main(S3DModel, __doc__))
