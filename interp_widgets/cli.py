"""The command ``interp-widgets``: the first look in one line."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

FIRST_LOOK = "01_first_look.ipynb"


def find_notebook(name: str = FIRST_LOOK) -> Path:
    """Return the path of a notebook: beside the package in a checkout, inside it in a wheel."""
    package = Path(__file__).parent
    for folder in (package.parent / "notebooks", package / "notebooks"):
        if (folder / name).exists():
            return folder / name
    raise FileNotFoundError(f"{name} is missing: reinstall interp-widgets")


def demo(out: Path) -> int:
    """Run the first notebook, write it as an offline page, and say where things are."""
    try:
        from interp_widgets.notebook_page import run_notebook, write_page
    except ImportError as error:
        print(
            f"{error.name} is needed to run the notebook: pip install 'interp-widgets[lab]'",
            file=sys.stderr,
        )
        return 1
    source = find_notebook()
    out.mkdir(parents=True, exist_ok=True)
    print(f"Running {source.name} on the embedded model …")
    notebook = run_notebook(source, workdir=out)
    page = write_page(notebook, out / f"{source.stem}.html")
    print(f"  page    {page.resolve()}   (views work, no network needed)")
    for figure in sorted(out.glob("*.pdf")):
        print(f"  figure  {figure.resolve()}")
    if sys.stdout.isatty():
        print(f"\nTo go on yourself:  make lab   or   jupyter lab {source}")
    return 0


def main(arguments: list[str] | None = None) -> int:
    """Entry point of the console script."""
    parser = argparse.ArgumentParser(
        prog="interp-widgets", description="Live Jupyter views of the inside of neural networks"
    )
    commands = parser.add_subparsers(dest="command", required=True)
    first = commands.add_parser("demo", help="run the first notebook on the embedded model")
    first.add_argument("--out", type=Path, default=Path("out"), help="folder (default: out)")
    chosen = parser.parse_args(arguments)
    return demo(chosen.out)


if __name__ == "__main__":
    sys.exit(main())
