"""Captioned and labelled pictures, from their sources to the batches of a run."""
