"""Can a model of the Hugging Face Hub tell these trajectories apart by what is written about them?

    uv run --extra hf transformers_evaluator.py -t trajectories_lists/mine.txt -p prompts/mine.txt \
        -e NAME

writes evaluation_results/NAME.png, a heatmap of the similarities of trajectories and prompts, and
the folder NAME with the same as numbers, for models of sentence-transformers that take video, such
as Qwen3-VL-Embedding, and for X-CLIP, VideoPrism and PE-AV of transformers.
"""

from trajeval.terminal import exit_on_interrupt, run_script

if __name__ == "__main__":
    exit_on_interrupt()

from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path

from hf_embedders import PeVideo, VideoPrism
from hf_folders import CONFIG, MODULES, on_disk, read_json, small_files, wrong_name
from hf_models import DEVICE_MAP, FolderModel
from hf_sentences import SentenceModel, wrong_package
from hf_xclip import XClip
from trajeval.evaluator import main
from trajeval.options import Option, whole
from trajeval.terminal import UserError, printable

MODEL = "Qwen/Qwen3-VL-Embedding-2B"
# Of a configuration's model_type: the family, and the first transformers that has it.
FAMILIES = {
    "xclip": (XClip, (4, 22)),
    "videoprism": (VideoPrism, (5, 13)),
    "pe_video": (PeVideo, (5, 0)),
    "pe_audio_video": (PeVideo, (5, 0)),
}


class TransformersModel(FolderModel):
    """Any of these models, for the command line. `load` and `from_arguments` give a model of the
    family that its folder says it is of."""

    n_frames, frames_shown = None, "the model's own"
    options = (
        Option(
            "--model",
            "a folder, or OWNER/NAME on the Hugging Face Hub: a model of sentence-transformers "
            "that takes video, X-CLIP, VideoPrism or PE-AV",
            "NAME",
            str,
            MODEL,
        ),
        Option(
            "--dimensions",
            "cut embeddings to their first N numbers, for models that are trained for it",
            "N",
            whole(1, 1_000_000),
            shown="all",
        ),
        DEVICE_MAP,
    )

    @classmethod
    def load(cls, model: str = MODEL, **settings):
        found = family_of(model)
        return found.load(model, **settings)

    @classmethod
    def from_arguments(cls, args, cache):
        family = family_of(args.model)
        if problems := wrong_arguments(family, args):
            raise UserError(*problems)
        return family.from_arguments(args, cache)

    @classmethod
    def check(cls, args) -> list[str]:
        problems = wrong_name(args.model) if args.model is not None else []
        if args.device_map and args.device not in ("auto", None):
            problems.append("--device-map: cannot be combined with --device")
        if args.device_map and not find_spec("accelerate"):
            problems.append("--device-map: needs accelerate: use `uv run --extra hf ...`")
        if args.model == MODEL:
            problems += wrong_package()
        if args.model is None or problems or not on_disk(args.model):
            return problems
        try:
            return wrong_arguments(family_of(args.model), args)
        except UserError as error:
            return error.problems


def family_of(model: str) -> type[FolderModel]:
    """The class for a model, by what its folder says that it is. Downloads the folder, but not its
    weights. Raises UserError."""
    folder = small_files(model)
    if (folder / MODULES).is_file():
        return SentenceModel
    kind = read_json(folder / CONFIG).get("model_type")
    if kind not in FAMILIES:
        raise UserError(
            f"--model {printable(model)}: is of type {printable(str(kind))}: takes models of "
            f"sentence-transformers and those of type {', '.join(FAMILIES)}{elsewhere(folder)}"
        )
    family, needed = FAMILIES[kind]
    found = version("transformers")
    if tuple(map(int, found.split(".")[:2])) < needed:
        raise UserError(
            f"--model {printable(model)}: needs transformers {needed[0]}.{needed[1]} or later, and "
            f"{found} is installed: uv lock --upgrade-package transformers"
        )
    return family


def wrong_arguments(family: type[FolderModel], args) -> list[str]:
    """What is wrong with the options for a model of a family."""
    if args.dimensions is None:
        return family(args.model, n_frames=args.n_frames).wrong_settings
    if family is not SentenceModel:
        return [f"--dimensions: {printable(args.model)} is not trained for it"]
    return SentenceModel(args.model, dimensions=args.dimensions).wrong_settings


def elsewhere(folder: Path) -> str:
    """The end of a message: the command that may take a model that this one does not."""
    if (folder / "open_clip_config.json").is_file():
        return "; clip_evaluator.py takes models of open_clip"
    named = str(read_json(folder / CONFIG).get("architectures"))
    return "; vlm_evaluator.py takes generative ones" if "ForConditionalGeneration" in named else ""


if __name__ == "__main__":
    run_script(lambda: main(TransformersModel, __doc__))
