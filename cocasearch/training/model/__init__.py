"""The model of a run: what it starts from, what of it is trained, and what becomes of it."""
