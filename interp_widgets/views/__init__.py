"""One live anywidget class per kind of result."""
