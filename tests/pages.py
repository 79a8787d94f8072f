"""What the pages of the documentation say, for tests."""

import re
from pathlib import Path

ROOT = Path(__file__).parent.parent
FOLDERS = (ROOT, *(ROOT / name for name in ("docs", "benchmarks", "demo", "examples")))
PAGES = [page for folder in FOLDERS for page in sorted(folder.glob("*.md"))]


def sections(page: Path) -> dict[str, list[str]]:
    """Heading -> the lines below it, up to the next heading. Code blocks have no headings."""
    found, heading, in_code = {}, "", False
    for line in page.read_text(encoding="utf-8").splitlines():
        in_code ^= line.startswith("```")
        if not in_code and re.match("#+ ", line):
            heading = line.lstrip("#").strip()
            assert heading not in found, f"{page}: two headings {heading!r}"
        found.setdefault(heading, []).append(line)
    return found


def table(page: Path, heading: str) -> list[str]:
    """The rows of the table below a heading, without its header."""
    return [line for line in sections(page)[heading] if line.startswith("|")][2:]


def rooms() -> list[str]:
    """The modules of trajeval/ in the order of docs/design.md: each imports only later ones."""
    return named_in(table(ROOT / "docs/design.md", "The package"))


def scripts() -> list[str]:
    """The modules at the root that docs/design.md names."""
    return named_in(table(ROOT / "docs/design.md", "The root"))


def named_in(rows: list[str]) -> list[str]:
    """The modules that the first cells of some rows name, without their suffix."""
    return [name for row in rows for name in re.findall(r"`(\w+)\.py`", row.split("|")[1])]
