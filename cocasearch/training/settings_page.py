"""Every setting of training in words: as text for a terminal, and as a page of the documentation.

`python -m cocasearch.training.settings_page` prints the page in Markdown.
"""

import sys
import textwrap
from collections.abc import Iterator, Mapping

from cocasearch.training.config import describe_settings
from cocasearch.training.finetune_defaults import own_defaults

_COLUMNS = 79


def settings_lines(own: Mapping[str, str] | None = None) -> Iterator[str]:
    """All settings for a terminal of 80 columns: name, default, range and meaning, in their groups.

    Args:
        own: What a command takes instead of a default, in words, by the setting's name.
    """
    for group in describe_settings():
        yield from textwrap.wrap(f"{group.name}: {group.meaning}", _COLUMNS)
        for item in group.settings:
            yield from textwrap.wrap(
                f"  {item.name}={item.default}  ({item.range})", _COLUMNS, subsequent_indent="    "
            )
            yield from _indented(item.meaning)
            if own and item.name in own:
                yield from _indented(f"finetune: {own[item.name]}")
        yield ""


def _indented(text: str) -> list[str]:
    return textwrap.wrap(text, _COLUMNS, initial_indent="      ", subsequent_indent="      ")


def settings_page() -> str:
    """All settings as Markdown: a table for each group, with what `finetune` takes instead of a default."""
    own = own_defaults()
    lines = ["# Settings of training", ""]
    for group in describe_settings():
        lines += [f"## {group.name}", "", group.meaning, ""]
        lines += ["| setting | default | range | meaning |", "|---|---|---|---|"]
        for item in group.settings:
            meaning = f"{item.meaning} `finetune`: {own[item.name]}." if item.name in own else item.meaning
            default = f"`{item.default}`" if item.default else ""
            lines.append(f"| `{item.name}` | {default} | {item.range} | {meaning} |")
        lines.append("")
    return "\n".join(lines)


if __name__ == "__main__":
    sys.stdout.write(settings_page())
