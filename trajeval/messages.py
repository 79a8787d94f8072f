"""What a run says of its inputs, its model and its results, in lines for the terminal."""

from collections.abc import Hashable, Iterator

from trajeval.terminal import plural, printable


def of_repeats(inputs) -> Iterator[str]:
    """Warnings of files, or parts of files, that a list names more than once; they are evaluated
    as often."""
    lines: dict[Hashable, int] = {}  # a part of a file -> the line of its first trajectory
    for one in inputs.trajectories:
        n = len(lines)
        line = lines.setdefault(one.part, one.line)
        if len(lines) == n:
            yield (
                f"warning: {inputs.args.trajectories_path}:{one.line}: {printable(one.name)} is "
                f"the same file as in line {line}"
            )


def of_cache(problem: str | None) -> list[str]:
    return [f"warning: embeddings cannot be kept for later runs: {problem}"] if problem else []


def of_model(model, verbose: bool) -> list[str]:
    """The model's own warnings; with verbose, what it is and how it prepares frames."""
    found = [f"warning: {warning}" for warning in model.warnings]
    if verbose:
        found.append(f"{model.description}, on {model.device} in {model.precision}")
        found.append(", ".join(f"{name} {value}" for name, value in model.preparation.items()))
    return found


def of_prompts(list_path, prompts, warnings: list[list[str]]) -> list[str]:
    """Warnings of what the network does not see of the prompts, each with its line."""
    return [
        f'warning: {list_path}:{prompt.line}: "{printable(prompt.text)}": {printable(message, 500)}'
        for prompt, messages in zip(prompts, warnings)
        for message in messages
    ]


def of_video(name, found) -> str:
    """What was sampled from a video."""
    width, height = found.size
    frames = " ".join(map(str, found.indices))
    length = plural(found.length, "frame")
    return f"{printable(name)}: {length} of {width}x{height}, sampled {frames}"


def of_videos(answers, views: list, seconds: float) -> str:
    """How many videos, with which views, came from the cache, were computed, or failed."""
    failed, kept, partly = len(answers.failed), answers.n_kept, answers.n_partly
    computed = len(answers) - failed - kept
    parts = []
    if kept:
        parts.append(f"{kept} from the cache")
    if computed:
        parts.append(f"{computed} computed ({computed / max(seconds, 1e-3):.2f} videos/s)")
    if partly:
        parts[-1] += f", {partly} of them partly from the cache"
    if failed:
        parts.append(f"{failed} failed")
    points = max(view.points for view in views)
    further = [f"{points} points"] if points > 1 else []
    further += ["controls"] if any(view.order for view in views) else []
    having = f", each with {' and '.join(further)}" if further else ""
    return f"{plural(len(answers), 'video')}{having}: {', '.join(parts) or 'nothing to do'}"


def title(experiment_id: str, model, label: str) -> str:
    """The title of the picture."""
    lines = [experiment_id, f"{model.description}, {model.n_frames} frames"]
    return "\n".join(lines + ([] if label == "cosine similarity" else [label]))


def of_results(args, table, made, answers, seconds: dict[str, float]) -> list[str]:
    """The verdict; with verbose, shapes and times; and what was skipped."""
    found = []
    if args.verbose:
        n_rows, n_columns = table.values.shape
        found.append(f"similarities: {n_rows} trajectories by {n_columns} prompts")
        found.append(", ".join(f"{stage} {duration:.2f} s" for stage, duration in seconds.items()))
    found += made.lines
    if failed := len(answers.failed):
        found.append(f"skipped {failed} of {plural(len(answers), 'video')}: see the errors above")
    return found
