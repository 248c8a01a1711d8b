"""`query` says which of its words mean little to the model, and which of them it did not read."""

import json
import shutil
import time

import pytest

from cocasearch.cli.output.query_words import ignored_end, shortened
from cocasearch.paths import bundled_model_folder
from cocasearch.text.known_words import KnownWords

LONGEST = 300
WORDS = {"a": 900, "dog": 300, "puppy": 40, "horse": 30, "skateboard": 20, "beach": 12, "ferrari": 2}
LONG = "a dog on a beach with a horse " * 5 + "and at last a tall lighthouse"


@pytest.fixture
def indexed_by_mini(prompt):
    """A prompt with `photos` indexed by a copy of the bundled model that says which words it knows."""
    folder = shutil.copytree(bundled_model_folder(), prompt.folder / "home" / "models" / "mine")
    KnownWords(WORDS).write(folder / "words.tsv")
    assert prompt("index", "photos", "--model", "mine", "--no-captions").exit_code == 0
    return prompt


def said(prompt, *args):
    result = prompt("query", *args, "-f", "json")
    assert result.exit_code == 0
    assert len(json.loads(result.stdout)) == 4  # whatever is said, the answer is whole
    return result.stderr.splitlines()


def test_words_never_seen_are_named(indexed_by_mini):
    for query, sentence in {
        "a dog on the beach": None,
        "puppies": None,
        "zzzz and the qqqq": "'zzzz' and 'qqqq' are words that mine has never seen, so its results mean little",
        "skatebord": "'skatebord' is a word that mine has never seen, so its results mean little; "
        "nearest known word: skateboard",
        "ferrari": "'ferrari' is a word that mine has hardly ever seen, so its results mean little",
        "Ferrari zzzz": "'zzzz' and 'ferrari' are words that mine has never or hardly ever seen, so its results "
        "mean little",
        "a hosre and a dog": "mine has never seen 'hosre' and goes by the rest of the query; nearest known word: horse",
        "the of": "'the of' has no word that says what to look for, so its results from mine mean little",
    }.items():
        assert said(indexed_by_mini, query) == ([sentence] if sentence else []), query


def test_an_example_beside_words_never_seen_still_counts(indexed_by_mini):
    assert said(indexed_by_mini, "zzzz", "photos/red-square.jpg") == [
        "mine has never seen 'zzzz' and goes by the rest of the query"
    ]
    assert said(indexed_by_mini, "photos/red-square.jpg") == []
    assert said(indexed_by_mini, "zzzz", "--text", "a dog") == [
        "mine has never seen 'zzzz' and goes by the rest of the query"
    ]


def test_it_is_said_of_an_empty_answer_too(indexed_by_mini):
    result = indexed_by_mini("query", "zzzz", "--min-score", "1")
    assert result.exit_code == 3
    assert "'zzzz' is a word that mine has never seen" in result.stderr


def test_a_model_that_does_not_say_what_it_knows_is_not_called_ignorant(indexed):
    result = indexed("query", "zzzz the of", "-f", "json")
    assert (result.exit_code, result.stderr) == (0, "")


def test_words_of_captions_are_nobody_elses_business(prompt):
    shutil.copytree(prompt.folder / "home" / "models" / "tiny", prompt.folder / "home" / "models" / "mine")
    KnownWords(WORDS).write(prompt.folder / "home" / "models" / "mine" / "words.tsv")
    assert prompt("index", "photos", "--model", "mine").exit_code == 0
    alone = prompt("query", "zzzz " * 50, "--text-only")
    assert alone.exit_code == 3 and "mine" not in alone.stderr
    assert "mine has" in prompt("query", "zzzz dog", "--hybrid").stderr


def test_a_damaged_table_of_words_does_not_spoil_the_answer(indexed_by_mini):
    (indexed_by_mini.folder / "home" / "models" / "mine" / "words.tsv").write_text("dog\n")
    (line,) = said(indexed_by_mini, "zzzz")
    assert line.startswith("warning: ") and line.endswith("words.tsv is no table of words and their counts")


def test_the_end_that_was_not_read_is_named(indexed_by_mini):
    assert said(indexed_by_mini, "a dog " * 19) == []  # 38 ids, and the start and the end
    assert said(indexed_by_mini, "a dog " * 19 + "on a beach") == [
        "the query is longer than mine can read, so its end was ignored: 'on a beach'"
    ]
    ignored, unknown = said(indexed_by_mini, LONG)
    assert ignored.endswith("its end was ignored: 'a horse and at last a tall lighthouse'")
    assert "never seen 'last', 'tall' and 'lighthouse' and goes by the rest" in unknown
    same = [json.loads(indexed_by_mini("query", text, "-f", "json").stdout) for text in (LONG, LONG + " and a zzzz")]
    assert same[0] == same[1]


@pytest.mark.parametrize(
    "query",
    [
        "x" * 4000,
        " ".join(f"{letter * 60}{number}" for number in range(9) for letter in "qxz"),
        "\x1b[31m red \u202e tide\r\n" * 40,
        "狗" * 400,
        "skatebordskatebord " * 40,
    ],
)
def test_no_sentence_is_longer_than_a_few_lines_or_moves_the_cursor(indexed_by_mini, query):
    lines = said(indexed_by_mini, "--text", query)
    assert len(lines) == 2
    for line in lines:
        assert len(line) <= LONGEST
        assert line.isprintable()


def test_the_longest_sentence_there_can_be(prompt):
    model = "m" * 200
    folder = prompt.folder / "home" / "models" / model
    shutil.copytree(prompt.folder / "home" / "models" / "tiny", folder)
    known = {f"{letter * 30}known": 9 for letter in "qxz"}
    KnownWords(known).write(folder / "words.tsv")
    assert prompt("index", "photos", "--model", model, "--no-captions").exit_code == 0
    asked = " ".join(word.replace("known", "knowm") for word in known) + " " + " ".join(f"{n}" for n in range(10, 99))
    ignored, unknown = said(prompt, asked)
    assert len(ignored) <= LONGEST and "89 more" in unknown
    assert unknown.count("qq…nown") == 1 and 250 < len(unknown) <= LONGEST


def test_what_is_too_long_loses_its_middle():
    assert shortened("abcdefghij", 10) == "abcdefghij"
    assert shortened("abcdefghijk", 9) == "abcdef…jk"
    assert shortened("\x1b" * 9, 9) == "\\x1b\\x…1b"
    assert len(ignored_end("\x1b" * 999, "m" * 40)) <= LONGEST


def test_looking_words_up_costs_a_query_next_to_nothing(tmp_path):
    words = KnownWords(
        {f"{number:x}word".translate({48 + n: 103 + n for n in range(10)}): 5 for number in range(15_000)}
    )
    words.write(tmp_path / "words.tsv")
    assert len(words.counts) == 15_000
    seconds = []
    for _ in range(5):
        started = time.perf_counter()
        read = KnownWords.read(tmp_path / "words.tsv")
        assert read is not None and read.check("gword and hword on a beach").never_seen == ("beach",)
        seconds.append(time.perf_counter() - started)
    assert min(seconds) < 0.05  # about 5 ms, measured
