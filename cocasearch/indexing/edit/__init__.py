"""Changes of an index that read no picture for its vector: removed, moved, described and corrected photos."""
