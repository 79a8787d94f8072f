"""NAME/report.html: the verdict, the heatmap and the clips, in one file that any browser opens.

The page is made of the files in `page/`: a Jinja2 template, a style sheet, and scripts, which are
modules of JavaScript put one after the other. It loads nothing but the clips beside it. Nothing of
the data is ever run: the template escapes it, the scripts get it as one block of JSON and write it
as text, and the page's content security policy allows this style sheet and these scripts alone.
"""

import base64
import hashlib
import json
import math
import re
from functools import cache
from pathlib import Path

from trajeval import controls, verdict
from trajeval.cache import Cache
from trajeval.media import media_of
from trajeval.page_data import Run, data_of, used
from trajeval.page_text import metric_title, reasons, run_text

FOLDER = Path(__file__).parent / "page"
# In the order in which each uses those before it.
SCRIPTS = (
    *("data.js", "colours.js", "views.js", "heatmap.js", "player.js", "curve.js", "detail.js"),
    *("lists.js", "keyboard.js", "main.js"),
)


def page_of(run: Run, folder: str | Path, cache: Cache) -> bytes:
    """The page of a run that stands in the folder of its results."""
    media = media_of(run.record, used(run.record, run.shown), folder, cache)
    return page(str(run.record["experiment"]), [run], media)


def page(title: str, runs: list[Run], media: list[dict], comparison: list | None = None) -> bytes:
    """The page of one run, or of several over the same trajectories: HTML in UTF-8.

    media: what to show of each shown trajectory, see media.media_of. comparison: of several runs, a
    table of their metrics, its header first, as compare_results writes it.
    """
    style, script = (FOLDER / "report.css").read_text(encoding="utf-8"), bundle()
    texts = [run_text(run) for run in runs]
    html = template().render(
        title=title,
        policy=policy(style, script),
        style=style,
        script=script,
        data=as_block(data_of(title, runs, media)),
        runs=texts,
        comparison=comparison,
        main_metrics=verdict.TITLES,
        control_titles=controls.TITLES,
    )
    return html.encode("utf-8", "backslashreplace")


def bundle() -> str:
    """The scripts as one module: without their imports, which are of each other, exports, lines of
    comment and indentation."""
    text = "\n".join((FOLDER / name).read_text(encoding="utf-8") for name in SCRIPTS)
    text = re.sub(r'^import \{[^}]*\} from "\./\w+\.js";\n', "", text, flags=re.MULTILINE)
    return re.sub(r"^(export | +|//.*\n)", "", text, flags=re.MULTILINE)


def policy(style: str, script: str) -> str:
    """The content security policy. 'self' means the page's own folder and those beside it, for
    file: addresses too, in Chromium; others want "file:" for that."""
    return "; ".join(
        (
            "default-src 'none'",
            f"script-src {digest(script)}",
            f"style-src {digest(style)}",
            "img-src 'self' file: data:",
            "media-src 'self' file: data:",
            "base-uri 'none'",
            "form-action 'none'",
        )
    )


def digest(text: str) -> str:
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"


def as_block(content) -> str:
    """JSON that can stand in a script element: ASCII, without characters that HTML knows. NaN and
    infinities, which JSON lacks, are null."""
    text = json.dumps(without_nan(content), separators=(",", ":"), allow_nan=False)
    return text.replace("&", "\\u0026").replace("<", "\\u003c").replace(">", "\\u003e")


def without_nan(content):
    if isinstance(content, dict):
        return {key: without_nan(value) for key, value in content.items()}
    if isinstance(content, list | tuple):
        return [without_nan(value) for value in content]
    return None if isinstance(content, float) and not math.isfinite(content) else content


@cache
def template():
    from jinja2 import Environment, FileSystemLoader

    environment = Environment(
        loader=FileSystemLoader(FOLDER), autoescape=True, trim_blocks=True, lstrip_blocks=True
    )
    filters = {
        "number": number,
        "between": between,
        "triple": as_triple,
        "metric": metric_title,
        "reasons": reasons,
    }
    environment.filters |= filters
    return environment.get_template("report.html.j2")


def number(value, digits: int = 2) -> str:
    """A value of metrics.json: a number, one with its interval, or None."""
    if isinstance(value, dict):
        value = value.get("value")
    if not isinstance(value, int | float) or not math.isfinite(value):
        return "–"
    return f"{value:.{digits}f}".replace("-", "−")


def between(value) -> str:
    """The interval of a value that has one."""
    if not isinstance(value, dict) or value.get("low") is None:
        return ""
    return f"{number(value['low'])} to {number(value['high'])}"


def as_triple(value) -> dict:
    """A value with an interval, which without one is the value itself."""
    if isinstance(value, dict):
        return {name: value.get(name, value["value"]) for name in ("value", "low", "high")}
    return {"value": value, "low": value, "high": value}
