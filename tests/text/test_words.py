"""Words of a text, and those of them that may show in a picture."""

from cocasearch.text.words import content_words, words_of


def test_words_are_lower_case_and_without_punctuation():
    assert words_of("A dog's T-shirt, no_name 2!") == ("a", "dog", "s", "t", "shirt", "no", "name", "2")


def test_words_that_hold_a_sentence_together_show_nothing():
    assert content_words("Two dogs are next to each other, in front of a red barn") == {"two", "dogs", "red", "barn"}
    assert content_words("It is what it is.") == frozenset()
