"""The comparison of screenshots sees what a reader would see, and nothing finer."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageChops, ImageFilter

from tests.browser.pictures import same_picture

BASELINES = Path(__file__).parent / "baselines"
NAMES = ("attention", "heatmap", "tokens")


@pytest.fixture(autouse=True)
def comparing(monkeypatch):
    monkeypatch.delenv("UPDATE_PICTURES", raising=False)


def looks_the_same(image, name):
    stream = io.BytesIO()
    image.save(stream, "png")
    return same_picture(stream.getvalue(), BASELINES / f"{name}.png")


def baseline(name):
    return Image.open(BASELINES / f"{name}.png").convert("RGB")


@pytest.mark.parametrize("name", NAMES)
def test_softer_glyphs_and_a_toolbar_two_pixels_higher_are_forgiven(name):
    image = baseline(f"{name}-light").filter(ImageFilter.GaussianBlur(0.7))
    assert looks_the_same(ImageChops.offset(image, 0, 2), f"{name}-light")


@pytest.mark.parametrize("name", NAMES)
def test_the_other_theme_is_noticed(name):
    assert not looks_the_same(baseline(f"{name}-dark"), f"{name}-light")


@pytest.mark.parametrize("name", NAMES)
def test_lost_data_are_noticed(name):
    image = baseline(f"{name}-light")
    pixels = np.asarray(image).astype(int)
    coloured = np.abs(pixels - pixels.mean(axis=-1, keepdims=True)).max(axis=-1) > 24
    empty = np.where(coloured[..., None], 255, pixels).astype("uint8")
    assert not looks_the_same(Image.fromarray(empty), f"{name}-light")


@pytest.mark.parametrize(
    ("what", "box"), [("heads", (42, 92, 312, 271)), ("matrix", (420, 105, 692, 377))]
)
def test_an_attention_view_without_its_heads_or_its_matrix_is_noticed(what, box):
    image = baseline("attention-light")
    image.paste((255, 255, 255), box)
    assert not looks_the_same(image, "attention-light")


def test_a_view_of_another_height_is_noticed():
    image = baseline("heatmap-light")
    assert not looks_the_same(image.crop((0, 0, image.width, image.height - 60)), "heatmap-light")
