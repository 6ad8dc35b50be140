"""Exported pages of attention and tokens in Chromium: offline, by mouse and by keyboard."""

from __future__ import annotations

import re

import pytest
import torch

from interp_widgets.results.attention import AttentionResult
from interp_widgets.results.tokens import TokensResult
from interp_widgets.views.page import to_html
from tests.browser.waiting import expect, still, until

pytestmark = pytest.mark.browser

TOKENS = [
    "<s>",
    "When",
    " Mary",
    " and",
    " John",
    " went",
    "\n",
    " שלום",
    "<script>",
    " 😀",
    " John",
]


@pytest.fixture
def show(offline, tmp_path):
    """Write views to a page and open it with no network; errors fail the test."""

    def opened(views, width=900, **options):
        to_html(views, tmp_path / "page.html")
        size = {"width": width, "height": 800}
        return offline(tmp_path / "page.html", viewport=size, **options)

    return opened


def attention(layers=2, heads=3, tokens=TOKENS):
    generator = torch.Generator().manual_seed(5)
    q, k = torch.randn(2, layers, heads, len(tokens), 4, generator=generator)
    facts = [{"scaling": 0.5, "causal": True}] * layers
    return AttentionResult({"q": q * 2, "k": k}, {"tokens": tokens, "facts": facts})


def values():
    numbers = torch.tensor([[0.5, -1.5, 2.0, 0.0, -0.1, 0.3, 0.2, 0.1, -0.4, 1.0, float("nan")]])
    return TokensResult(
        {"values": numbers},
        {"tokens": TOKENS, "quantity": "attribution", "signed": True, "target": "logit of Mary"},
    )


PAINTED = """c => { const d = c.getContext('2d').getImageData(0, 0, c.width, c.height).data;
    return new Set(new Uint32Array(d.buffer)).size > 2; }"""


def see_painted(page, selector):
    """Wait until a canvas has more than one colour."""
    until(lambda: page.locator(selector).evaluate(PAINTED), f"{selector} painted")


def point(page, row, column):
    """Where a cell of the open matrix is on the page."""
    box, n = still(page.locator(".iw-att-plot")), len(TOKENS)
    return box["x"] + (column + 0.5) / n * box["width"], box["y"] + (row + 0.5) / n * box["height"]


def test_all_heads_are_painted_and_a_click_opens_one(show):
    page = show(attention())
    expect(page.locator(".iw-att-head")).to_have_count(6)
    expect(page.locator(".iw-att-waiting")).to_have_count(0)
    see_painted(page, ".iw-att-head >> nth=4 >> canvas")
    page.locator(".iw-att-head").nth(1).click()
    expect(page.locator(".iw-att-title")).to_contain_text("0.1")
    expect(page.locator('[aria-selected="true"].iw-att-head')).to_have_attribute("data-id", "1")
    see_painted(page, ".iw-att-cells")


def test_a_hovered_cell_says_query_key_and_the_exact_weight(show):
    result = attention()
    page = show(result.view(layer=1, head=2))
    page.mouse.move(*point(page, 9, 2))
    readout = page.locator(".iw-att-readout")
    expect(readout).to_contain_text("😀” (9) → ")
    expect(readout).to_contain_text("Mary” (2): ")
    weight = pytest.approx(float(result.pattern(layer=1, head=2)[9, 2]), rel=0.01)
    until(lambda: float(readout.inner_text().split(": ")[1].replace("−", "-")) == weight)


def test_a_hovered_token_colours_what_it_attends_to_or_what_attends_to_it(show):
    result = attention()
    page = show(result.view(layer=1, head=0))
    token = page.locator(".iw-strip-token")
    token.nth(10).hover()
    weights = result.pattern(layer=1, head=0)

    numbers = "e => Number(e.ariaLabel.split(', ').at(-1).replaceAll('−', '-'))"

    def spoken():
        return token.evaluate_all(f"all => all.map({numbers})")

    until(lambda: spoken() == pytest.approx(weights[10].tolist(), abs=0.01), "its own weights")
    page.get_by_text("Who looks at it").click()
    token.nth(2).hover()
    until(lambda: spoken() == pytest.approx(weights[:, 2].tolist(), abs=0.01), "weights to it")


def test_the_keyboard_alone_opens_a_head_reads_a_cell_and_pins_a_token(show):
    page = show(attention())
    page.locator('.iw-att-head[tabindex="0"]').focus()
    page.keyboard.press("ArrowDown")
    page.keyboard.press("ArrowRight")
    page.keyboard.press("Enter")
    expect(page.locator(".iw-att-title")).to_contain_text("1.1")
    cell = page.locator(".iw-att-plot [role=gridcell]")
    cell.focus()
    page.keyboard.press("ArrowDown")
    page.keyboard.press("ArrowDown")
    expect(cell).to_have_attribute("aria-label", re.compile(r"^“·Mary” \(2\) → “<s>” \(0\): "))
    page.keyboard.press("Enter")
    page.wait_for_selector('.iw-strip-token[data-i="2"][aria-selected="true"]')


