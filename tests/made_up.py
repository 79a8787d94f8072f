"""Made-up runs for the page: what a run knows, without having run a model."""

import numpy as np

from trajeval.curves import Curves
from trajeval.page_data import Run, page_rows
from trajeval.table import Entry, Table
from trajeval.verdict import judge

EVIL = [  # names that would run, or break the page, if anything took them for markup
    "</script><script>alert(1)</script>",
    '"><img src=x onerror=alert(2)>',
    "<!--<script>'${alert(3)}`\\u0027",
    "{{ 7 * 7 }} {% raw %} & &lt; \u2028\u2029\x00\x1b[31m",
    "走る \u202egpj.oof\u202c 🐆\udcff",
]


def interval(value, spread=0.1):
    return {"value": value, "low": value - spread, "high": value + spread}


def made_up_run(
    n_groups=4,
    takes=3,
    phrasings=2,
    *,
    names=None,
    points=0,
    everything=False,
    seed=0,
    grouped=True,
):
    """A run of n_groups * takes trajectories by n_groups * phrasings prompts. points: of curves."""
    rng = np.random.default_rng(seed)
    groups = list(names or (f"behaviour {g}" for g in range(n_groups)))
    rows = [
        Entry(f"clips/{group} {k}.mp4", (group,) if grouped else ())
        for group in groups
        for k in range(takes)
    ]
    columns = [
        Entry(f"a robot does {group}, said {k}", (group,) if grouped else ())
        for group in groups
        for k in range(phrasings)
    ]
    right = np.repeat(np.repeat(np.eye(len(groups)), takes, 0), phrasings, 1)
    values = (0.2 * right + rng.normal(0, 0.12, right.shape)).astype(np.float32)
    table = Table(values, rows, columns, "cosine similarity", ("a made-up warning",))
    verdict = judge(table, "Made-up model")
    if everything and verdict:
        verdict |= extras(groups)
    curves = None
    if points:
        shape = (len(rows), points)
        steps = np.cumsum(rng.normal(0, 0.05, (*shape, len(columns))), axis=1)
        curves = Curves(
            "prefix",
            np.tile(np.arange(points) * 192 // max(points - 1, 1), (len(rows), 1)),
            np.tile(np.arange(points) * 192 / max(points - 1, 1) / 25, (len(rows), 1)),
            (values[:, None] + steps).astype(np.float32),
        )
    return Run(record_of(table, seed), table, page_rows(table), verdict, curves)


def record_of(table, seed):
    frames = [i * 193 // 32 for i in range(32)]
    return {
        "experiment": f"made-up {seed}",
        "started": "2026-01-02T03:04:05+00:00",
        "arguments": {"trajectories_path": "lists/t.txt", "prompts_path": "lists/p.txt"},
        "versions": {"python": "3.11"},
        "model": "made-up",
        "description": "Made-up model",
        "weights": [{"path": "/home/somebody/weights.pth", "sha256": "0" * 64}],
        "device": "cpu",
        "precision": "float32",
        "n_frames": 32,
        "resize": "crop",
        "fingerprint": "0" * 64,
        "similarity": table.label,
        "metrics": None,
        "prompts": [{"text": c.name, "group": c.group, "warnings": []} for c in table.columns],
        "columns": [{"prompt": c.name, "group": c.group} for c in table.columns],
        "trajectories": [
            {"path": row.name, "groups": list(row.groups), "content": None, "length": 193}
            | {"fps": 25.0, "frames": frames, "warning": None}
            for row in table.rows
        ]
        + [{"path": "clips/lost.mp4", "groups": [], "error": "clips/lost.mp4: is empty (0 bytes)"}],
        "seconds": {},
    }


def extras(groups):
    """The parts of metrics.json that options add."""
    return {
        "curves": {
            "how": "prefix",
            "points": 16,
            "groups": [
                {"name": name, "count": 3, "undefined": int(i == 0), "right": interval(0.6)}
                | {"best_wrong": interval(0.2) if i else None, "difference": None}
                for i, name in enumerate(groups)
            ],
            "mean": {
                "right": interval(0.6),
                "best_wrong": interval(0.2),
                "difference": interval(0.4),
            },
            "trajectories": [],
        },
        "controls": {
            name: {"auc": interval(0.6), "auc_difference": interval(0.3), "voc": None}
            | {"voc_difference": None}
            for name in ("still", "shuffled", "reversed")
        }
        | {"swapped": {"voc": interval(0.1), "voc_difference": interval(0.5)}}
        | {"meaning": "A still frame scores as well: the model looks at places, not at motion."},
        "ratings": {
            "kind": "numbers",
            "groups": [
                {"name": name, "count": 3, "kendall": interval(0.5), "spearman": interval(0.6)}
                | {"ranking_accuracy": None, "why": "all ratings are equal"}
                for name in groups
            ],
            "mean": {"kendall": interval(0.5), "spearman": interval(0.6), "ranking_accuracy": None},
        },
        "success": {
            "above": 0.5,
            "groups": [
                {"name": name, "successes": 20, "failures": 20, "auprc": interval(0.8)}
                | {"auc": interval(0.8), "threshold": 0.31, "found": [18, 20], "false": [1, 20]}
                for name in groups
            ],
            "sentence": "With a threshold for each, 18 of 20 successes are found.",
        },
        "probe": {
            "kind": "logistic regression",
            "accuracy": interval(0.9),
            "prompts": interval(0.6),
            "meaning": "The embeddings hold more than the prompts ask for.",
        },
    }


def videos(run, path):
    """For each shown row the same video, by its path from the page."""
    return [{"kind": "video", "src": path} for _ in run.rows]
