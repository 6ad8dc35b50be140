"""A real JupyterLab with its own settings, driven through its application object."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import time
import urllib.request
from contextlib import contextmanager
from pathlib import Path

import nbformat
import pytest

from tests.browser.waiting import until

RUN_TIMEOUT = 180_000


def free_port() -> int:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return sock.getsockname()[1]


@contextmanager
def serve(folder: Path):
    """Run JupyterLab on ``folder``; yields its address."""
    port = free_port()
    env = dict(os.environ)
    for name in ("JUPYTER_CONFIG_DIR", "JUPYTERLAB_SETTINGS_DIR", "JUPYTERLAB_WORKSPACES_DIR"):
        env[name] = str(folder / f".{name.lower()}")
    env["OMP_NUM_THREADS"] = "1"
    quiet = Path(env["JUPYTERLAB_SETTINGS_DIR"]) / "@jupyterlab/apputils-extension"
    quiet.mkdir(parents=True)
    (quiet / "notification.jupyterlab-settings").write_text('{"fetchNews": "false"}')
    command = [
        sys.executable, "-m", "jupyterlab", "--no-browser", "--allow-root", f"--port={port}",
        "--ServerApp.ip=127.0.0.1", "--IdentityProvider.token=", "--ServerApp.password=",
        f"--ServerApp.root_dir={folder}", "--LabApp.expose_app_in_browser=True",
        "--LabApp.news_url=", "--LabApp.check_for_updates_class=jupyterlab.NeverCheckForUpdate",
    ]  # fmt: skip
    with (folder / "lab.log").open("w") as log:
        server = subprocess.Popen(command, env=env, stdout=log, stderr=log)
        try:
            address = f"http://127.0.0.1:{port}"
            for _ in range(240):
                try:
                    urllib.request.urlopen(f"{address}/api", timeout=2)
                    break
                except OSError:
                    if server.poll() is not None:
                        raise RuntimeError((folder / "lab.log").read_text()[-2000:]) from None
                    time.sleep(0.25)
            else:
                raise RuntimeError("JupyterLab did not start within a minute")
            yield address
        finally:
            server.terminate()
            server.wait(20)


def write_notebook(path: Path, *cells: str) -> Path:
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(c) for c in cells])
    notebook.metadata["kernelspec"] = {
        "name": "python3", "display_name": "Python 3", "language": "python",
    }  # fmt: skip
    nbformat.write(notebook, path)
    return path


class Lab:
    """One notebook open in one page."""

    def __init__(self, page, address: str, name: str) -> None:
        self.page = page
        self.address = address
        self.name = name

    def open(self) -> Lab:
        self.page.goto(f"{self.address}/lab/tree/{self.name}?reset")
        self.page.wait_for_selector(".jp-Notebook", timeout=60_000)
        self.wait_idle()
        return self

    def wait_idle(self, timeout: int = RUN_TIMEOUT) -> None:
        self.page.wait_for_function(
            """() => window.jupyterapp?.shell?.currentWidget?.sessionContext?.session?.kernel
                     ?.status === 'idle'""",
            timeout=timeout,
        )

    def wait_busy(self) -> None:
        self.page.wait_for_function(
            """() => window.jupyterapp.shell.currentWidget.sessionContext.session.kernel
                     .status === 'busy'""",
            timeout=20_000,
        )

    def save(self) -> None:
        self.command("docmanager:save")
        self.page.wait_for_function(
            "() => !window.jupyterapp.shell.currentWidget.context.model.dirty", timeout=20_000
        )

    def command(self, name: str, args: dict | None = None, *, wait: bool = True) -> None:
        call = f"window.jupyterapp.commands.execute({json.dumps(name)}, {json.dumps(args or {})})"
        # What the command returns may be the whole application: too much to send here.
        self.page.evaluate(f"{call}.then(() => null)" if wait else f"void {call}")

    def run_all(self) -> None:
        self.command("notebook:run-all-cells")
        self.wait_idle()

    def kernel(self, code: str) -> str:
        """Run code in the notebook's kernel outside any cell; returns what it printed."""
        return self.page.evaluate(
            """async (code) => {
                const kernel = window.jupyterapp.shell.currentWidget.sessionContext.session.kernel;
                const future = kernel.requestExecute({code});
                let text = '';
                future.onIOPub = (m) => {
                    if (m.header.msg_type === 'stream') text += m.content.text;
                    if (m.header.msg_type === 'error') text += m.content.traceback.join('\\n');
                };
                await future.done;
                return text;
            }""",
            code,
        ).strip()

    def start(self, code: str) -> None:
        """Start code in the kernel without waiting for its end."""
        self.page.evaluate(
            """(code) => { window.jupyterapp.shell.currentWidget.sessionContext.session.kernel
                .requestExecute({code}); }""",
            code,
        )

    def set_theme(self, name: str) -> None:
        self.command("apputils:change-theme", {"theme": name})
        light = str("Dark" not in name).lower()
        self.page.wait_for_selector(
            f"body[data-jp-theme-light='{light}']", state="attached", timeout=30_000
        )

    def cell(self, index: int):
        """The notebook's cell ``index``, with its output."""
        return self.page.locator(".jp-Notebook .jp-Cell").nth(index)

    def view(self, index: int):
        """The view that cell ``index`` shows."""
        return self.cell(index).locator(".iw-root")


def ask(lab, expression):
    """The value of an expression in the notebook's kernel."""
    printed = lab.kernel(f"import json; print(json.dumps({expression}))")
    try:
        return json.loads(printed)
    except ValueError:
        pytest.fail(f"{expression} in the kernel: {printed[-1500:]}")


def wait_until(lab, expression, seconds=30):
    """Wait until an expression in the kernel is true."""
    until(lambda: ask(lab, f"bool({expression})"), expression, seconds)
