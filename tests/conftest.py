"""What several test files share."""

import os
import pwd
import signal
from pathlib import Path

# Most tests wait for a script of one thread, so several run at once; torch's threads share the
# cores, and hear of it before torch is imported.
if workers := os.environ.get("PYTEST_XDIST_WORKER_COUNT"):
    os.environ.setdefault("OMP_NUM_THREADS", str(max(1, os.cpu_count() // int(workers))))

import numpy as np
import pytest
import recipe
from hypothesis import settings
from runs import PROMPTS, TRAJECTORIES

from trajeval.cache import Cache
from trajeval.terminal import UserError

# A loaded machine is no mistake of the code's.
settings.register_profile("no deadline", deadline=None)
settings.load_profile("no deadline")

# Where Matplotlib keeps its list of fonts, which takes seconds to make.
CACHES = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
FONTS = os.environ.get("MPLCONFIGDIR") or str(CACHES / "matplotlib")


def hear_ctrl_c():
    """For a child process: shells start background jobs with SIGINT ignored."""
    signal.signal(signal.SIGINT, signal.default_int_handler)


def write(path, content=b""):
    """A file with its folders; the path."""
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return path


def refused(call, *args, **kwargs):
    """The message of the UserError that a call must raise."""
    with pytest.raises(UserError) as caught:
        call(*args, **kwargs)
    return str(caught.value)


@pytest.fixture(autouse=True)
def caches(tmp_path_factory, monkeypatch):
    """The folder where this test, and what it starts, keeps things for later runs, but for fonts;
    fixtures of a wider scope that start something give it --no-cache."""
    folder = tmp_path_factory.mktemp("caches")
    monkeypatch.setenv("XDG_CACHE_HOME", str(folder))
    monkeypatch.setenv("MPLCONFIGDIR", FONTS)
    return folder


@pytest.fixture
def puts(monkeypatch):
    """What is put into caches of this process: kind, key and entry of each, in order."""
    made, put = [], Cache.put

    def watched(self, kind, key, entry):
        made.append((kind, key, entry))
        put(self, kind, key, entry)

    monkeypatch.setattr(Cache, "put", watched)
    return made


@pytest.fixture
def no_home(monkeypatch):
    """A user whom the system does not know, with no home folder, as in some containers."""
    for name in ("HOME", "XDG_CACHE_HOME", "XDG_DATA_HOME"):
        monkeypatch.delenv(name, raising=False)

    def unknown(uid):
        raise KeyError(uid)

    monkeypatch.setattr(pwd, "getpwuid", unknown)


@pytest.fixture
def in_empty_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def project(tmp_path, in_empty_folder):
    """An empty folder to run in, with a list of prompts and a list of trajectories."""
    Path("prompts.txt").write_text("\n".join(PROMPTS))
    Path("trajectories.txt").write_text("\n".join(map(str, TRAJECTORIES)))
    return tmp_path


@pytest.fixture(scope="session")
def golden_dict(tmp_path_factory):
    """Path of the dictionary behind the golden values."""
    path = tmp_path_factory.mktemp("golden") / "s3d_dict.npy"
    np.save(path, recipe.dictionary(recipe.S3D_FACTS["words"]))
    return path


@pytest.fixture(scope="session")
def small_dict(tmp_path_factory):
    """Path of a dictionary of 50 words."""
    path = tmp_path_factory.mktemp("small") / "dict.npy"
    np.save(path, recipe.dictionary(["open", "door"], 50))
    return path


@pytest.fixture(scope="session")
def golden_state_dict():
    """The published checkpoint's keys and shapes, filled by the recipe."""
    import torch

    keys = recipe.S3D_FACTS["keys"]
    return {key: torch.from_numpy(recipe.fill(key, tuple(shape))) for key, shape in keys.items()}


@pytest.fixture(scope="session")
def viclip_weights(tmp_path_factory):
    """Path of made-up weights of ViCLIP-B/16, as the published file has them."""
    import torch

    keys = recipe.VICLIP_FACTS["b16"]["keys"]
    state = {key: torch.from_numpy(recipe.fill(key, tuple(shape))) for key, shape in keys.items()}
    path = tmp_path_factory.mktemp("viclip") / "b16.pth"
    torch.save({"model": state}, path)
    return path


@pytest.fixture(scope="session")
def small_weights(tmp_path_factory):
    """A folder with made-up weights of the published shapes, but a dictionary of 100 words:
    weights.pth and s3d_dict.npy. Quick to load, and quick to run on 2 frames of 200x200."""
    import torch

    folder = tmp_path_factory.mktemp("weights")
    words = recipe.dictionary(recipe.S3D_FACTS["words"], 100)
    np.save(folder / "s3d_dict.npy", words)
    shapes = recipe.S3D_FACTS["keys"] | {"text_module.word_embd.weight": [len(words) + 1, 300]}
    fill = {key: torch.from_numpy(recipe.fill(key, tuple(shape))) for key, shape in shapes.items()}
    torch.save(fill, folder / "weights.pth")
    return folder
