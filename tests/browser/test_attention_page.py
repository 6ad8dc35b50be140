"""Exported pages of attention and tokens in Chromium: offline, by mouse and by keyboard."""

from __future__ import annotations

import pytest
import torch

from interp_widgets.results.attention import AttentionResult
from interp_widgets.results.tokens import TokensResult
from interp_widgets.views.page import to_html

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
def show(chromium, tmp_path):
    """Write views to a page and open it with no network; errors fail the test."""
    contexts, errors = [], []

    def opened(views, width=900, **options):
        path = tmp_path / "page.html"
        to_html(views, path)
        context = chromium.new_context(
            offline=True, viewport={"width": width, "height": 800}, **options
        )
        contexts.append(context)
        page = context.new_page()
        page.on("pageerror", lambda error: errors.append(str(error)))
        page.on("console", lambda m: errors.append(m.text) if m.type == "error" else None)
        page.goto(path.as_uri())
        return page

    yield opened
    for context in contexts:
        context.close()
    assert errors == []


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


def painted(page, selector):
    """Whether a canvas has more than one colour."""
    return page.locator(selector).evaluate(
        """c => { const d = c.getContext('2d').getImageData(0, 0, c.width, c.height).data;
                  return new Set(new Uint32Array(d.buffer)).size > 2; }"""
    )


def test_all_heads_are_painted_and_a_click_opens_one(show):
    page = show(attention())
    assert page.locator(".iw-att-head").count() == 6
    page.wait_for_function("!document.querySelector('.iw-att-waiting')")
    assert painted(page, ".iw-att-head >> nth=4 >> canvas")
    page.locator(".iw-att-head").nth(1).click()
    page.wait_for_function("document.querySelector('.iw-att-title').textContent.includes('0.1')")
    assert page.locator('[aria-selected="true"].iw-att-head').get_attribute("data-id") == "1"
    assert painted(page, ".iw-att-cells")


def test_a_hovered_cell_says_query_key_and_the_exact_weight(show):
    result = attention()
    page = show(result.view(layer=1, head=2))
    page.wait_for_selector(".iw-att-plot")
    box = page.locator(".iw-att-plot").bounding_box()
    n = len(TOKENS)
    page.mouse.move(box["x"] + 2.5 / n * box["width"], box["y"] + 9.5 / n * box["height"])
    weight = float(result.pattern(layer=1, head=2)[9, 2])
    page.wait_for_function("document.querySelector('.iw-att-readout').textContent.includes('→')")
    said = page.locator(".iw-att-readout").inner_text()
    assert "😀” (9) → " in said
    assert "Mary” (2): " in said
    assert float(said.split(": ")[1].replace("−", "-")) == pytest.approx(weight, rel=0.01)


def test_a_hovered_token_colours_what_it_attends_to_or_what_attends_to_it(show):
    result = attention()
    page = show(result.view(layer=1, head=0))
    token = page.locator(".iw-strip-token")
    token.nth(10).hover()
    weights = result.pattern(layer=1, head=0)

    def spoken():
        labels = [token.nth(i).get_attribute("aria-label") for i in range(11)]
        return [float(label.split(", ")[-1].replace("−", "-")) for label in labels]

    page.wait_for_function(
        "document.querySelectorAll('.iw-strip-token')[0].getAttribute('aria-label').includes(', ')"
    )
    assert spoken() == pytest.approx(weights[10].tolist(), abs=0.01)
    page.get_by_text("Who looks at it").click()
    token.nth(2).hover()
    page.wait_for_function(
        "document.querySelectorAll('.iw-strip-token')[0].getAttribute('aria-label').endsWith(', 0')"
    )
    assert spoken() == pytest.approx(weights[:, 2].tolist(), abs=0.01)


def test_the_keyboard_alone_opens_a_head_reads_a_cell_and_pins_a_token(show):
    page = show(attention())
    page.locator('.iw-att-head[tabindex="0"]').focus()
    page.keyboard.press("ArrowDown")
    page.keyboard.press("ArrowRight")
    page.keyboard.press("Enter")
    page.wait_for_function("document.querySelector('.iw-att-title').textContent.includes('1.1')")
    page.locator(".iw-att-plot [role=gridcell]").focus()
    page.keyboard.press("ArrowDown")
    page.keyboard.press("ArrowDown")
    said = page.locator(".iw-att-plot [role=gridcell]").get_attribute("aria-label")
    assert said.startswith("“·Mary” (2) → “<s>” (0): ")
    page.keyboard.press("Enter")
    page.wait_for_selector('.iw-strip-token[data-i="2"][aria-selected="true"]')


