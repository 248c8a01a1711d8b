"""Numbers with the noun that they count."""


def pluralize(count: int, one: str, many: str = "") -> str:
    """A number with what it counts: `1 photo`, `12,345 photos`.

    Args:
        count: The number.
        one: The noun in the singular, with any words that follow it: "photo is gone".
        many: The same in the plural, if adding an s does not make it.
    """
    return f"{count:,} {one if count == 1 else many or f'{one}s'}"
