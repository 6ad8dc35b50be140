"""The gallery shows what its script draws."""

import re
from pathlib import Path

from PIL import Image

DOCS = Path(__file__).parents[2] / "docs"


def test_every_picture_of_the_page_is_drawn_by_the_script_and_carries_its_recipe():
    shown = re.findall(r"\(gallery/(\w+)\.png\)", (DOCS / "gallery.md").read_text())
    drawn = re.findall(r'yield "(\w+)"', (DOCS / "gallery" / "build.py").read_text())
    assert sorted(shown) == sorted(drawn)
    for name in shown:
        assert (DOCS / "gallery" / f"{name}.svg").is_file()
        picture = Image.open(DOCS / "gallery" / f"{name}.png")
        assert {"Title", "Description", "Recipe"} <= set(picture.text)
        assert picture.width >= 3 * 200
