"""Every kind of view, for readers without a mouse, without colours, with large letters.

One page with one view of every kind (every_view.py), opened offline in Chromium. What the tests
leave out, with the reason, is in docs/access.md.
"""

from __future__ import annotations

import re

import pytest

from interp_widgets.results.registry import VIEWS
from tests.browser.axe import AUDIT, AXE
from tests.browser.every_view import write_page
from tests.browser.waiting import expect, still

pytestmark = pytest.mark.browser

NO_TABLE = {"session", "modules"}
"""Views that are lists of elements themselves."""

# Elements that the pointer aims at and whose target is smaller than 24 × 24 CSS pixels.
SMALL = """() => [...document.querySelectorAll(`.iw-root :is(button, select, summary, textarea,
    input:not(.iw-sr), label:has(> .iw-sr), [role=option], [role=treeitem], [role=menuitem],
    [role=gridcell]:not(.iw-focus-cell), [tabindex])`)]
  .filter(e => e.checkVisibility() && !e.closest('.iw-sr')
    && !e.matches('.iw-focus-cell, .iw-strip-token, svg *'))  // words of a text: docs/access.md
  .map(e => [e, (e.matches('input') && e.labels?.[0] || e).getBoundingClientRect()])
  .filter(([e, box]) => box.width < 24 || box.height < 24)
  .map(([e, box]) => `${box.width.toFixed(0)} × ${box.height.toFixed(0)}: ${e.outerHTML.slice(0, 120)}`)"""

# Text or controls that stick out of their view and cannot be scrolled to.
LOST = """() => [...document.querySelectorAll('.iw-root')].flatMap(root => {
  const edge = root.getBoundingClientRect();
  const walker = document.createTreeWalker(root, NodeFilter.SHOW_TEXT);
  const lost = [];
  for (let node = walker.nextNode(); node; node = walker.nextNode()) {
    const at = node.parentElement;
    if (!node.data.trim() || !at.checkVisibility() || at.closest('.iw-sr, option')) continue;
    let scrolled = false;
    for (let up = at; up !== root; up = up.parentElement) {
      const { overflowX, textOverflow } = getComputedStyle(up);
      if (['auto', 'scroll'].includes(overflowX) || textOverflow === 'ellipsis') scrolled = true;
    }
    const range = document.createRange();
    range.selectNodeContents(node);
    const box = range.getBoundingClientRect();
    if (!scrolled && (box.right > edge.right + 1 || box.left < edge.left - 1))
      lost.push(`${root.dataset.iwView}: ${node.data.slice(0, 40)}`);
  }
  return lost; })"""

# The thing that has the focus: is it seen, and how. What is drawn with a frame gets some.
FOCUSED = """async () => {
  const look = () => {
    const e = document.activeElement;
    if (!e || e === document.body) return null;
    const root = e.closest('.iw-root');
    if (!root) return {view: '', what: e.outerHTML.slice(0, 120), seen: true, top: true};
    const mark = e.matches('input.iw-sr') ? e.nextElementSibling : e;
    const style = getComputedStyle(mark);
    const shape = e.matches('svg *') ? getComputedStyle(e.querySelector('[class*=box]') ?? e) : null;
    const seen = (style.outlineStyle !== 'none' && parseFloat(style.outlineWidth) >= 2)
      || (shape && parseFloat(shape.strokeWidth) >= 2);
    const box = mark.getBoundingClientRect();
    const x = box.x + box.width / 2, y = box.y + box.height / 2;
    const inside = x >= 0 && y >= 0 && x < innerWidth && y < innerHeight;
    const hit = document.elementFromPoint(x, y);
    const plain = e.matches('.iw-focus-cell');  // lets the pointer through to its canvas
    const top = inside && !!hit && (plain ? root.contains(hit) : mark.contains(hit) || hit.contains(mark));
    return {view: root.dataset.iwView, what: e.outerHTML.slice(0, 120), seen: !!seen, top};
  };
  let found = look();
  for (let frame = 0; frame < 60 && found && !(found.seen && found.top); frame++) {
    await new Promise(requestAnimationFrame);
    found = look();
  }
  return found;
}"""


def nothing(found: list[str]) -> None:
    assert not found, "\n".join(found)


@pytest.fixture(scope="module")
def page_file(tmp_path_factory):
    path = tmp_path_factory.mktemp("access") / "views.html"
    return path, write_page(path)


@pytest.fixture
def show(offline, page_file):
    path, places = page_file

    def opened(width=1000, **options):
        page = offline(path, viewport={"width": width, "height": 900}, **options)
        expect(page.locator(".iw-root .iw-title")).to_have_count(len(places))
        alerts = page.locator(".iw-root").get_by_role("alert").filter(visible=True)
        nothing(alerts.all_inner_texts())
        return page

    return opened


def open_each(page, name, what):
    """Press a button of every view that has it; wait for what they open."""
    buttons = page.get_by_role("button", name=name, exact=True)
    for button in buttons.all():
        button.click()
    expect(page.locator(what).filter(visible=True)).to_have_count(buttons.count())
    still(page.locator("body"))


