"""An author includes a figure in a paper; no token can break the document."""

import shutil
import subprocess

import numpy as np
import pytest

from interp_widgets.figures.latex import escape
from interp_widgets.results.array import ArrayResult
from interp_widgets.results.tokens import TokensResult

NASTY = [
    "\\input{x}",
    "50%",
    "a_b",
    "#1",
    "{",
    "^",
    "~",
    "&",
    "$x$",
    "日",
    "🙂",
    "−",
    "<s>",
    "|",
    "é",
]
PREAMBLE = "\\documentclass[twocolumn]{article}\\usepackage{graphicx}\\usepackage{pgf}"
needs_tex = pytest.mark.skipif(not shutil.which("pdflatex"), reason="no LaTeX on this machine")


@pytest.fixture
def nasty():
    meta = {"tokens": NASTY, "title": "100% of_{what} #1 & $more$ 日"}
    return TokensResult({"values": np.linspace(-1, 1, len(NASTY))[None]}, meta)


def test_special_characters_are_escaped():
    assert escape("50% of a_b & {#1} ~^\\") == (
        r"50\% of a\_b \& \{\#1\} \textasciitilde{}\textasciicircum{}\textbackslash{}"
    )
    assert escape("日 é\n−1") == r"[U+65E5] é \ensuremath{-}1"


def test_the_snippet_has_width_caption_label_alternative_and_recipe(results, tmp_path):
    text = results["lens"].figure("icml").latex(tmp_path / "lens.pdf")
    assert (tmp_path / "lens.pdf").is_file()
    assert text.startswith('% Recipe: {"method": "logit_lens"')
    assert r"\begin{figure}[t]" in text
    assert r"\includegraphics[width=\columnwidth, alt={" in text
    assert r"\caption{Logit lens." in text
    assert r"\label{fig:lens}" in text
    assert all(line.count("{") == line.count("}") for line in text.splitlines())


def test_a_figure_across_two_columns_and_one_of_a_given_width(results, tmp_path):
    wide = results["lens"].figure("icml", "text").latex(tmp_path / "a.pdf", label="fig:wide")
    assert r"\begin{figure*}" in wide
    assert r"width=\textwidth" in wide
    assert r"\label{fig:wide}" in wide
    assert "width=2.500in" in results["lens"].figure("icml", 2.5).latex(tmp_path / "b.pdf")


def test_svg_is_refused_and_pgf_without_latex_says_what_to_install(results, tmp_path, monkeypatch):
    with pytest.raises(ValueError, match=r"\.pdf or \.pgf"):
        results["lens"].figure().latex(tmp_path / "a.svg")
    monkeypatch.setenv("PATH", "")
    with pytest.raises(RuntimeError, match="texlive-latex-base"):
        results["lens"].figure().save(tmp_path / "a.pgf")


@needs_tex
def test_a_page_with_pdf_and_pgf_compiles(results, nasty, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    heads = ArrayResult(
        {"values": np.random.default_rng(0).standard_normal((3, 4))},
        {"dims": ["layer", "head"], "title": "heads_1"},
    )
    floats = [
        nasty.figure("icml").latex("tokens.pdf"),
        nasty.figure("icml").latex("tokens.pgf", label="fig:pgf"),
        heads.figure("icml").latex("heads.pgf"),
    ]
    body = "\n".join([PREAMBLE, r"\begin{document}", *floats, r"\end{document}"])
    (tmp_path / "page.tex").write_text(body)
    done = subprocess.run(
        ["pdflatex", "-interaction=nonstopmode", "-halt-on-error", "page.tex"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-2000:]
    assert "Recipe" in (tmp_path / "heads.pgf").read_text()
