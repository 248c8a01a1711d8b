"""A condition is cut into words and signs, and refused where it would take too long."""

import pytest

from cocasearch.indexing.store.where_tokens import MOST_CHARACTERS, Tokens, unexpected


def all_of(condition: str) -> list[tuple[str, str]]:
    tokens, found = Tokens(condition), []
    while not tokens.comes(""):
        found.append(tokens.next())
    return found


@pytest.mark.parametrize(
    ("condition", "tokens"),
    [
        ("", []),
        ("width>=1.5e3", [("name", "width"), ("sign", ">="), ("number", "1.5e3")]),
        ("'it''s' != `a b`", [("text", "'it''s'"), ("sign", "!="), ("name", "`a b`")]),
        ("(.5,größe)", [("sign", "("), ("number", ".5"), ("sign", ","), ("name", "größe"), ("sign", ")")]),
        ("3x ?", [("other", "3"), ("name", "x"), ("other", "?")]),
    ],
)
def test_a_condition_is_cut_into_tokens(condition: str, tokens: list[tuple[str, str]]) -> None:
    assert all_of(condition) == tokens


def test_words_are_taken_in_any_case_and_texts_never() -> None:
    tokens = Tokens("IS Not 'null'")
    assert (tokens.take("and"), tokens.take("is"), tokens.expect("null", "not")) == ("", "is", "not")
    assert tokens.take("'null'") == ""
    assert tokens.comes("text") and not tokens.comes("text", "'x'")


@pytest.mark.parametrize(
    ("condition", "reason"),
    [("width", "expected and or or, found: width"), ("", "it breaks off")],
)
def test_what_was_expected_is_said(condition: str, reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        Tokens(condition).expect("and", "or")


@pytest.mark.parametrize(
    ("kind", "token", "reason"),
    [
        ("sign", ")", "a bracket closes nothing"),
        ("sign", "~", "Operator ~ is not supported"),
        ("other", "?", "? means nothing there"),
        ("name", "x", "it should end, found: x"),
    ],
)
def test_a_token_too_many_is_refused(kind: str, token: str, reason: str) -> None:
    assert str(unexpected(kind, token)) == reason
    with pytest.raises(ValueError, match="^" + reason.replace("?", r"\?")):
        Tokens(token).end()
    Tokens(" ").end()


@pytest.mark.parametrize("condition", ["'open", "x" * (MOST_CHARACTERS + 1)])
def test_a_text_without_end_and_one_too_long_are_refused(condition: str) -> None:
    with pytest.raises(ValueError, match=r"Unterminated|characters"):
        Tokens(condition)


def test_brackets_and_steps_are_limited() -> None:
    tokens = Tokens("")

    def deeper() -> int:
        return tokens.inner(deeper)

    with pytest.raises(ValueError, match="over 32 brackets"):
        deeper()
    tokens.step(128)
    with pytest.raises(ValueError, match="over 128 comparisons"):
        tokens.step()
