"""Indexes for other tools."""
