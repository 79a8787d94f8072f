"""The layout of the code: which module may import which, and how long anything may be."""

import ast
from pathlib import Path

import pytest
from pages import rooms

ROOT = Path(__file__).parent.parent
ORDER = rooms()  # a module imports only those that come after it
PACKAGE = {path.stem: path for path in (ROOT / "trajeval").glob("*.py") if path.stem != "__init__"}
SCRIPTS = {path.stem: path for path in ROOT.glob("*.py")}
MODULES = PACKAGE | SCRIPTS
MAX_FUNCTION, MAX_MODULE = 50, 300  # lines


def imported(path):
    """The modules that a file imports, inside of functions too, but not for types alone."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    for_types = {
        id(node)
        for block in ast.walk(tree)
        if isinstance(block, ast.If)
        and ast.unparse(block.test) in ("TYPE_CHECKING", "typing.TYPE_CHECKING")
        for statement in block.body
        for node in ast.walk(statement)
    }
    for node in ast.walk(tree):
        if id(node) in for_types:
            continue
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert not node.level, f"{path}:{node.lineno}: a relative import"
            yield node.module
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def test_the_order_names_every_module():
    assert len(ORDER) == len(set(ORDER))
    assert set(ORDER) == set(PACKAGE)


def test_the_package_itself_imports_nothing():
    assert not list(imported(ROOT / "trajeval/__init__.py"))


@pytest.mark.parametrize("name", PACKAGE)
def test_imports_run_one_way(name):
    names = set(imported(PACKAGE[name]))
    assert not names & set(SCRIPTS), "imports from the root"
    above = {f"trajeval.{other}" for other in ORDER[: ORDER.index(name) + 1]}
    assert not names & above, "imports upwards"


def test_imports_are_found_wherever_they_stand(tmp_path):
    path = tmp_path / "module.py"
    path.write_text(
        "import a.b\nfrom trajeval import c\n"
        "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    import d\nelse:\n    import e\n"
        "def f():\n    with g():\n        from trajeval.h import i\n"
    )
    assert {"a.b", "trajeval.c", "e", "trajeval.h"} < set(imported(path))
    assert "d" not in set(imported(path))


def test_no_module_is_named_like_a_folder():
    assert not set(MODULES) & {path.name for path in ROOT.iterdir() if path.is_dir()}


@pytest.mark.parametrize("name", MODULES)
def test_no_module_is_long(name):
    lines = len(MODULES[name].read_text(encoding="utf-8").splitlines())
    assert lines <= MAX_MODULE


@pytest.mark.parametrize("name", MODULES)
def test_no_function_is_long(name):
    tree = ast.parse(MODULES[name].read_text(encoding="utf-8"))
    long = {
        node.name: node.end_lineno - node.lineno + 1
        for node in ast.walk(tree)
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        and node.end_lineno - node.lineno + 1 > MAX_FUNCTION
    }
    assert not long
