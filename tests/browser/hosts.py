"""The hosts, one after the other, in Chromium: what docs/hosts.md says of them, seen again.

``python -m tests.browser.hosts --venv DIR [name …]`` installs the hosts into an environment of its
own that borrows this one's packages, opens two views in each, and prints a row for each. A picture
of every page goes to ``--shots``.
"""

from __future__ import annotations

import argparse
import datetime as dt
import json
import os
import shutil
import site
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import nbformat
from playwright.sync_api import Browser, Error, Page, sync_playwright

from tests.browser.conftest import ARGS, find_chromium
from tests.browser.lab import Lab, free_port, serve, write_notebook

PACKAGES = ("notebook", "voila", "marimo", "myst-nb", "nbconvert")
PROMPT = (
    '"When Mary and John went to the store, John gave a drink to", answer=" Mary", foil=" John"'
)
SETUP = f"import interp_widgets as iw\nsession = iw.demo()\nclean = session.prompt({PROMPT})"
CELLS = (SETUP, "iw.attention(clean).view()", "iw.logit_lens(clean).view()")
MARIMO = f"""import marimo
app = marimo.App()
@app.cell
def _():
    import marimo as mo
    import interp_widgets as iw
    session = iw.demo()
    clean = session.prompt({PROMPT})
    runs = []
    return mo, iw, session, clean, runs
@app.cell
def _(mo, iw, clean):
    attention = WRAP(iw.attention(clean).view())
    attention
    return (attention,)
@app.cell
def _(mo, iw, clean):
    lens = WRAP(iw.logit_lens(clean).view())
    lens
    return (lens,)
@app.cell
def _(attention, lens, runs, mo):
    runs.append((attention, lens))
    mo.md(f"runs: {{len(runs)}}")
    return
"""
COLOURED = """all => all.filter(c => { if (c.width < 8 || !c.checkVisibility()) return false;
  const d = c.getContext('2d').getImageData(0, 0, c.width, c.height).data;
  return new Set(new Uint32Array(d.buffer)).size > 2; }).length"""
PICTURES = "all => all.filter(i => i.naturalWidth > 100 && i.checkVisibility()).length"


class Hosts:
    """What every host needs: the browser, the environment, a folder, the pictures."""

    def __init__(self, chromium: Browser, venv: Path, folder: Path, shots: Path) -> None:
        self.chromium, self.venv, self.folder, self.shots = chromium, venv, folder, shots
        self.env = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(Path.cwd())}
        own = (str(Path(prefix) / "share" / "jupyter") for prefix in (venv, sys.prefix))
        self.env["JUPYTER_PATH"] = os.pathsep.join(own)
        self.env["PATH"] = f"{venv / 'bin'}{os.pathsep}{self.env['PATH']}"

    def python(self, *words: str, **environment: str) -> None:
        subprocess.run(
            [self.venv / "bin" / "python", *words], check=True, cwd=self.folder,
            env={**self.env, **environment}, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE,
        )  # fmt: skip

    def version(self, package: str) -> str:
        code = f"from importlib.metadata import version; print(version({package!r}))"
        found = subprocess.run(
            [self.venv / "bin" / "python", "-c", code], capture_output=True, text=True, check=True
        )
        return found.stdout.strip()

    @contextmanager
    def server(self, *words: str) -> Iterator[None]:
        """Run a host until it answers; the last word is its address."""
        *command, address = words
        with (self.folder / "host.log").open("w") as log:
            running = subprocess.Popen(
                [self.venv / "bin" / "python", *command],
                env=self.env, cwd=self.folder, stdout=log, stderr=log,
            )  # fmt: skip
            try:
                for _ in range(240):
                    try:
                        urllib.request.urlopen(address, timeout=20)
                        break
                    except urllib.error.HTTPError:
                        break  # an answer too
                    except OSError:
                        time.sleep(0.25)
                yield
            finally:
                running.terminate()
                running.wait(20)

    @contextmanager
    def page(self, *, offline: bool = False) -> Iterator[Page]:
        context = self.chromium.new_context(
            offline=offline, viewport={"width": 1200, "height": 1600}
        )
        page = context.new_page()
        page.complaints = []  # type: ignore[attr-defined]
        page.on("pageerror", lambda e: page.complaints.append(str(e)))  # type: ignore[attr-defined]
        yield page
        context.close()

    def notebook(self, name: str) -> Path:
        return write_notebook(self.folder / name, *CELLS)

    def seen(self, page: Page, name: str, wait: float = 25) -> str:
        """What stands in the page: views, painted canvases, pictures, script errors."""
        end = time.monotonic() + wait
        while not (looked := self.look(page))[1] and not looked[2] and time.monotonic() < end:
            page.wait_for_timeout(500)
        page.wait_for_timeout(1500)
        views, canvases, pictures = self.look(page)
        page.screenshot(path=self.shots / f"{name}.png", full_page=True)
        errors = page.complaints  # type: ignore[attr-defined]
        said = f"; script errors: {errors[0][:80]}" if errors else ""
        return f"{views} views, {canvases} canvases painted, {pictures} pictures{said}"

    @staticmethod
    def look(page: Page) -> tuple[int, int, int]:
        return (
            page.locator(".iw-root").count(),
            page.locator(".iw-root canvas").evaluate_all(COLOURED),
            page.locator("img").evaluate_all(PICTURES),
        )


