"""A tokenizer that would grow a text without bounds or search it for ever is refused, and usual ones are not."""

import pytest
from tokenizers import Regex, decoders, normalizers, pre_tokenizers

from cocasearch.errors import CocaSearchError
from cocasearch.text.tokenizer_checks import refuse_unbounded


@pytest.mark.parametrize(
    "part",
    [
        None,
        normalizers.Sequence([normalizers.NFC(), normalizers.Lowercase(), normalizers.Replace(Regex(r"\s+"), " ")]),
        pre_tokenizers.Split(Regex(r"'s|[\p{L}]+|[^\s\p{L}]+"), "removed"),
        pre_tokenizers.Split(Regex(r"[(+)]+|\)+"), "removed"),  # brackets that mean themselves
        pre_tokenizers.ByteLevel(),
        decoders.Replace("▁", " "),
    ],
)
def test_a_usual_part_is_fine(part: object) -> None:
    refuse_unbounded(part)


@pytest.mark.parametrize("pattern", ["(a+)+b", "(?:a*)*b", "(a+){9}", "(a|aa)?+", "x" * 2_001])
def test_an_expression_that_may_take_for_ever_is_refused(pattern: str) -> None:
    with pytest.raises(CocaSearchError, match="may take for ever"):
        refuse_unbounded(pre_tokenizers.Split(Regex(pattern), "removed"))


@pytest.mark.parametrize(
    "part",
    [
        normalizers.Sequence([normalizers.Replace("a", "aaaaaaaaaa")] * 2),
        normalizers.Replace(Regex("a*"), "b" * 64),
        normalizers.Prepend("x" * 512),
        normalizers.Sequence([normalizers.NFC()] * 70),
    ],
)
def test_what_makes_much_of_a_text_is_refused(part: object) -> None:
    with pytest.raises(CocaSearchError, match="many times as much of a text"):
        refuse_unbounded(part)
