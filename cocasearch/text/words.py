"""A text -> its words: all of them, or those that say something about a picture.

Receives a string; hands on lower-case words without punctuation. Knows nothing about tokens of a model.
"""

import re

Words = tuple[str, ...]
_WORD = re.compile(r"[^\W_]+")

# Articles, pointers, and what stands for a name; where and when; what joins, and what every verb leans on.
_FUNCTION_WORDS = """
    a an the this that these those it its itself he him his himself she her hers herself they them their theirs
    themselves we us our i me my you your who whom whose which what one another other others each every both all any
    some something few several many much more most such same own there here
    about above across after against along alongside amid among around as at away back before behind below beneath
    beside besides between beyond by down during for from front in inside into near next of off on onto opposite out
    outside over past side through throughout to together top toward towards under underneath until up upon via while
    with within without
    and but or nor so than then if because when where how not no only just also very too am is are was were be been
    being has have had having do does doing did can could will would may might must shall should s t
"""
FUNCTION_WORDS = frozenset(_FUNCTION_WORDS.split())
"""Words that hold a sentence together and show nothing."""


def words_of(text: str) -> Words:
    """The words of a text in lower case, without punctuation: "A dog's bone." -> a, dog, s, bone."""
    return tuple(_WORD.findall(text.lower()))


def content_words(text: str) -> frozenset[str]:
    """The different words of a text that may show in a picture: those that are no `FUNCTION_WORDS`."""
    return frozenset(words_of(text)) - FUNCTION_WORDS
