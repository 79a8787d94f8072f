"""Names as they are shown in pictures: short, folded, in fonts that have their characters."""

import os
import textwrap
import unicodedata
from pathlib import Path

from trajeval.finding import VIDEO_SUFFIXES
from trajeval.table import Table


def with_short_names(table: Table) -> Table:
    """A table with each trajectory's path shortened as far as it stays unique."""
    shown = short_names([row.name for row in table.rows])
    rows = [row._replace(name=name) for name, row in zip(shown, table.rows)]
    return table._replace(rows=rows)


def short_names(paths: list[str]) -> list[str]:
    """A name to show for each path: as much of its end as makes it unique, without a video's
    extension if it is unique without. The same path twice has the same name twice."""
    whole = {path: Path(os.path.abspath(path)) for path in paths}
    names = {path: Path(path).name for path in paths}
    depth = 1
    while clashes := clashing(names, whole):
        depth += 1
        longer = {path: "/".join(whole[path].parts[-depth:]) for path in clashes}
        if all(longer[path] == names[path] for path in clashes):
            break  # the whole paths are in use
        names |= longer
    stems = {path: stem(name) for path, name in names.items()}
    if clashing(stems, whole):
        stems = names
    return [stems[path] for path in paths]


def stem(name: str) -> str:
    """A name without the extension of a video; what follows another dot (0.25) is part of it."""
    root, suffix = os.path.splitext(name)
    return root if suffix.lower() in VIDEO_SUFFIXES else name


def clashing(names: dict[str, str], whole: dict[str, Path]) -> list[str]:
    """The paths whose names are those of other files too."""
    files = {}
    for path, name in names.items():
        files.setdefault(name, set()).add(whole[path])
    return [path for path, name in names.items() if len(files[name]) > 1]


def fold_title(title: str) -> str:
    """A title with each of its lines in two at most."""
    return "\n".join(fold(line, 100, max_lines=2) for line in title.splitlines())


def fold(text: str, width: int, max_lines: int) -> str:
    """Text in lines of `width` narrow characters, cut with an ellipsis after `max_lines`."""
    text = "".join(char if char.isprintable() else " " for char in text)
    wide = sum(unicodedata.east_asian_width(char) in "WF" for char in text)
    width = max(width * len(text) // (len(text) + wide), 2) if text else width
    lines = textwrap.wrap(text, width)
    if len(lines) > max_lines:
        lines[max_lines - 1 :] = [lines[max_lines - 1][: width - 1] + "…"]
    return "\n".join(lines)


def font_families(texts: list[str]) -> list[str]:
    """Matplotlib's own font, and one for Chinese, Japanese and Korean if a text needs it."""
    families = ["DejaVu Sans"]
    if any(unicodedata.east_asian_width(char) in "WF" for text in texts for char in text):
        import noto_cjk_sans_jp_regular
        from matplotlib import font_manager

        path = str(noto_cjk_sans_jp_regular.FONT_PATH)
        font_manager.fontManager.addfont(path)
        families.append(font_manager.FontProperties(fname=path).get_name())
    return families