def test_space_on_a_head_of_a_page_says_that_ablating_needs_the_model(show):
    page = show(attention())
    page.locator('.iw-att-head[tabindex="0"]').focus()
    page.keyboard.press(" ")
    assert "needs the model" in page.locator(".iw-note").first.inner_text()


def test_heads_are_sorted_and_lines_drawn_by_choice(show):
    result = attention()
    page = show(result)
    page.locator("select").first.select_option("entropy")
    entropy = result.head_score("entropy").reshape(-1)
    page.wait_for_function("document.querySelector('.iw-att-caption')")
    ids = [int(page.locator(".iw-att-head").nth(i).get_attribute("data-id")) for i in range(6)]
    assert ids == sorted(range(6), key=lambda i: entropy[i])
    page.get_by_text("Lines", exact=True).click()
    page.wait_for_selector(".iw-att-lines:not([hidden])")
    assert painted(page, ".iw-att-between canvas")


def test_a_click_on_a_cell_multiplies_q_and_k_and_a_second_head_stands_beside(show):
    result = attention()
    page = show(result.view(layer=1, head=2))
    box = page.locator(".iw-att-plot").bounding_box()
    n = len(TOKENS)
    page.mouse.click(box["x"] + 2.5 / n * box["width"], box["y"] + 9.5 / n * box["height"])
    page.wait_for_selector(".iw-att-product:not([hidden]) canvas[aria-label]")
    said = page.locator(".iw-att-sum").inner_text()
    dot = float(said.split("scale = ")[1].split(" ")[0].replace("−", "-"))
    assert dot == pytest.approx(result.product(1, 2, 9, 2).dot, rel=0.01)
    page.locator(".iw-att-head").nth(1).click(modifiers=["Shift"])
    page.wait_for_selector(".iw-att-pane >> nth=1")
    assert "Head 0.1, beside" in page.locator(".iw-att-title").nth(1).inner_text()
    assert painted(page, ".iw-att-cells >> nth=1")


def test_veiled_heads_say_nothing_until_they_are_revealed(show):
    view = attention().view(layer=1, head=2)
    view.state = {**view.state, "predict": True, "revealed": []}
    page = show(view)
    page.wait_for_selector(".iw-att-veiled")
    assert page.locator(".iw-att-veiled").count() == 6
    assert page.locator(".iw-att-head").nth(5).get_attribute("aria-label") == "head 1.2, hidden"
    page.get_by_text("Reveal this head").click()
    page.wait_for_function("document.querySelectorAll('.iw-att-veiled').length === 5")
    assert painted(page, ".iw-att-cells")


def test_a_long_prompt_pages_its_tokens_and_says_that_cells_are_pooled(show):
    tokens = [f" w{i % 40}" for i in range(700)]
    page = show(attention(1, 2, tokens))
    assert "largest of" in page.locator(".iw-foot").inner_text()
    assert page.locator(".iw-strip-token").count() == 500
    page.get_by_label("Later tokens").click()
    assert page.locator(".iw-strip-token").count() == 200


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
    assert page.locator(".iw-strip-negative").count() == 3
    assert page.locator(".iw-strip-nan").count() == 1
    assert page.locator(".iw-strip-token").nth(8).inner_text() == "<script>"
    assert "logit of Mary" in page.locator(".iw-tokens-target").inner_text()


def test_bars_can_be_sorted_by_size_and_walked_with_the_keyboard(show):
    page = show(values())
    page.get_by_text("Bars").click()
    page.get_by_label("Order").select_option("size")
    page.wait_for_function(
        "document.querySelector('.iw-tokens-row').getAttribute('data-i') === '2'"
    )
    page.locator('.iw-tokens-row[tabindex="0"]').focus()
    page.keyboard.press("End")
    page.keyboard.press("Enter")
    page.wait_for_selector('.iw-tokens-row[data-i="10"][aria-selected="true"]')
    assert "NaN" in page.locator('.iw-tokens-row[data-i="10"]').inner_text()
