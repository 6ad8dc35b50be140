"""A view of every kind on one exported page: linked, small, offline; nothing hidden can be read."""

from __future__ import annotations

import json
import re

import pytest

from interp_widgets import demo
from interp_widgets.views.page import to_html
from tests.browser.every_view import open_all
from tests.browser.waiting import expect, repainted, still

pytestmark = pytest.mark.browser

LARGEST = 3_000_000
SILENT = {"session", "modules", "methods", "scatter"}
"""Kinds without anything to predict."""
WALK = ("attention", "array", "lens", "tokens", "circuit", "concepts", "attribution_graph")

# Where a view says numbers: all words and names but those of controls, axes and scales.
SAID = """root => { const skip = '.iw-toolbar, .iw-legend, .iw-foot, option, .iw-heatmap-legend, svg.iw-course, .iw-axis, .iw-cuts, .iw-bar-axis';
  const said = [];
  for (const e of [root, ...root.querySelectorAll('.iw-body *, .iw-tooltip, .iw-tooltip *, [aria-live], .iw-readout')]) {
    if (e.closest(skip)) continue;
    for (const name of ['aria-label', 'title', 'aria-description', 'aria-valuetext'])
      if (e.getAttribute(name)) said.push(e.getAttribute(name));
    for (const n of e.childNodes) if (n.nodeType === 3 && n.data.trim()) said.push(n.data.trim());
  }
  return said; }"""
# Keeps every number that a view says from now on, however short a time.
WATCH = f"""(root, number) => {{ window.leaks = [];
  const look = () => leaks.push(...({SAID})(root).filter(text => new RegExp(number).test(text)));
  const all = {{subtree: true, childList: true, attributes: true, characterData: true}};
  new MutationObserver(look).observe(root, all);
  look(); }}"""
NUMBER = re.compile(r"\d\.\d\d|[+−]\d|\d ?%")


@pytest.fixture(scope="module")
def pages(tmp_path_factory):
    folder = tmp_path_factory.mktemp("one")
    with demo() as session:
        views = open_all(session)
        to_html(list(views.values()), folder / "all.html")
        for view in views.values():
            view.state = {**(view.state or {}), "predict": True, "revealed": []}
        to_html(list(views.values()), folder / "veiled.html")
    return folder, {kind: i for i, kind in enumerate(views)}


def opened(offline, pages, name, width, scheme="light"):
    page = offline(pages[0] / name, viewport={"width": width, "height": 900}, color_scheme=scheme)
    expect(page.locator(".iw-root .iw-title")).to_have_count(len(pages[1]))
    return page, {kind: page.locator(".iw-root").nth(i) for kind, i in pages[1].items()}


def test_the_page_is_small_and_carries_its_recipes(pages):
    text = (pages[0] / "all.html").read_text()
    assert len(text.encode()) < LARGEST
    found = re.search(r'id="iw-recipes">(.*?)</script>', text, re.DOTALL)
    recipes = json.loads(found.group(1))
    methods = {recipe["method"] for recipe in recipes}
    assert {"attention", "activations", "logit_lens", "attribute", "circuit"} <= methods
    assert all(recipe["interventions"] for recipe in recipes if recipe["method"] == "attention")


@pytest.mark.parametrize(("width", "scheme"), [(1200, "light"), (700, "dark")])
def test_every_view_is_drawn_and_none_is_empty(offline, pages, width, scheme):
    page, views = opened(offline, pages, "all.html", width, scheme)
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    for kind, root in views.items():
        expect(root).to_have_attribute("data-iw-theme", scheme)
        assert root.bounding_box()["height"] > 150, kind
        assert root.locator(".iw-failure, .iw-note-error").count() == 0, kind
    expect(page.locator(".iw-root:empty")).to_have_count(0)
    expect(views["session"].get_by_role("button", name="Cancel")).to_have_count(0)


def test_hover_and_selection_travel_between_the_views_until_one_is_unlinked(offline, pages):
    _, views = opened(offline, pages, "all.html", 1000)
    attention, tokens, lens = views["attention"], views["tokens"], views["lens"]
    pointed = tokens.locator(".iw-strip-pointed")
    with repainted(lens.locator("canvas").first):
        attention.locator(".iw-strip-token").nth(4).hover()
        expect(pointed).to_have_attribute("data-i", "4")
    attention.locator(".iw-title").hover()
    expect(pointed).to_have_count(0)
    tokens.locator(".iw-strip-token").nth(2).click()
    attention.locator('.iw-strip-token[data-i="2"][aria-selected="true"]').wait_for()
    expect(lens).to_contain_text("position 2 ")
    tokens.get_by_role("button", name="More").click()
    tokens.get_by_text("Unlink selection").click()
    attention.locator(".iw-strip-token").nth(6).click()
    expect(lens).to_contain_text("position 6 ")
    still(tokens)
    assert tokens.locator('[aria-selected="true"]').get_attribute("data-i") == "2"
    with repainted(lens.locator("canvas").first):
        attention.locator(".iw-strip-token").nth(3).hover()
    still(tokens)
    assert pointed.count() == 0


def test_what_is_to_be_predicted_cannot_be_read_anywhere(offline, pages):
    page, views = opened(offline, pages, "veiled.html", 1000)
    for kind in WALK:
        root = views[kind]
        root.evaluate(WATCH, NUMBER.pattern)
        box = still(root.locator(".iw-body"))
        for row in range(6):
            for column in range(5):
                x, y = (column + 0.5) / 5 * box["width"], (row + 0.5) / 6 * box["height"]
                page.mouse.move(box["x"] + x, box["y"] + y)
        still(root)
        assert page.evaluate("leaks") == [], kind
        root.get_by_role("button", name="Show as table").click()
        root.get_by_text("Hidden until revealed: choose").wait_for()
        root.get_by_role("button", name="Save figure").click()
        still(root)
        assert root.locator("table:visible").count() == 0, kind
        assert root.get_by_role("dialog", name="Save figure").is_hidden(), kind
        expect(root).to_have_attribute("aria-label", re.compile("hidden until revealed"))
    for kind in SILENT:
        views[kind].get_by_role("button", name="More").click()
        expect(views[kind].get_by_role("menu")).to_be_visible()
        assert views[kind].get_by_text("Predict, then reveal").count() == 0, kind
        page.keyboard.press("Escape")
    tokens = views["tokens"]
    tokens.locator(".iw-strip-token").nth(2).click()
    expect(tokens.locator(".iw-veiled")).to_have_count(14)
    expect(tokens.locator(".iw-strip-token").nth(2)).to_have_attribute("aria-label", NUMBER)
