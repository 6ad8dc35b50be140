"""A user installs the wheel: the views' JavaScript, the model and the notebook must be in it."""

import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    out = tmp_path_factory.mktemp("wheel")
    command = [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", out, ROOT]
    subprocess.run(command, check=True, capture_output=True)
    [path] = out.glob("*.whl")
    return zipfile.ZipFile(path)


def test_every_view_has_its_bundle_in_the_wheel(wheel):
    names = set(wheel.namelist())
    views = [p.stem for p in (ROOT / "js" / "src" / "views").glob("*.ts")]
    assert len(views) >= 6
    for view in views:
        assert f"interp_widgets/static/{view}.js" in names
    assert {f"interp_widgets/static/{n}" for n in ("loader.js", "page.js", "style.css")} <= names


def test_bundles_are_within_their_budget(wheel):
    for info in wheel.infolist():
        if info.filename.startswith("interp_widgets/static/") and info.filename.endswith(".js"):
            assert 300 < info.file_size <= 200_000, info.filename


def test_the_embedded_models_are_there_and_small(wheel):
    assets = [i for i in wheel.infolist() if i.filename.startswith("interp_widgets/demo/assets/")]
    names = {i.filename.rsplit("/", 1)[1] for i in assets}
    assert {"model.safetensors", "tokenizer.json", "config.json", "README.md"} <= names
    assert sum(i.file_size for i in assets) <= 8_000_000


def test_the_first_notebook_and_the_licence_travel(wheel):
    names = wheel.namelist()
    assert "interp_widgets/notebooks/01_first_look.ipynb" in names
    assert any(n.endswith("licenses/LICENSE") for n in names)
    assert not any(n.endswith((".pkl", ".pt", ".bin")) for n in names)
