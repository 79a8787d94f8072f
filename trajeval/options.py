"""What an option of the command line is, and the options that all evaluators share."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from trajeval.inputs import BASELINE
from trajeval.values import choice, device, number, path, ray_address, shard, whole

BASELINE_SIMILARITIES = ("projection", "goal-baseline")
MAX_FALSE_POSITIVES = 0.05


@dataclass(frozen=True)
class Option:
    """An option of the command line.

    flags: as in "-e, --experiment-id"; the last one, without its dashes, names the attribute.
    metavar: what it takes, None for a switch. parse: the text given -> the value; raises ValueError
    with what it takes. default: the value where it is not given. shown: the default in words,
    where it is not simply the value. optional: the text that stands for the option without a value.
    """

    flags: str
    help: str
    metavar: str | None = None
    parse: Callable[[str], Any] = str
    default: Any = None
    shown: str | None = None
    optional: str | None = None

    @property
    def flag(self) -> str:
        return self.flags.split(", ")[-1]

    @property
    def name(self) -> str:
        return self.flag.removeprefix("--").replace("-", "_")

    @property
    def default_shown(self) -> str:
        return self.shown or ("" if self.default is None else str(self.default))


# --- the options that all evaluators share

OUTPUT_DIR = Option("-o, --output-dir", "folder for the results", "DIR", path, "evaluation_results")


RUN_OPTIONS = (
    Option("-t, --trajectories-path", "trajectory list, text or .csv", "FILE", path),
    Option("-p, --prompts-path", "prompt list, text or .csv", "FILE", path),
    Option(
        "--problem-sets",
        "in place of -t and -p: evaluate every pair X_trajectories and X_prompts (.txt or .csv) in "
        "and below a folder",
        "FOLDER",
        path,
    ),
    Option("-e, --experiment-id", "name of the results: NAME.png and the folder NAME", "NAME"),
    OUTPUT_DIR,
    Option(
        "--embed-clips",
        "put small clips into report.html, at most 100 kB each, so that one file can be mailed",
    ),
    Option("-v, --verbose", "show the sampled frames, shapes, device, times and all warnings"),
)
FPS = Option(
    "--fps",
    "frames per second of trajectories that do not say: folders of images, arrays",
    "FPS",
    number(lambda fps: 0 < fps <= 1e6, "above 0, up to 1000000"),
    shown="unknown",
)
VIEW_OPTIONS = (
    Option(
        "--curves",
        "also similarities along each trajectory. prefix: of the clip from its beginning to each "
        "point in time; window: of the last --window seconds before it",
        "HOW",
        choice("prefix", "window"),
        shown="off",
    ),
    Option(
        *("--curve-points", "points of a curve, evenly spread, the last one at the end", "K"),
        whole(2, 200),
        shown="15",
    ),
    Option(
        *("--window", "length of the clips of --curves window", "SECONDS"),
        number(lambda seconds: 0 < seconds <= 1e6, "above 0, up to 1000000"),
    ),
    Option(
        "--controls",
        "also embed each trajectory as a still (its middle frame repeated), with its frames "
        "shuffled, and reversed: shows what the model looks at",
    ),
    Option(
        "--export-progress",
        "with --curves, for lists of import_lerobot.py: also write the progress of each frame, for "
        "LeRobot's visualizer",
        "FILE.parquet",
        path,
        shown="off",
    ),
)
MODEL_OPTIONS = (
    Option(
        *("--batch-size", "videos embedded together; halved when memory runs out", "N"),
        whole(1, 4096),
        shown="1 on a CPU, 8 on a GPU",
    ),
    Option(
        "--device",
        "where the networks run: auto (the fastest available), cpu, cuda, cuda:N or mps; "
        "cuda:0,cuda:1 or cuda:all: on several, with the package ray",
        "DEVICE",
        device,
        "auto",
    ),
    Option(
        "--ray",
        "embed on all machines of a Ray cluster, HOST:PORT or auto, on all their GPUs; without a "
        "value, in several processes on this machine",
        "ADDRESS",
        ray_address,
        shown="off",
        optional="local",
    ),
    Option(
        "--precision",
        "what the video network computes in: auto (16 bits on a GPU that is fast at it, else "
        "float32), float32, tf32 (float32 with TF32 products, NVIDIA Ampere or later), "
        "bfloat16 or float16",
        "TYPE",
        choice("auto", "float32", "tf32", "bfloat16", "float16"),
        "auto",
    ),
    Option(
        "--cache-dir",
        "folder that keeps embeddings for later runs",
        "DIR",
        path,
        shown="trajectory-heatmaps in the user's cache folder",
    ),
    Option(
        "--cache-size",
        "size limit of the cache; the least recently used embeddings are removed first",
        "GB",
        number(lambda gb: 0 < gb <= 1e6, "above 0, up to 1000000"),
        2.0,
        "2",
    ),
    Option("--no-cache", "compute everything and keep nothing"),
    Option(
        "--shard",
        "embed every N-th trajectory, from the I-th on, into the cache, and write nothing else: "
        "for N processes or machines that share --cache-dir; a run without --shard then finds all",
        "I/N",
        shard,
        shown="all, and the results",
    ),
    Option(
        *("--max-per-group", "use the first N of each trajectory group", "N"),
        whole(1, 10**9),
        shown="all",
    ),
    Option(
        "--similarity",
        f"cosine; or, with prompts in a group [{BASELINE}], projection or goal-baseline, which "
        "look at how a prompt differs from them",
        "HOW",
        choice("cosine", *BASELINE_SIMILARITIES),
        "cosine",
    ),
    Option(
        "--alpha",
        "weight of the baseline direction, 0 to 1",
        "A",
        number(lambda a: 0 <= a <= 1, "from 0 to 1"),
        shown="0.5",
    ),
    Option(
        "--normalize",
        "prompt: standardize each prompt over the trajectories; vista: rescale as ViSTa does",
        "HOW",
        choice("prompt", "vista"),
        shown="off",
    ),
    Option(
        "--softmax",
        "softmax over the prompts of each trajectory; without a value, the temperature is 0.01",
        "TEMPERATURE",
        number(lambda t: t > 0, "above 0"),
        shown="off",
        optional="0.01",
    ),
    Option(
        "--ensemble",
        "how the prompts of a group are combined: mean-similarity or mean-embedding",
        "HOW",
        choice("mean-similarity", "mean-embedding"),
        "mean-similarity",
    ),
    Option(
        "--success-above",
        "ratings above X are successes, others failures; without it, the higher of two ratings is",
        "X",
        number(lambda _: True, "such as 0.5"),
    ),
    Option(
        "--max-false-positives",
        "share of failures that the threshold of a success may let through, 0 to below 1",
        "RATE",
        number(lambda rate: 0 <= rate < 1, "from 0, below 1"),
        MAX_FALSE_POSITIVES,
    ),
    Option(
        "--vmin",
        "value at the lower end of the heatmap's colours",
        "VALUE",
        number(lambda _: True, "such as -0.1"),
        shown="the lowest value",
    ),
    Option(
        "--vmax",
        "value at the upper end of the heatmap's colours",
        "VALUE",
        number(lambda _: True, "such as 0.3"),
        shown="the highest value",
    ),
    Option(
        "--plots",
        "also draw plots for papers, in the folder NAME/plots, as png, pdf or svg; without a "
        "value, png",
        "FORMAT",
        choice("png", "pdf", "svg"),
        shown="off",
        optional="png",
    ),
)


def shared_options(model_class) -> list[Option]:
    """The options of every evaluator, in the order of --help."""
    frames = whole(2 if model_class.even_frames else 1, 1024, model_class.even_frames)
    n_frames = Option(
        "--n-frames",
        "frames sampled from each video",
        "N",
        frames,
        model_class.n_frames,
        model_class.frames_shown,
    )
    return [*RUN_OPTIONS, n_frames, FPS, *VIEW_OPTIONS, *MODEL_OPTIONS]
