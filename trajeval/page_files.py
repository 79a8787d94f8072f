"""Pages made from the folders of results: of one run again, of several side by side."""

import json
from pathlib import Path

import numpy as np

from trajeval.cache import Cache, default_folder
from trajeval.entries import entries_in, groups_in
from trajeval.files import open_regular
from trajeval.media import media_of
from trajeval.page import page, page_of
from trajeval.page_data import Run, baseline_of, has_baseline, page_rows, used
from trajeval.results import Results, as_json, read_results
from trajeval.terminal import UserError, printable, tell

PAGE = "report.html"
SHOWN = ("metrics.json", "curves.npz", "controls.npz", "embeddings.npz")  # beside run.json


def page_again(folder: str | Path) -> dict[str, bytes]:
    """The page of the run whose results are in a folder, and its run.json, which has the page's
    hash, by their names. Raises UserError."""
    import hashlib

    found = read_results(folder)
    run = run_of(found, folder, page_rows(found.table))
    content = page_of(run, folder, Cache(default_folder()))
    digests = run.record.get("files", {}) | {PAGE: hashlib.sha256(content).hexdigest()}
    record = run.record | {"files": digests}
    if "n_trajectories" in record:  # its entries are in a file of their own
        del record["trajectories"]
    return {"run.json": as_json(record), PAGE: content}


def comparison_page(
    title: str, runs: list[Results], folders: list, names: list[str], table: list | None, place
) -> bytes:
    """The page of several runs, with their rows in the same order. table: of their metrics, its
    header first. place: the folder of the page. Raises UserError."""
    rows = page_rows(runs[0].table)
    shown = [run_of(run, folder, rows) for run, folder in zip(runs, folders)]
    shown = [run._replace(record=run.record | {"experiment": n}) for run, n in zip(shown, names)]
    first = shown[0]
    entries = used(first.record, first.shown)
    media = media_of(first.record, entries, folders[0], Cache(default_folder()), place)
    return page(title, shown, media, table)


def run_of(found: Results, folder: str | Path, rows: np.ndarray) -> Run:
    """What the page shows of some rows of results, int64 [m]; says which files were deleted. Raises
    UserError if one cannot be read."""
    folder = Path(folder)
    lost = {path.name: path for path in found.missing if path.name in SHOWN}
    for path in lost.values():
        tell(f"warning: {printable(str(path))}: deleted since the run: what it held is left out")
    try:
        record = json.loads(read(folder / "run.json"))
        shown = {(row.name, row.groups) for row in found.table.take(rows=rows).rows}
        record["trajectories"] = [
            one
            for one in entries_in(folder, record)
            if "error" in one or (one["path"], groups_in(one)) in shown
        ]
        verdict, baseline, names = None, None, record.get("files", {}).keys() - lost.keys()
        if "metrics.json" in names:
            verdict = json.loads(read(folder / "metrics.json"))
        if "embeddings.npz" in names:
            baseline = baseline_in(folder, record, found, rows)
    except (OSError, ValueError, KeyError) as error:
        raise UserError(f"{folder}: damaged, run the evaluator again: {error}") from None
    return Run(record, found.table, rows, verdict, found.curves, baseline)


def baseline_in(folder: Path, record: dict, found: Results, rows: np.ndarray) -> np.ndarray | None:
    """The baseline of page_data.Run, from the embeddings."""
    groups = [prompt["group"] for prompt in record.get("prompts", [])]
    if not has_baseline(found.table.label, groups):
        return None
    with open_regular(folder / "embeddings.npz") as file, np.load(file) as arrays:
        names, videos, texts = arrays["trajectories"].tolist(), arrays["videos"], arrays["texts"]
    places = {name: i for i, name in enumerate(names)}
    videos = videos[[places[found.table.rows[i].name] for i in rows]]
    return baseline_of(found.table.label, groups, videos, texts)


def read(path: Path) -> str:
    with open_regular(path) as file:
        return file.read().decode("utf-8")
