"""Write methods.md, the map of methods, from the tags in the code."""

from __future__ import annotations

from pathlib import Path

from interp_widgets.methods.tags import FACETS
from interp_widgets.methods.taxonomy import catalogue

PAGE = Path(__file__).with_name("methods.md")
HEAD = """# The map of methods

Every method of the package with what kind of method it is, after the review of Bereska and
Gavves (2024, arXiv:2404.14082). `python docs/build_methods.py` writes this page from the
decorators; a test fails when it is old. In a notebook:

```python
iw.catalogue.table(by="causal_nature", paradigm="mechanistic")   # a data frame, grouped
iw.catalogue.map()                                               # chips, search, a cell to copy
print(iw.catalogue.template("patching"))                         # the code of a cell that runs it
```

| question | answers |
|---|---|
"""


def page() -> str:
    """Return what methods.md must be."""
    questions = [f"| {facet.replace('_', ' ')} | {', '.join(w)} |" for facet, w in FACETS.items()]
    return HEAD + "\n".join(questions) + "\n\n" + catalogue.markdown()


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
