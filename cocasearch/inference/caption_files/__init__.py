"""Captions of many image files, written to one file or beside the images."""
