"""Rooms meet in registries: a name leads to its entry, and mistakes are told apart."""

from __future__ import annotations

import sys
import textwrap

import pytest

from interp_widgets.results.registry import KINDS, Registry


@pytest.fixture
def plugins(tmp_path, monkeypatch):
    """A package of two modules that register themselves in `plugins.registry`."""
    package = tmp_path / "plugins"
    package.mkdir()
    (package / "__init__.py").write_text(
        "from interp_widgets.results.registry import Registry\nregistry = Registry('plugin', 'plugins')\n"
    )
    for name in ("one", "two"):
        (package / f"{name}.py").write_text(
            f"from plugins import registry\n@registry.register('{name}')\ndef {name}(): return '{name}!'\n"
        )
    monkeypatch.syspath_prepend(tmp_path)
    yield package
    for name in [n for n in sys.modules if n.split(".")[0] == "plugins"]:
        del sys.modules[name]


def test_asking_for_a_name_imports_the_room_that_registers_it(plugins):
    from plugins import registry

    assert "plugins.one" not in sys.modules
    assert registry.get("one")() == "one!"
    assert list(registry) == ["one", "two"]


def test_an_unknown_name_lists_those_there_are(plugins):
    from plugins import registry

    with pytest.raises(LookupError, match="no plugin 'three'; there are one, two"):
        registry.get("three")


def test_a_module_that_fails_to_import_is_reported_every_time_not_hidden(plugins):
    from plugins import registry

    (plugins / "three.py").write_text("raise ImportError('library of three is missing')\n")
    for _ in range(2):
        with pytest.raises(ImportError, match="library of three"):
            registry.get("three")
    (plugins / "three.py").write_text(
        "from plugins import registry\nregistry.register('three')(lambda: 3)\n"
    )
    assert registry.get("three")() == 3


def test_a_name_taken_by_another_module_is_refused_and_a_cell_run_again_is_not():
    registry = Registry("method", "interp_widgets.results")

    def lens():
        return "mine"

    def again():
        return "mine, corrected"

    registry.register("lens")(lens)
    registry.register("lens")(again)  # the same notebook cell, run again
    assert registry.get("lens")() == "mine, corrected"
    foreign = type("Foreign", (), {"__module__": "somebody.else"})
    with pytest.raises(
        ValueError, match=r"registered by .*test_registry already; .* somebody.else"
    ):
        registry.register("lens")(foreign)


def test_every_kind_of_result_registers_itself():
    expected = {"array", "attention", "lens", "tokens", "circuit", "concepts", "modules"}
    assert expected <= set(KINDS)
    assert all(KINDS.get(kind).kind == kind for kind in expected)


def test_results_import_no_model_library(tmp_path):
    """A saved result opens where transformers, nnsight and widgets are not loaded."""
    import subprocess

    code = textwrap.dedent("""
        import sys
        from interp_widgets.results.registry import KINDS
        list(KINDS)
        print([m for m in ("nnsight", "transformers", "anywidget", "matplotlib") if m in sys.modules])
    """)
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
