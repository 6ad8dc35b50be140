"""Take the README's picture: ``python -m tests.browser.first_look docs/images/first_look.png``.

A real JupyterLab on the demo model; of the heads above the first layer, the one that the answer
depends on most is clicked away.
"""

from __future__ import annotations

import io
import sys
import tempfile
from pathlib import Path

from PIL import Image
from playwright.sync_api import sync_playwright

from tests.browser.conftest import ARGS, find_chromium
from tests.browser.lab import Lab, serve, write_notebook

CODE = """
import interp_widgets as iw

session = iw.demo()
story = "When Mary and John went to the store, John gave a drink to"
prompt = session.prompt(story, answer=" Mary", foil=" John")
iw.attention(prompt)
"""
CELLS = (CODE.strip(), "iw.logit_lens(prompt)", "")
STRONGEST = """
def _without(layer, head):
    session.ablate("z", layer=layer, head=head)
    left = float(iw.logit_lens(prompt).numpy("logit_difference")[-1, -1])
    session.undo()
    return left
_left = {(l, h): _without(l, h) for l in range(1, session.anatomy.n_layers)
         for h in range(session.anatomy.n_heads)}
print(*min(_left, key=_left.get))
"""
SCALE = 1.1


def take(page, address: str) -> bytes:
    lab = Lab(page, address, "look.ipynb").open()
    lab.command("application:toggle-left-area")
    lab.run_all()
    attention, lens = (lab.view(i) for i in (0, 1))
    lens.wait_for()
    head = ".".join(lab.kernel(STRONGEST).split())
    print("head", head)
    attention.get_by_role("gridcell", name=f"head {head}").click()
    attention.get_by_role("button", name=f"Ablate head {head}").click()
    attention.get_by_role("gridcell", name=f"head {head}, ablated").wait_for()
    lens.get_by_role("radiogroup", name="Show", exact=True).wait_for()
    attention.get_by_role("option").last.click()
    page.evaluate("window.jupyterapp.shell.currentWidget.content.activeCellIndex = 2")
    page.evaluate("document.activeElement.blur()")
    page.mouse.move(2, 2)
    page.wait_for_timeout(1500)
    first, last = (lab.cell(i).bounding_box() for i in (0, 1))
    edge = 8
    return page.screenshot(
        clip={
            "x": first["x"] - edge,
            "y": first["y"] - edge,
            "width": first["width"] + 2 * edge,
            "height": last["y"] + last["height"] - first["y"] + edge,
        }
    )


def main(path: Path) -> None:
    with tempfile.TemporaryDirectory() as name, sync_playwright() as playwright:
        folder = Path(name)
        write_notebook(folder / "look.ipynb", *CELLS)
        browser = playwright.chromium.launch(
            executable_path=find_chromium(playwright), args=[*ARGS, "--no-sandbox"]
        )
        size = {"width": 1250, "height": 1700}
        page = browser.new_page(viewport=size, device_scale_factor=SCALE)
        with serve(folder) as address:
            png = take(page, address)
        browser.close()
    image = Image.open(io.BytesIO(png)).convert("RGB").quantize(255, dither=Image.Dither.NONE)
    path.parent.mkdir(parents=True, exist_ok=True)
    image.save(path, optimize=True)
    print(path, image.size, path.stat().st_size, "bytes")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
