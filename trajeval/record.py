"""What run.json says of a run: everything that its numbers depend on."""

import platform
from importlib.metadata import version

PACKAGES = ("torch", "numpy", "av", "matplotlib")


def record_of(
    args, model, table, verdict, started, seconds, prompts, warnings, trajectories, answers
) -> dict:
    """The content of run.json.

    args: the parsed options. table: the similarities. verdict: what verdict.judge found, or None.
    started: datetime; seconds: stage -> seconds. warnings: the messages about each prompt.
    answers: embedding.Embedded, or the error, for each trajectory.
    """
    packages = dict.fromkeys((*PACKAGES, *model.packages))
    return {
        "experiment": args.experiment_id,
        "started": started.isoformat(timespec="seconds"),
        "arguments": vars(args),
        "versions": {"python": platform.python_version()}
        | {package: version(package) for package in packages},
        **describe_model(model),
        "similarity": table.label,
        "metrics": verdict and verdict["metrics"],
        "prompts": [
            {"text": prompt.text, "group": prompt.group, "warnings": messages}
            for prompt, messages in zip(prompts, warnings)
        ],
        "columns": [{"prompt": column.name, "group": column.group} for column in table.columns],
        "trajectories": [
            describe_source(trajectory) | describe_clip(found)
            for trajectory, found in zip(trajectories, answers)
        ],
        "seconds": seconds,
    }


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


def describe_source(trajectory) -> dict:
    found = {"path": trajectory.name, "groups": trajectory.groups}
    if trajectory.source.is_part:
        found |= {"start": trajectory.start, "end": trajectory.end}
    return found


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
