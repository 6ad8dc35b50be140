"""Every error has a page, whose wrong code raises it and whose right code runs."""

from __future__ import annotations

import importlib
import inspect
import itertools
import linecache
import pkgutil
import re
from pathlib import Path

import pytest

import interp_widgets as iw
from tests.models import BYTES, tiny_gpt2
from tests.session.test_prompts import tokenizer

PAGES = Path(__file__).parents[1] / "docs" / "errors"
UNSEEN = {"BaseNeeded"}
"""Raised and caught inside a view; no user meets them."""
ROOMS = ("results", "session", "methods", "views", "figures")
CLASSES = {
    cls.__name__: cls
    for room in ROOMS
    for found in pkgutil.walk_packages(
        [str(Path(iw.__file__).parent / room)], f"interp_widgets.{room}."
    )
    for _, cls in inspect.getmembers(importlib.import_module(found.name), inspect.isclass)
    if issubclass(cls, Exception) and cls.__module__ == found.name and cls.__name__ not in UNSEEN
}
_count = itertools.count()


@pytest.fixture
def scope(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    model, words = tiny_gpt2(**BYTES), tokenizer("bytes")
    session = iw.Session(model, tokenizer=words)
    return {
        "iw": iw,
        "model": model,
        "tokenizer": words,
        "session": session,
        "prompt": session.prompt("an John"),
    }


def run(code: str, scope: dict) -> None:
    name = f"<page {next(_count)}>"
    linecache.cache[name] = (len(code), None, code.splitlines(keepends=True), name)
    exec(compile(code, name, "exec"), scope)


@pytest.mark.parametrize("name", sorted(CLASSES))
def test_a_page_explains_it_with_code_that_behaves_as_it_says(name, scope, capsys):
    text = (PAGES / f"{name}.md").read_text()
    assert text.startswith(f"# {name}\n")
    blocks = re.findall(r"\*\*(Wrong|Right)\*\*.*?```(python|text)\n(.*?)```", text, re.DOTALL)
    assert {kind for kind, _, _ in blocks} == {"Wrong", "Right"}
    for kind, language, code in blocks:
        if language == "text":
            continue
        if kind == "Right":
            if not scope["session"].closed:
                scope["session"].reset()
            run(code, scope)
        else:
            with pytest.raises(CLASSES[name]):
                run(code, scope)


def test_every_page_is_about_an_error_that_there_is():
    assert {page.stem for page in PAGES.glob("*.md")} == set(CLASSES)


def test_links_between_pages_lead_somewhere():
    for page in [*PAGES.glob("*.md"), PAGES.parent / "session.md"]:
        for target in re.findall(r"\]\(([^)#]+\.md)", page.read_text()):
            assert (page.parent / target).exists(), (page.name, target)
