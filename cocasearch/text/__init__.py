"""Strings to token ids and back; knows nothing about images, models or files of captions."""
