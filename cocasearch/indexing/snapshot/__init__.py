"""Vectors derived from the table, searched exactly."""
