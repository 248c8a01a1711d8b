"""Whether an index holds together, and the way back where it does not."""