def jupyterlab(hosts: Hosts) -> Iterator[tuple[str, str]]:
    """Live, then saved and opened again with no kernel, and by a reader who does not trust it."""
    file = hosts.notebook("lab.ipynb")
    with serve(hosts.folder) as address:
        with hosts.page() as page:
            lab = Lab(page, address, file.name).open()
            lab.run_all()
            yield "JupyterLab, live", hosts.seen(page, "lab")
            lab.save()
            lab.command("kernelmenu:shutdown")
        plain = nbformat.read(file, 4)
        strange = nbformat.from_dict(json.loads(json.dumps(plain)))
        strange.cells[0].source += "\n# by somebody else"  # so that no signature fits
        for notebook, name in ((plain, "nokernel"), (strange, "untrusted")):
            notebook.metadata.pop("widgets", None)
            if name == "nokernel":
                notebook.metadata.kernelspec = {"name": "gone", "display_name": "gone"}
            nbformat.write(notebook, hosts.folder / f"{name}.ipynb")
            trusted = [] if name == "untrusted" else ["trust", f"{name}.ipynb"]
            if trusted:
                hosts.python("-m", "jupyter", *trusted)
            with hosts.page() as page:
                page.goto(f"{address}/lab/tree/{name}.ipynb?reset")
                page.wait_for_selector(".jp-Notebook", timeout=60_000)
                yield f"JupyterLab, {name}", hosts.seen(page, f"lab-{name}", 8)


def notebook7(hosts: Hosts) -> Iterator[tuple[str, str]]:
    file, port = hosts.notebook("classic.ipynb"), free_port()
    address = f"http://127.0.0.1:{port}"
    words = (
        "-m", "notebook", "--no-browser", "--allow-root", f"--port={port}",
        "--IdentityProvider.token=", "--ServerApp.password=", "--ServerApp.ip=127.0.0.1",
        f"--ServerApp.root_dir={hosts.folder}", "--JupyterNotebookApp.expose_app_in_browser=True",
    )  # fmt: skip
    with hosts.server(*words, f"{address}/api"), hosts.page() as page:
        lab = Lab(page, address, file.name)
        page.goto(f"{address}/notebooks/{file.name}")
        page.wait_for_selector(".jp-Notebook", timeout=60_000)
        lab.wait_idle()
        lab.run_all()
        yield f"Notebook {hosts.version('notebook')}", hosts.seen(page, "notebook")


def marimo(hosts: Hosts) -> Iterator[tuple[str, str]]:
    """As plain last expressions, and wrapped: how often a cell runs that names the views."""
    for name, wrap in (("plain", ""), ("wrapped", "mo.ui.anywidget")):
        file, port = hosts.folder / f"{name}.py", free_port()
        file.write_text(MARIMO.replace("WRAP", wrap))
        address = f"http://127.0.0.1:{port}"
        words = ("-m", "marimo", "run", "--headless", "--no-token", "-p", str(port), str(file))
        with hosts.server(*words, address), hosts.page() as page:
            page.goto(address)
            page.locator(".iw-attention").wait_for(timeout=90_000)
            runs = page.get_by_text("runs:")
            found = hosts.seen(page, f"marimo-{name}")
            before = int(runs.inner_text().split()[-1])
            heads = page.locator(".iw-attention .iw-att-head")
            for i in range(50):
                heads.nth(i % heads.count()).click()
            page.wait_for_timeout(3000)
            after = int(runs.inner_text().split()[-1]) - before
            what = f"{found}; 50 clicks on heads ran a cell that names the views {after} times"
            yield f"marimo {hosts.version('marimo')}, {name}", what


