"""Reading of weights that others have written, and their conversion to model folders."""
