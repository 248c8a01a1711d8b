"""Checks that a tokenizer.json neither grows a text without bounds nor searches it for ever.

A normaliser that replaces a letter by ten, ten times over, makes ten thousand million letters of one; an expression
like `(a+)+b` tries every way to divide a word before it gives up, and the library then panics.
"""

import base64
import json
import re
from collections.abc import Iterator
from typing import Any

from cocasearch.errors import CocaSearchError
from cocasearch.json_values import shown

_MOST_GROWTH = 64
_MOST_STEPS = 64
_LONGEST_PATTERN = 2_000
# Escaped characters and sets of characters, in which brackets and stars mean themselves.
_PLAIN = re.compile(r"\\.|\[(?:\\.|[^\]\\])*\]", re.DOTALL)
_REPEATED_GROUP = re.compile(r"\)\??[*+{]")


def refuse_unbounded(part: Any) -> None:
    """Make sure that a part of a tokenizer handles any text in reasonable time and space.

    Args:
        part: A normaliser, pre-tokenizer or decoder of the `tokenizers` library, or None.

    Raises:
        CocaSearchError: It may not be.
    """
    if part is None:
        return
    growth = 1
    for number, step in enumerate(_steps(json.loads(part.__getstate__()))):
        growth *= _growth(step)
        if growth > _MOST_GROWTH or number > _MOST_STEPS:
            raise CocaSearchError("the tokenizer would make many times as much of a text as there is")
        if (pattern := step.get("Regex")) and (
            len(pattern) > _LONGEST_PATTERN or _REPEATED_GROUP.search(_PLAIN.sub("x", pattern))
        ):
            raise CocaSearchError(f"the tokenizer searches texts for '{shown(pattern)}', which may take for ever")


def _steps(described: Any) -> Iterator[dict[str, Any]]:
    """The objects in a description, at every depth; the library limits how deep."""
    if isinstance(described, dict):
        yield described
        described = list(described.values())
    if isinstance(described, list):
        for item in described:
            yield from _steps(item)


def _growth(step: dict[str, Any]) -> int:
    """The factor by which a step may lengthen a text; steps that compose and decompose letters count as 1."""
    kind = step.get("type")
    if kind == "Replace":
        pattern = step["pattern"].get("String", "")  # an expression may match the nothing between two letters
        return len(step["content"]) // len(pattern) if pattern else 1 + len(step["content"])
    if kind == "Prepend":
        return 1 + len(step["prepend"]) // 8
    if kind == "Precompiled":
        charsmap = base64.b64decode(step["precompiled_charsmap"])
        words = charsmap[4 + int.from_bytes(charsmap[:4], "little") :].split(b"\0")  # behind the trie that finds them
        return 1 + max(map(len, words)) // _MOST_GROWTH
    return 1
