"""What was embedded or scored of a problem set -> its tables and curves."""

from typing import TYPE_CHECKING, Any, NamedTuple

from trajeval.curves import Control, Curves
from trajeval.inputs import BASELINE
from trajeval.similarity import rescaled, similarity_table
from trajeval.spool import Rows
from trajeval.table import Entry, Table, entry_of
from trajeval.views import ORDERS, WHOLE, View

if TYPE_CHECKING:
    from trajeval.arguments import Inputs
    from trajeval.stages import Embeddings


class Compared(NamedTuple):
    """Of the N trajectories that could be used. videos: their embeddings, [D] each, None of a
    Judge. table: the similarities with the prompts, as the arguments ask for them. curves, controls
    (by name): None without."""

    videos: Rows | None
    table: Table
    curves: Curves | None
    controls: dict[str, Control] | None


def compare(inputs: "Inputs", model, embedded: "Embeddings") -> Compared:
    """What a run reports of a problem set, of which a trajectory at least could be used."""
    args, found = inputs.args, embedded.videos
    usable = [inputs.trajectories[i] for i in found.usable]
    rows = [Entry(one.name, one.groups, one.rating) for one in usable]
    columns = [entry_of(prompt.text, prompt.group) for prompt in inputs.prompts]

    def similarities(view: View) -> Table:
        """Of the R clips of a view, before any rescaling: values float32 [N * R, P]."""
        repeated = [row for row in rows for _ in range(view.points)] if view.points > 1 else rows
        if embedded.texts is None:
            return of_scores(inputs, found, view, repeated, model.score_label)
        how: dict[str, Any] = {
            "similarity": args.similarity,
            "alpha": args.alpha,
            "ensemble": args.ensemble,
        }
        return similarity_table(found.values(view), embedded.texts, repeated, columns, **how)

    def table_of(view: View) -> Table:
        return rescaled(similarities(view), normalize=args.normalize, softmax=args.softmax)

    def curves_of(order: str | None) -> Curves | None:
        for view in found.views:
            if view.how is not None and view.order == order:
                values = similarities(view).values.reshape(len(rows), view.points, -1)
                return Curves(view.how, *found.points(), values)
        return None

    names = ORDERS if args.controls else ()
    controls = {name: Control(table_of(View(name)), curves_of(name)) for name in names}
    videos = None if embedded.texts is None else found.values(WHOLE)
    return Compared(videos, table_of(WHOLE), curves_of(None), controls or None)


def of_scores(inputs: "Inputs", found, view: View, rows: list[Entry], label: str) -> Table:
    """A Judge's scores as a table. Prompts of the group BASELINE become no column."""
    prompts = [prompt for prompt in inputs.prompts if prompt.group != BASELINE]
    values = found.values(view, [prompt.text for prompt in prompts])
    columns = [entry_of(prompt.text, prompt.group) for prompt in prompts]
    return Table(values.take(0, len(values)).reshape(len(rows), -1), rows, columns, label)
