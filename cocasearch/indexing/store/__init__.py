"""The table of an index, its manifest and all that is read from them."""