def test_space_on_a_head_of_a_page_says_that_ablating_needs_the_model(show):
    page = show(attention())
    page.locator('.iw-att-head[tabindex="0"]').focus()
    page.keyboard.press(" ")
    expect(page.locator(".iw-note").first).to_contain_text("needs the model")


def test_heads_are_sorted_and_lines_drawn_by_choice(show):
    result = attention()
    page = show(result)
    page.locator("select").first.select_option("entropy")
    entropy = result.head_score("entropy").reshape(-1)
    wanted = sorted(range(6), key=lambda i: entropy[i])
    ids = "heads => heads.map(head => Number(head.dataset.id))"
    until(lambda: page.locator(".iw-att-head").evaluate_all(ids) == wanted, "heads by entropy")
    page.get_by_text("Lines", exact=True).click()
    page.wait_for_selector(".iw-att-lines:not([hidden])")
    see_painted(page, ".iw-att-between canvas")


def test_a_click_on_a_cell_multiplies_q_and_k_and_a_second_head_stands_beside(show):
    result = attention()
    page = show(result.view(layer=1, head=2))
    page.mouse.click(*point(page, 9, 2))
    page.wait_for_selector(".iw-att-product:not([hidden]) canvas[aria-label]")
    expect(page.locator(".iw-att-sum")).to_contain_text("scale = ")
    said = page.locator(".iw-att-sum").inner_text()
    dot = float(said.split("scale = ")[1].split(" ")[0].replace("−", "-"))
    assert dot == pytest.approx(result.product(1, 2, 9, 2).dot, rel=0.01)
    page.locator(".iw-att-head").nth(1).click(modifiers=["Shift"])
    expect(page.locator(".iw-att-title").nth(1)).to_contain_text("Head 0.1, beside")
    see_painted(page, ".iw-att-cells >> nth=1")


def test_veiled_heads_say_nothing_until_they_are_revealed(show):
    view = attention().view(layer=1, head=2)
    view.state = {**view.state, "predict": True, "revealed": []}
    page = show(view)
    expect(page.locator(".iw-att-veiled")).to_have_count(6)
    expect(page.locator(".iw-att-head").nth(5)).to_have_attribute("aria-label", "head 1.2, hidden")
    page.get_by_text("Reveal this head").click()
    expect(page.locator(".iw-att-veiled")).to_have_count(5)
    see_painted(page, ".iw-att-cells")


def test_a_long_prompt_pages_its_tokens_and_says_that_cells_are_pooled(show):
    tokens = [f" w{i % 40}" for i in range(700)]
    page = show(attention(1, 2, tokens))
    expect(page.locator(".iw-foot")).to_contain_text("largest of")
    expect(page.locator(".iw-strip-token")).to_have_count(500)
    page.get_by_label("Later tokens").click()
    expect(page.locator(".iw-strip-token")).to_have_count(200)


def test_at_320_pixels_nothing_is_wider_than_the_page(show):
    page = show([attention(), values()], width=320)
    page.wait_for_selector(".iw-att-plot")
    assert page.evaluate("document.documentElement.scrollWidth") <= 320


def test_a_click_on_a_token_selects_it_in_both_views(show):
    page = show([attention(), values()])
    page.locator(".iw-tokens .iw-strip-token").nth(4).click()
    page.wait_for_selector('.iw-attention .iw-strip-token[data-i="4"][aria-selected="true"]')


def test_signs_are_visible_without_colour_and_a_token_is_never_markup(show):
    page = show(values())
    expect(page.locator(".iw-strip-negative")).to_have_count(3)
    expect(page.locator(".iw-strip-nan")).to_have_count(1)
    expect(page.locator(".iw-strip-token").nth(8)).to_have_text("<script>")
    expect(page.locator(".iw-tokens-target")).to_contain_text("logit of Mary")


def test_bars_can_be_sorted_by_size_and_walked_with_the_keyboard(show):
    page = show(values())
    page.get_by_text("Bars").click()
    page.get_by_label("Order").select_option("size")
    expect(page.locator(".iw-tokens-row").first).to_have_attribute("data-i", "2")
    page.locator('.iw-tokens-row[tabindex="0"]').focus()
    page.keyboard.press("End")
    page.keyboard.press("Enter")
    page.wait_for_selector('.iw-tokens-row[data-i="10"][aria-selected="true"]')
    expect(page.locator('.iw-tokens-row[data-i="10"]')).to_contain_text("NaN")
