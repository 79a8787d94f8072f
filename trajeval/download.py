"""Stand-in until branch `storage` is merged."""

from pathlib import Path

from trajeval.files import project_folder
from trajeval.weights import (  # noqa: F401
    by_hand,
    check_published,
    fetch,
    fetch_from_hub,
    from_hub,
)


def checkpoint_path(name: str) -> Path:
    here = Path("checkpoints", name)
    return here if here.exists() else project_folder() / "checkpoints" / name


def project_file(relative: str) -> Path:
    return project_folder() / relative
