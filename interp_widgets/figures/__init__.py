"""One matplotlib renderer per kind of result."""
