"""What a newcomer relies on: the lists of packages and modules agree, the README is complete."""

import re
import tomllib
from pathlib import Path

import yaml

ROOT = Path(__file__).parent.parent
CONDA_NAMES = {
    "huggingface-hub": "huggingface_hub",
    "matplotlib": "matplotlib-base",
    "seaborn": "seaborn-base",
    "torch": "pytorch",
}


PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))


def test_environment_yml_has_what_pyproject_has():
    pip = [*PROJECT["project"]["dependencies"], *PROJECT["dependency-groups"]["dev"]]
    pip.append("python" + PROJECT["project"]["requires-python"])
    environment = yaml.safe_load((ROOT / "environment.yml").read_text())
    conda = [entry for entry in environment["dependencies"] if isinstance(entry, str)]
    (from_pip,) = [entry["pip"] for entry in environment["dependencies"] if isinstance(entry, dict)]
    assert sorted(map(to_conda, pip)) == sorted([*set(conda) - {"pip"}, *from_pip])


def to_conda(requirement):
    name, bounds = re.fullmatch(r"([\w-]+)(.*)", requirement).groups()
    return CONDA_NAMES.get(name, name) + bounds


def test_every_module_is_installed():
    settings = PROJECT["tool"]["setuptools"]
    assert settings["py-modules"] == sorted(path.stem for path in ROOT.glob("*.py"))
    assert settings["packages"] == ["trajeval"]


RAY = (
    'uv run --group cluster pytest -n 0 -m "slow or not slow" '
    "tests/test_cluster.py tests/test_cluster_nodes.py"
)


def test_ci_runs_the_readmes_test_command_the_slow_tests_and_those_of_ray():
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    assert "uv run pytest\n" in readme
    *_, fast, slow, ray = (ROOT / ".ci/run").read_text().splitlines()
    assert (fast, slow, ray) == ("uv run pytest", "uv run pytest -m slow", RAY)
    assert sorted((ROOT / "tests").glob("test_cluster*.py")) == [
        ROOT / one for one in RAY.split()[-2:]
    ]


def test_ci_checks_what_pre_commit_and_contributors_check():
    checks = ["uv run ruff check", "uv run ruff format --check", "uv run ty check"]
    assert (ROOT / ".ci/run").read_text().splitlines()[-6:-3] == checks
    contributing = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
    for command in (*checks, "uv run pytest", "uv run pytest -m slow", RAY, ".ci/run"):
        assert command in " ".join(contributing.split()), command
    hooks = yaml.safe_load((ROOT / ".pre-commit-config.yaml").read_text())["repos"][0]["hooks"]
    assert [hook["name"] for hook in hooks] == ["ruff check", "ruff format"]
    workflow = yaml.safe_load((ROOT / ".github/workflows/ci.yml").read_text())
    assert workflow["jobs"]["ci"]["steps"][-1] == {"run": ".ci/run"}


def test_changelog_and_citation_are_of_this_version():
    (latest, *_) = re.findall(r"^## (\S+)", (ROOT / "CHANGELOG.md").read_text(), re.MULTILINE)
    assert latest == PROJECT["project"]["version"]
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text())
    assert citation["title"] == PROJECT["project"]["name"]
    assert citation["license"] == PROJECT["project"]["license"]
    assert citation["version"] == latest
