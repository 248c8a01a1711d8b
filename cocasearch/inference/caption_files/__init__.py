"""Captions of many picture files, written to one file or beside the pictures."""
