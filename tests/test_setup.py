"""What a newcomer relies on: the lists of dependencies agree, and the README is complete."""

import re
import tomllib
from pathlib import Path

import yaml

ROOT = Path(__file__).parent.parent
CONDA_NAMES = {
    "huggingface-hub": "huggingface_hub",
    "matplotlib": "matplotlib-base",
    "torch": "pytorch",
}


def test_environment_yml_has_what_pyproject_has():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    pip = [*project["project"]["dependencies"], *project["dependency-groups"]["dev"]]
    pip.append("python" + project["project"]["requires-python"])
    environment = yaml.safe_load((ROOT / "environment.yml").read_text())
    conda = [entry for entry in environment["dependencies"] if isinstance(entry, str)]
    (from_pip,) = [entry["pip"] for entry in environment["dependencies"] if isinstance(entry, dict)]
    assert sorted(map(to_conda, pip)) == sorted([*set(conda) - {"pip"}, *from_pip])


def to_conda(requirement):
    name, bounds = re.fullmatch(r"([\w-]+)(.*)", requirement).groups()
    return CONDA_NAMES.get(name, name) + bounds


def test_ci_runs_the_readmes_test_command():
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    assert "uv run pytest\n" in readme
    assert (ROOT / ".ci/run").read_text().splitlines()[-1] == "uv run pytest"
