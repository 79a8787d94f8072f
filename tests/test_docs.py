"""What the documentation says is true of the code: options, commands, modules, links."""

import os
import re
import shlex
import shutil
import subprocess
import sys
from functools import cache

import gymnasium
import numpy as np
import pytest
from pages import PAGES, ROOT, rooms, scripts, sections, table
from painter import Painter
from runs import TRAJECTORIES

import s3d_evaluator
from clip_evaluator import ClipModel
from s3d_evaluator import S3DModel
from trajeval.evaluator import main
from trajeval.options import shared_options
from transformers_evaluator import TransformersModel
from viclip_evaluator import ViCLIPModel
from vlm_evaluator import VlmJudge

MODELS = {
    "S3D": S3DModel,
    "ViCLIP": ViCLIPModel,
    "CLIP": ClipModel,
    "transformers": TransformersModel,
    "judges": VlmJudge,
}
OPTIONS = ROOT / "docs/options.md"


def test_the_readme_is_short():
    assert len((ROOT / "README.md").read_text(encoding="utf-8").splitlines()) <= 180


# --- options


def row_of(option, default):
    """The row of an option in docs/options.md."""
    flags = [f"`{flag}`" for flag in option.flags.split(", ")]
    if option.metavar:
        value = option.metavar if option.optional is None else f"[{option.metavar}]"
        flags[-1] = f"`{option.flag} {value}`"
    return f"| {', '.join(flags)} | {option.help} | {default} |".replace("  |", " |")


def shared_rows():
    """The rows of the options that all evaluators share; what differs is only their default."""
    for of_models in zip(*(shared_options(model) for model in MODELS.values())):
        assert len({(option.flags, option.metavar, option.help) for option in of_models}) == 1
        defaults = [option.default_shown for option in of_models]
        if len(set(defaults)) > 1:
            defaults = [f"{name} {default}" for name, default in zip(MODELS, defaults)]
        yield row_of(of_models[0], ", ".join(dict.fromkeys(defaults)))


def assert_rows(heading, wanted):
    assert table(OPTIONS, heading) == wanted, "docs/options.md should have:\n" + "\n".join(wanted)


def test_the_shared_options():
    assert_rows("All evaluators", list(shared_rows()))


@pytest.mark.parametrize("model", MODELS.values(), ids=MODELS)
def test_the_options_of_an_evaluator(model):
    rows = [row_of(option, option.default_shown) for option in model.options]
    assert rows
    assert_rows(f"`{model.__module__}.py`", rows)


# --- commands


def commands():
    """Each command line of the pages that starts a script of ours, as its words from the script
    on, and where it is."""
    for page in PAGES:
        for line in page.read_text(encoding="utf-8").splitlines():
            words = shlex.split(line, comments=True) if re.match(" *(uv run|python) ", line) else []
            for i, word in enumerate(words):
                if word.endswith(".py"):
                    yield pytest.param(words[i:], id=f"{page.relative_to(ROOT)}: {line.strip()}")
                    break


@cache
def options_of(script):
    """The options that a script's --help names."""
    done = subprocess.run(
        [sys.executable, script, "--help"],
        cwd=ROOT,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    return set(re.findall(r"(?<![\w-])--?[a-z][a-z-]*", done.stdout))


@pytest.mark.parametrize("words", list(commands()))
def test_a_command_only_uses_options_that_exist(words):
    script, *arguments = words
    if not (ROOT / script).exists():  # the example is to be copied to the root
        script = f"examples/{script}"
    assert (ROOT / script).is_file()
    if flags := {word.partition("=")[0] for word in arguments if word.startswith("-")}:
        assert flags <= options_of(script)


# --- links


def anchor(heading):
    """The anchor that GitHub gives a heading."""
    text = re.sub(r"[^\w\- ]", "", heading.lower())
    return text.replace(" ", "-")


def links():
    for page in PAGES:
        text = page.read_text(encoding="utf-8")
        for link in re.findall(r"\]\(([^)\s]+)\)", text):
            if "://" not in link:
                yield pytest.param(page, link, id=f"{page.relative_to(ROOT)}: {link}")


@pytest.mark.parametrize("page, link", list(links()))
def test_a_link_leads_somewhere(page, link):
    path, _, fragment = link.partition("#")
    target = page.parent / path if path else page
    assert target.exists()
    if fragment:
        assert fragment in map(anchor, sections(target))


# --- modules


def test_design_names_every_module_and_script_once():
    modules = sorted(path.stem for path in (ROOT / "trajeval").glob("*.py"))
    modules.remove("__init__")
    assert sorted(rooms()) == modules
    assert sorted(scripts()) == sorted(path.stem for path in ROOT.glob("*.py"))


def test_design_lists_modules_in_the_order_of_imports():
    names = rooms()
    for i, name in enumerate(names):
        text = (ROOT / f"trajeval/{name}.py").read_text(encoding="utf-8")
        text = re.sub(r"^if TYPE_CHECKING:\n(    .*\n)+", "", text, flags=re.MULTILINE)
        imported = re.findall(r"^ *from trajeval\.(\w+) import", text, re.MULTILINE)
        for line in re.findall(r"^ *from trajeval import (.*)", text, re.MULTILINE):
            imported += line.split(", ")
        assert not set(imported) & set(names[: i + 1]), name


# --- Python


def test_the_blocks_of_python_run_as_written(small_weights, tmp_path, monkeypatch):
    """In a folder with weights, videos and results of the names that they use."""
    monkeypatch.chdir(tmp_path)
    checkpoints = tmp_path / "checkpoints"
    checkpoints.mkdir()
    shutil.copy(small_weights / "weights.pth", checkpoints / "s3d_howto100m.pth")
    shutil.copy(small_weights / "s3d_dict.npy", checkpoints)
    monkeypatch.setattr(
        *(s3d_evaluator, "PUBLISHED_BYTES"),
        {path.name: path.stat().st_size for path in checkpoints.iterdir()},
    )
    for video, name in zip(TRAJECTORIES, "ab"):
        shutil.copy(video, f"{name}.mp4")
    (tmp_path / "t.txt").write_text("a.mp4\nb.mp4\n")
    (tmp_path / "p.txt").write_text("open door\ncut tomato\n")
    run = ["-t", "t.txt", "-p", "p.txt", "-e", "mine", "--n-frames", "2"]
    assert main(S3DModel, "", run) == 0
    monkeypatch.setattr(gymnasium, "make", lambda name, render_mode, **_: Painter(render_mode))
    blocks = python_blocks(ROOT / "README.md") + python_blocks(ROOT / "docs/python.md")
    for block in blocks:
        names = {}
        exec(block, names)
        for value in names.values():
            if isinstance(value, np.ndarray):
                assert np.isfinite(value).all()
    assert len(blocks) >= 4


def python_blocks(page):
    text = page.read_text(encoding="utf-8")
    return re.findall(r"^```python\n(.*?)^```", text, re.MULTILINE | re.DOTALL)
