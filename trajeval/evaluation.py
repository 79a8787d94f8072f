"""What was embedded of a problem set -> everything that is written of it."""

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from trajeval import messages
from trajeval.entries import FILE, as_parquet
from trajeval.page import page_of
from trajeval.page_data import Run, baseline_of, page_rows
from trajeval.record import entries_of, record_of
from trajeval.report import Report, report
from trajeval.results import as_json
from trajeval.streams import Content, npz
from trajeval.table import Table
from trajeval.table_files import kinds_of_rows
from trajeval.tables import Compared, compare
from trajeval.terminal import UserError

if TYPE_CHECKING:
    from trajeval.arguments import Inputs
    from trajeval.stages import Clock, Embeddings


def evaluate(
    inputs: "Inputs", model, embedded: "Embeddings", clock: "Clock"
) -> tuple[Table, Report]:
    """The similarities of a set, and everything that is to be written of them. Raises UserError,
    with status 1, if none of its videos could be used."""
    args, answers = inputs.args, embedded.videos
    if not len(answers.usable):
        raise UserError("none of the videos could be used", status=1)
    with clock.timed("report"):
        compared = compare(inputs, model, embedded)
        table, curves = compared.table, compared.curves
        made = report(
            *(table, messages.title(args.experiment_id, model, table.label), model.short_name),
            curves=curves,
            controls=compared.controls,
            embeddings=compared.videos,
            cache=model.cache,
            success_above=args.success_above,
            max_false_positives=args.max_false_positives,
            vmin=args.vmin,
            vmax=args.vmax,
        )
    if args.plots:
        from trajeval.plots import draw_plots  # seaborn takes a second to import

        sources = [inputs.trajectories[i].source for i in answers.usable]
        with clock.timed("plots"):
            made.files.update(draw_plots(table, made.verdict, curves, sources, args))
    record = record_of(inputs, model, embedded, table, made.verdict, clock)
    made.files.update({"run.json": as_json(record)} | arrays(inputs, embedded, compared))
    with clock.timed("page"):
        made.files["report.html"] = page(inputs, model, embedded, compared, made.verdict, record)
    return table, made


def arrays(inputs: "Inputs", embedded: "Embeddings", compared: Compared) -> dict[str, Content]:
    """The embeddings; and of a large table the entries that are too many for run.json."""
    files, rows = {}, compared.table.rows
    if compared.videos is not None and embedded.texts is not None:
        files["embeddings.npz"] = npz(
            trajectories=[row.name for row in rows],
            videos=compared.videos,
            prompts=[prompt.text for prompt in inputs.prompts],
            texts=embedded.texts,
        )
    if compared.table.is_large:
        rating = dict(kinds_of_rows(rows)).get("rating", "number")
        files[FILE] = as_parquet(lambda: entries_of(inputs, embedded.videos), rating)
    return files


def page(
    inputs: "Inputs", model, embedded: "Embeddings", compared: Compared, verdict, record: dict
) -> bytes:
    """report.html."""
    table, answers, videos = compared.table, embedded.videos, compared.videos
    rows, groups = page_rows(table), [prompt.group for prompt in inputs.prompts]
    if table.is_large:
        some = np.sort(np.concatenate([answers.usable[rows], answers.failed]))
        record = record | {"trajectories": list(entries_of(inputs, answers, some.tolist()))}
    of_rows = None if videos is None else videos.of(rows)
    baseline = baseline_of(table.label, groups, of_rows, embedded.texts)
    run = Run(record, table, rows, verdict, compared.curves, baseline)
    folder = Path(inputs.args.output_dir, inputs.args.experiment_id)
    return page_of(run, folder, model.cache)
