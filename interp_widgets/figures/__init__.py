"""One matplotlib renderer per kind of result, at the exact width a venue asks for."""
