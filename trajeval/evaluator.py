"""The command line that all evaluators share: one pair of lists, or a folder of problem sets.

Start-up matters: what is heavy to import is imported once the inputs have been checked.
"""

from contextlib import suppress

from trajeval import messages, sets
from trajeval.arguments import Inputs, check_arguments, check_inputs
from trajeval.results import write_results
from trajeval.running import gone_at_the_end
from trajeval.stages import (
    Clock,
    Embeddings,
    consequence,
    embed,
    embed_videos,
    load,
)
from trajeval.terminal import UserError, answer, run_command, tell, tell_all


def main(model_class, description: str, argv: list[str] | None = None) -> int:
    """Runs an evaluator's command line; returns the exit status.

    0: done; 1: some videos or problem sets, or all, could not be used, or results could not be
    written; 2: the arguments, the lists or the weights are wrong and nothing was run; 130:
    interrupted.
    """
    return run_command(start, model_class, description, argv)


def start(model_class, description: str, argv: list[str] | None) -> int:
    args, problems = check_arguments(model_class, description, argv)
    if args.problem_sets is None:
        inputs = check_inputs(args, problems)
        if args.shard:
            return fill(model_class, args, [inputs])
        with gone_at_the_end(args):
            return run(model_class, inputs)
    checked, has_wrong = sets.check_sets(args, problems)
    if args.shard:
        return fill(model_class, args, list(checked.values()), has_wrong)
    with gone_at_the_end(args):
        return sets.run(model_class, args, checked, has_wrong)


def fill(model_class, args, inputs: list[Inputs], has_wrong: bool = False) -> int:
    """Embeds the videos of --shard into the cache; returns the exit status. has_wrong: whether
    there are problem sets besides these that cannot be used. Raises UserError, with status 1, if
    what was embedded is not kept."""
    with consequence("what was embedded is kept"):
        model, cache = load(model_class, args)
        answers = embed_videos(inputs, model, cache, args)
    cache.prune()
    if cache.problem:
        raise UserError(f"--shard: embeddings cannot be kept: {cache.problem}", status=1)
    return int(has_wrong or any(len(own.failed) for own in answers))


def run(model_class, inputs: Inputs) -> int:
    """From checked inputs to files on disk; returns the exit status. Raises UserError."""
    args, clock = inputs.args, Clock()
    with consequence("nothing was written"):
        with clock.timed("loading"):
            model, cache = load(model_class, args)
        was_problem = cache.problem
        [embedded] = embed([inputs], model, cache, args, clock)
        from trajeval.evaluation import evaluate  # slow to import: beside the videos

        table, made = evaluate(inputs, model, embedded, clock)
    picture = write_results(args.output_dir, args.experiment_id, made.picture, made.files)
    with suppress(KeyboardInterrupt):  # everything is written
        lines = messages.of_results(args, table, made, embedded.videos, clock.seconds)
        tell_all(lines, "lines", verbose=True)
        answer(picture)
        cache.prune()
        if not was_problem:  # else it was told at the start
            tell_all(messages.of_cache(cache.problem), "warnings")
    if args.export_progress is not None:
        with consequence(f"{picture} and its folder are written"):
            tell(export_progress(inputs, model, embedded))
    return 1 if len(table.rows) < len(inputs.trajectories) else 0


def export_progress(inputs: Inputs, model, embedded: Embeddings) -> str:
    """Writes the table of --export-progress; returns what was done. Raises UserError, with status
    1."""
    from trajeval.progress import export
    from trajeval.tables import compare

    compared = compare(inputs, model, embedded)
    assert compared.curves, "checked with the options"
    usable = [
        (one, found.length)
        for one, found in zip(inputs.trajectories, embedded.videos)
        if not isinstance(found, Exception)
    ]
    trajectories, lengths = map(list, zip(*usable))
    file = inputs.args.export_progress
    return export(file, trajectories, lengths, compared.table, compared.curves)
