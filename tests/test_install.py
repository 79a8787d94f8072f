"""The project installed with pip, beside a user's modules of the same names as its own."""

import os
import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
SOURCES = ["pyproject.toml", "README.md", "LICENSE", "trajeval", *ROOT.glob("*.py")]
PACKAGE = sorted(path.stem for path in (ROOT / "trajeval").glob("*.py") if path.stem != "__init__")
COMMANDS = sorted(path.stem for path in ROOT.glob("*.py"))

pytestmark = pytest.mark.slow


def run(*command, **options):
    done = subprocess.run(command, capture_output=True, text=True, **options)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def environment(tmp_path_factory):
    """A new virtual environment with the project in it; the packages that it depends on are those
    of the environment that runs the tests. Its folder."""
    folder = tmp_path_factory.mktemp("installed")
    source, environment = folder / "source", folder / "environment"
    source.mkdir()
    for path in SOURCES:
        copy = shutil.copytree if (ROOT / path).is_dir() else shutil.copy
        copy(ROOT / path, source / Path(path).name)
    run(sys.executable, "-m", "venv", environment)
    (packages,) = environment.rglob("site-packages")
    (packages / "dependencies.pth").write_text(sysconfig.get_path("purelib"))
    pip = [environment / "bin/python", "-m", "pip"]
    run(*pip, "uninstall", "--yes", "setuptools")  # Python 3.11 brings one that is too old
    offline = ["--no-deps", "--no-index", "--no-build-isolation", "--no-compile"]
    run(*pip, "install", *offline, source)
    return environment


def python(environment, program, folder):
    """What a program prints that runs in a folder."""
    variables = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    return run(environment / "bin/python", "-c", program, cwd=folder, env=variables)


def test_every_module_is_installed_and_nothing_else(environment, tmp_path):
    files = python(
        environment,
        "from importlib.metadata import files\n"
        "print(*(f for f in files('trajectory-heatmaps') if '.dist-info' not in f.parts[0]))",
        tmp_path,
    )
    expected = [f"{name}.py" for name in COMMANDS]
    expected += [f"trajeval/{name}.py" for name in ("__init__", *PACKAGE)]
    expected += [f"trajeval/page/{path.name}" for path in (ROOT / "trajeval/page").iterdir()]
    assert sorted(files.split()) == sorted(expected)


def test_imports_work_beside_modules_of_the_same_names(environment, tmp_path):
    plain = [name for name in PACKAGE if name not in ("cluster", "crew")]  # of the extra ray
    for name in PACKAGE:
        (tmp_path / f"{name}.py").write_text(f"raise RuntimeError('the wrong {name} was imported')")
    program = (
        "from s3d_evaluator import S3DModel\nimport s3dg, trajeval\n"
        f"import {', '.join(COMMANDS)}\n"
        f"from trajeval import {', '.join(plain)}\n"
        "print(S3DModel.__name__, s3dg.__file__, trajeval.__file__, sep='\\n')"
    )
    name, *paths = python(environment, program, tmp_path).splitlines()
    assert name == "S3DModel"
    assert all(Path(path).is_relative_to(environment) for path in paths)
