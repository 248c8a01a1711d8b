"""Numbers of things, in words. Knows nothing about the things."""


def counted(count: int, one: str, many: str = "") -> str:
    """A number with what it counts: `1 photo`, `12,345 photos`.

    Args:
        count: The number.
        one: The noun for one, and words that follow if need be: "photo is gone".
        many: The same for several, if an s does not make it.
    """
    return f"{count:,} {one if count == 1 else many or f'{one}s'}"
