"""The shared object that owns the model, what was captured from it and what is done to it."""
