"""Optional parts of this package that read more kinds of images, and whether they are installed."""

from importlib.util import find_spec

EXTRAS = {"heif": "pillow_heif", "raw": "rawpy"}
"""What each brings, by its name in `pip install 'cocasearch[…]'`."""


class MissingExtraError(Exception):
    """The image can be read once an optional part of this package is installed.

    Args:
        kind: What the image is, as its owner calls it.
        extra: The part's name.
    """

    def __init__(self, kind: str, extra: str) -> None:
        super().__init__(f"{kind} needs: pip install 'cocasearch[{extra}]'")
        self.extra = extra


def is_installed(extra: str) -> bool:
    """Whether a part is there; nothing of it is imported."""
    return extra in EXTRAS and find_spec(EXTRAS[extra]) is not None
