"""The import law: rooms see one another in one direction only."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[1] / "interp_widgets"
LAW = {
    "results": set(),
    "session": {"results"},
    "methods": {"session", "results"},
    "views": {"results"},
    "figures": {"results"},
    "demo": {"session", "results"},
}
FILES = sorted(PACKAGE.rglob("*.py"))


def rooms_imported(path: Path) -> set[str]:
    rooms = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom) and node.module:
            names = [node.module, *(f"{node.module}.{a.name}" for a in node.names)]
        elif isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        else:
            continue
        parts = [name.split(".") for name in names if name.startswith("interp_widgets.")]
        rooms |= {p[1] for p in parts}
    return rooms & set(LAW)


@pytest.mark.parametrize("path", FILES, ids=lambda p: str(p.relative_to(PACKAGE)))
def test_imports_run_one_way(path):
    room = path.relative_to(PACKAGE).parts[0]
    if room not in LAW:
        return
    wrong = rooms_imported(path) - LAW[room] - {room}
    assert not wrong, f"{room}/ may import {sorted(LAW[room])}, not {sorted(wrong)}"


def test_the_law_is_checked_on_real_imports():
    assert "results" in rooms_imported(PACKAGE / "results" / "array.py")


@pytest.mark.parametrize("path", FILES, ids=lambda p: str(p.relative_to(PACKAGE)))
def test_no_file_is_longer_than_600_lines(path):
    assert len(path.read_text().splitlines()) <= 600


def test_importing_the_package_loads_nothing_heavy():
    code = (
        "import sys, interp_widgets; dir(interp_widgets); "
        "print([m for m in ('torch', 'numpy', 'matplotlib', 'ipywidgets') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_every_public_name_resolves():
    import interp_widgets as iw

    for name in iw.__all__:
        assert getattr(iw, name) is not None
