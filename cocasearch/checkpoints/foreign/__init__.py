"""Weights that others have written, read and converted into model folders."""