def nbconvert(hosts: Hosts) -> Iterator[tuple[str, str]]:
    """Run and converted; with the widgets' state kept; with it cleared."""
    clear = "--ClearMetadataPreprocessor.enabled=True"
    for name, static, more in (
        ("pictures", "", ()),
        ("state", "0", ()),
        ("cleared", "0", (clear,)),
    ):
        file = hosts.notebook(f"{name}.ipynb")
        kept = {"INTERP_WIDGETS_STATIC": static} if static else {}
        run = ("-m", "nbconvert", "--execute", "--to", "notebook", "--inplace", file.name)
        hosts.python(*run, **kept)
        hosts.python("-m", "nbconvert", "--to", "html", *more, file.name)
        with hosts.page(offline=True) as page:
            page.goto((hosts.folder / f"{name}.html").as_uri(), wait_until="domcontentloaded")
            what = hosts.seen(page, f"nbconvert-{name}", 5)
            yield f"nbconvert {hosts.version('nbconvert')}, {name}, offline", what


def voila(hosts: Hosts) -> Iterator[tuple[str, str]]:
    file, port = hosts.notebook("voila.ipynb"), free_port()
    address = f"http://127.0.0.1:{port}"
    words = ("-m", "voila", "--no-browser", f"--port={port}", file.name, f"{address}/voila/static/")
    # The page itself runs the notebook; an address that costs nothing is waited for.
    with hosts.server(*words), hosts.page() as page:
        page.goto(address, timeout=120_000, wait_until="domcontentloaded")
        yield f"Voilà {hosts.version('voila')}", hosts.seen(page, "voila", 60)


def myst_nb(hosts: Hosts) -> Iterator[tuple[str, str]]:
    book = hosts.folder / "book"
    book.mkdir()
    shutil.move(hosts.notebook("index.ipynb"), book)
    (book / "conf.py").write_text("extensions = ['myst_nb']\nnb_execution_timeout = 120\n")
    hosts.python("-m", "sphinx", "-q", "-b", "html", "book", "site")
    with hosts.page(offline=True) as page:
        page.goto((hosts.folder / "site" / "index.html").as_uri(), wait_until="domcontentloaded")
        yield f"MyST-NB {hosts.version('myst-nb')}, offline", hosts.seen(page, "myst-nb", 5)


HOSTS: dict[str, Callable[[Hosts], Iterator[tuple[str, str]]]] = {
    one.__name__: one for one in (jupyterlab, notebook7, marimo, nbconvert, voila, myst_nb)
}


def build(venv: Path) -> None:
    """Make the environment, unless it is there."""
    if (venv / "bin" / "voila").exists():
        return
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", venv], check=True)
    subprocess.run(
        [
            sys.executable,
            "-m",
            "pip",
            "--python",
            venv / "bin" / "python",
            "install",
            "-q",
            *PACKAGES,
        ],
        check=True,
    )
    (packages,) = (venv / "lib").glob("python*/site-packages")
    (packages / "borrowed.pth").write_text(
        f"import site; site.addsitedir({site.getsitepackages()[0]!r})\n"
    )


def main(names: list[str], venv: Path | None, shots: Path) -> None:
    shots.mkdir(parents=True, exist_ok=True)
    today: Any = dt.datetime.now(tz=dt.UTC).date()
    with tempfile.TemporaryDirectory() as scratch, sync_playwright() as play:
        venv = (venv or Path(scratch) / "venv").resolve()
        build(venv)
        path = find_chromium(play)
        chromium = play.chromium.launch(executable_path=path, args=[*ARGS, "--no-sandbox"])
        print(f"| host | what was seen, {today} |\n|---|---|")
        for name in names or HOSTS:
            folder = Path(scratch) / name
            folder.mkdir()
            try:
                for host, what in HOSTS[name](Hosts(chromium, venv, folder, shots.resolve())):
                    print(f"| {host} | {what} |", flush=True)
            except (Error, OSError, subprocess.CalledProcessError) as error:
                last = (getattr(error, "stderr", None) or str(error).encode())[-400:].decode()
                print(f"| {name} | not opened: {' '.join(last.split())} |", flush=True)
        chromium.close()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(prog="tests.browser.hosts", description=__doc__)
    parser.add_argument("names", nargs="*", help=f"of {', '.join(HOSTS)}; all by default")
    parser.add_argument("--venv", type=Path, help="environment of the hosts (default: a new one)")
    parser.add_argument("--shots", type=Path, default=Path("out/hosts"), help="where pictures go")
    chosen = parser.parse_args()
    main(chosen.names, chosen.venv, chosen.shots)
