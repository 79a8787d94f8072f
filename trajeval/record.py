"""What run.json says of a run: everything that its numbers depend on."""

import hashlib
import os
import platform
from collections.abc import Iterable, Iterator
from functools import cache
from importlib.metadata import version
from itertools import islice
from pathlib import Path

from trajeval.cache import to_json
from trajeval.embedding import video_key
from trajeval.files import hash_file, open_regular

AT_ONCE = 1000  # trajectories that are hashed at a time
PACKAGES = ("torch", "numpy", "av", "matplotlib")
# Options that say where results and embeddings go and what is shown, not what results are.
NO_MATTER = {
    *("output_dir", "problem_sets", "verbose", "batch_size"),
    *("cache_dir", "cache_size", "no_cache", "export_progress", "shard", "ray"),
}


def record_of(inputs, model, embedded, table, verdict, clock) -> dict:
    """The content of run.json; of a large table without its trajectories, which entries.py writes.

    inputs: arguments.Inputs; embedded: stages.Embeddings of them. table: the similarities. verdict:
    the content of metrics.json, or None. clock: stages.Clock.
    """
    contents = (getattr(found, "content", None) for found in embedded.videos)
    return {
        **head_of(inputs.args, model, clock),
        "fingerprint": fingerprint(inputs, model, contents),
        "similarity": table.label,
        "metrics": (verdict or {}).get("metrics"),
        "prompts": [
            {"text": prompt.text, "group": prompt.group, "warnings": messages}
            for prompt, messages in zip(inputs.prompts, embedded.warnings)
        ],
        "columns": [{"prompt": column.name, "group": column.group} for column in table.columns],
        **trajectories_of(inputs, embedded.videos, table),
        "seconds": clock.seconds,
    }


def trajectories_of(inputs, answers, table) -> dict:
    if table.is_large:
        return {"n_trajectories": len(inputs.trajectories)}
    return {"trajectories": list(entries_of(inputs, answers))}


def entries_of(inputs, answers, numbers: Iterable[int] | None = None) -> Iterator[dict]:
    """What is said of each trajectory, or of some. answers: answers.Answers of all."""
    for i in range(len(answers)) if numbers is None else numbers:
        trajectory = inputs.trajectories[i]
        yield describe_source(trajectory, inputs.args) | describe_clip(answers[i])


def head_of(args, model, clock) -> dict:
    """What is known of a run before anything is embedded."""
    return {
        "experiment": args.experiment_id,
        "started": clock.started.isoformat(timespec="seconds"),
        "arguments": vars(args),
        "versions": versions(model),
        **describe_model(model),
    }


def versions(model) -> dict[str, str]:
    packages = dict.fromkeys((*PACKAGES, *model.packages))
    return {"python": platform.python_version()} | {name: version(name) for name in packages}


def fingerprint(inputs, model, contents: Iterable[str | None]) -> str:
    """The SHA-256 of everything that the results of a run depend on: its lists, the contents of its
    videos, the model with its weights, the options, the versions of packages, and this code. It is
    known before anything is embedded. contents: of each trajectory, as contents.Contents
    gives them, None for one that cannot be used."""
    depends_on = {
        "arguments": {k: v for k, v in vars(inputs.args).items() if k not in NO_MATTER},
        "versions": versions(model),
        "code": code(),
        "model": describe_model(model),
        "videos": video_key(model),
        "prompts": [prompt._replace(line=0) for prompt in inputs.prompts],
    }
    hasher = hashlib.sha256(to_json(depends_on))
    trajectories = zip(inputs.trajectories, contents)
    while some := list(islice(trajectories, AT_ONCE)):
        hasher.update(to_json([[*one._replace(line=0, file=None), has] for one, has in some]))
    return hasher.hexdigest()


@cache
def code() -> str:
    """The SHA-256 of the modules of this package, and of the files of its page."""
    hashes, folder = [], Path(__file__).parent
    for path in sorted([*folder.glob("*.py"), *folder.glob("page/*.*")]):
        with open_regular(path) as file:
            hashes.append(hash_file(file, "sha256"))
    return hashlib.sha256("".join(hashes).encode()).hexdigest()


def describe_model(model) -> dict:
    return {
        "model": model.name,
        "description": model.description,
        "weights": [{"path": path, "sha256": digest} for path, digest in model.weights.items()],
        "device": model.device,
        "precision": model.precision,
        "n_frames": model.n_frames,
        **model.preparation,
    }


def describe_source(trajectory, args) -> dict:
    file = from_results(trajectory.path, args.output_dir, args.experiment_id)
    found = {"path": trajectory.name, "file": file, "groups": list(trajectory.groups)}
    if trajectory.source.is_part:
        found |= {"start": trajectory.start, "end": trajectory.end}
    if trajectory.rating is not None:
        found["rating"] = trajectory.rating
    return found


def from_results(path: str, output_dir: str, experiment_id: str) -> str:
    """The path of a file from the folder of the results; absolute on another drive of Windows."""
    try:
        return Path(os.path.relpath(path, Path(output_dir, experiment_id))).as_posix()
    except ValueError:
        return Path(path).absolute().as_posix()


def describe_clip(found) -> dict:
    if isinstance(found, Exception):
        return {"error": str(found)}
    return {
        "content": found.content,
        "length": found.length,
        "width": found.size[0],
        "height": found.size[1],
        "fps": found.fps,
        "frames": found.indices,
        "warning": found.warning,
    }