@pytest.mark.skipif(not AXE.is_file(), reason="axe-core is not installed: run `npm install` in js/")
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_axe_finds_nothing(show, scheme):
    page = show(color_scheme=scheme)
    page.add_script_tag(path=AXE)
    nothing(page.evaluate(AUDIT))
    open_each(page, "Show as table", ".iw-table")
    open_each(page, "Keys", ".iw-keys")
    nothing(page.evaluate(AUDIT))
    page.get_by_role("button", name="More", exact=True).first.click()
    expect(page.get_by_role("menu").filter(visible=True)).to_have_count(1)
    nothing(page.evaluate(AUDIT))


def test_every_view_is_also_a_table(show, page_file):
    page = show()
    for kind, place in page_file[1].items():
        root = page.locator(".iw-root").nth(place)
        button = root.get_by_role("button", name="Show as table")
        if kind in NO_TABLE:
            expect(root.locator("ul, ol, [role=tree], [role=list]")).not_to_have_count(0)
            continue
        button.click()
        table = root.locator("table:visible")
        title = root.locator(".iw-title").inner_text()
        expect(table.locator("caption")).to_have_text(re.compile(f"^{re.escape(title)}"))
        heads = table.locator("thead th[scope=col]")
        assert heads.count() >= 2, kind
        assert all(text.strip() for text in heads.all_inner_texts()), kind
        assert table.locator("tbody tr").count() >= 1, kind
        assert table.locator("tbody tr").first.locator("td, th").count() == heads.count(), kind


def test_targets_are_24_pixels_or_larger(show):
    nothing(show().evaluate(SMALL))


def test_at_320_pixels_nothing_is_lost_and_only_matrices_scroll(show):
    """1,280 pixels at 400 % are 320: WCAG 2.2, 1.4.10."""
    page = show(width=320)
    assert page.evaluate("document.documentElement.scrollWidth") <= 320
    nothing(page.evaluate(LOST))
    open_each(page, "Show as table", ".iw-table")
    assert page.evaluate("document.documentElement.scrollWidth") <= 320


def test_tab_goes_through_all_views_sees_its_place_and_comes_out(show, page_file):
    page = show()
    seen, views = [], []
    for _ in range(400):
        page.keyboard.press("Tab")
        focus = page.evaluate(FOCUSED)
        if focus is None:
            break
        seen.append(focus)
        if focus["view"] not in views:
            views.append(focus["view"])
    else:
        pytest.fail(f"Tab does not leave {views[-1]}: {seen[-1]['what']}")
    assert len(views) == len({f["view"] for f in seen})
    bundles = {VIEWS.get(kind).bundle for kind in page_file[1]}
    assert set(views) == bundles
    nothing([f"not visible: {f['what']}" for f in seen if not f["seen"]])
    nothing([f"covered: {f['what']}" for f in seen if not f["top"]])
    page.keyboard.press("Shift+Tab")  # and back in again
    page.keyboard.press("Shift+Tab")
    assert page.evaluate(FOCUSED)["view"] == views[-1]


def test_with_reduced_motion_nothing_moves(show):
    page = show(reduced_motion="reduce")
    page.evaluate(
        "document.querySelectorAll('.iw-root').forEach(root => root.dataset.iwPhase = 'running')"
    )
    page.mouse.move(500, 500)
    still(page.locator("body"))
    assert page.evaluate("document.getAnimations().length") == 0
    moving = """() => [...document.querySelectorAll('.iw-root, .iw-root *')].filter(e =>
        getComputedStyle(e).transitionDuration.split(',').some(t => parseFloat(t) > 0)
        || getComputedStyle(e, '::before').transitionDuration.split(',').some(t => parseFloat(t) > 0)
      ).map(e => e.outerHTML.slice(0, 80))"""
    nothing(page.evaluate(moving))


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_in_forced_colours_the_picture_stands_on_the_readers_background(show, scheme):
    page = show(forced_colors="active", color_scheme=scheme)
    assert set(
        page.eval_on_selector_all(".iw-root", "roots => roots.map(r => r.dataset.iwTheme)")
    ) == {scheme}
    look = """(selector) => { const e = document.querySelector(selector);
        const style = getComputedStyle(e), after = getComputedStyle(e, '::after');
        return [style.borderColor, style.boxShadow, after.backgroundImage]; }"""
    chosen = page.evaluate(look, ".iw-att-head[aria-selected=true] .iw-att-thumb")
    other = page.evaluate(look, ".iw-att-head[aria-selected=false] .iw-att-thumb")
    assert chosen != other
    assert "gradient" in page.evaluate(look, ".iw-att-ablated .iw-att-thumb")[2]
    pressed = page.locator(".iw-root .iw-segmented label").filter(has=page.locator(":checked"))
    colours = {
        one.locator("span").evaluate("e => getComputedStyle(e).backgroundColor")
        for one in pressed.all()
    }
    assert colours == {
        page.evaluate("""() => { const e = document.createElement('i');
        e.style.background = 'Highlight'; document.body.append(e);
        return getComputedStyle(e).backgroundColor; }""")
    }


def test_who_asks_for_contrast_gets_no_grey(show):
    page = show(contrast="more")
    colours = page.evaluate(
        """() => [...new Set([...document.querySelectorAll('.iw-root .iw-foot, .iw-root .iw-label')]
            .map(e => getComputedStyle(e).color))]"""
    )
    assert colours == [page.evaluate("getComputedStyle(document.querySelector('.iw-root')).color")]
