"""Texts to ids and back.

`golden/clip_tokenizer.json` holds what open_clip_torch 3.3.0 gives for 15 awkward strings: `encode`, `tokenize` at
length 76 (here without its trailing zeros) and `decode` of the latter (without the "!" that it prints for padding).
"""

import json
from pathlib import Path
from typing import Any

import pytest
import tokenizers

from cocasearch.errors import CocaSearchError
from cocasearch.text.tokenizer import Tokenizer, clean, clip_tokenizer, train_tokenizer

GOLDEN = json.loads((Path(__file__).parents[1] / "golden" / "clip_tokenizer.json").read_text())
CAPTIONS = [
    "A child in a pink dress is climbing up a set of stairs in an entry way .",
    "Two dogs , one black and one tan , run ( fast ) across the beach .",
    "The girl 's dog does n't want to swim !",
    'A man in a " Route 66 " t-shirt sells 25 caf\u00e9 lattes ; nobody buys any ...',
    "A black dog and a spotted dog are fighting",
]


@pytest.fixture(scope="module")
def trained() -> Tokenizer:
    return train_tokenizer(CAPTIONS * 3, vocab_size=400)


@pytest.fixture(scope="module")
def roberta(roberta_tokenizer_file: Path) -> Tokenizer:
    return Tokenizer.load(roberta_tokenizer_file)


@pytest.mark.parametrize("case", GOLDEN, ids=lambda case: case["text"][:20])
def test_clip_ids_and_texts_are_openclips(case: dict[str, Any]) -> None:
    tokenizer = clip_tokenizer()
    padded = case["padded_to_76"] + [0] * (76 - len(case["padded_to_76"]))
    assert tokenizer.encode(case["text"]) == case["encode"]
    assert tokenizer([case["text"]], 76).tolist() == [padded]
    expected = case["decoded"].replace("<start_of_text>", "").split("<end_of_text>")[0].strip()
    assert tokenizer.decode(padded) == expected


def test_clip_keeps_a_real_exclamation_mark_that_shares_its_id_with_padding() -> None:
    tokenizer = clip_tokenizer()
    assert tokenizer.encode("!(x")[0] == tokenizer.pad_id
    assert tokenizer.decode([*tokenizer.encode("!(x"), 0, 0]) == "!( x"


@pytest.mark.parametrize("which", ["clip", "trained"])
def test_one_file_restores_a_tokenizer(which: str, trained: Tokenizer, tmp_path: Path) -> None:
    tokenizer = clip_tokenizer() if which == "clip" else trained
    tokenizer.save(tmp_path / "tokenizer.json")
    restored = Tokenizer.load(tmp_path / "tokenizer.json")
    texts = ["", "<pad> &amp; <start_of_text>", *CAPTIONS]
    assert restored.to_json() == tokenizer.to_json()
    assert restored(texts, 20).equal(tokenizer(texts, 20))
    assert (restored.sot_id, restored.eot_id, restored.pad_id) == (tokenizer.sot_id, tokenizer.eot_id, 0)


@pytest.mark.parametrize(
    "text",
    [
        *CAPTIONS,
        "\u65e5\u672c\u8a9e \U0001f600 \u0939\u093f\u0928\u094d\u0926\u0940",
        "",
        ".jpg 3.14",
        "<pad> <end_of_text>",
    ],
)
def test_trained_decode_gives_back_the_cleaned_text(text: str, trained: Tokenizer) -> None:
    assert trained.decode(trained.encode(text)) == trained.clean(text)


def test_trained_reads_detached_punctuation_as_typed_text(trained: Tokenizer) -> None:
    assert trained.clean("The girl 's dog ( wet ) does n't swim , ever .") == "the girl's dog (wet) doesn't swim, ever."
    assert trained.encode("A  DOG .") == trained.encode("a dog.")


def test_trained_special_tokens_come_first_and_are_never_read_from_text(trained: Tokenizer) -> None:
    assert (trained.pad_id, trained.sot_id, trained.eot_id) == (0, 1, 2)
    assert not {0, 1, 2} & set(trained.encode("<pad> <start_of_text> <end_of_text>"))


def test_training_is_deterministic_and_never_joins_digits(trained: Tokenizer) -> None:
    assert train_tokenizer(CAPTIONS * 3, vocab_size=400).to_json() == trained.to_json()
    assert len(trained.encode("25 25")) == 2 * len(trained.encode("25")) == 4
    assert trained.vocab_size <= 400


def test_a_long_text_is_cut_with_the_end_kept(trained: Tokenizer) -> None:
    ids = trained([CAPTIONS[0], "dog"], 6)
    assert ids[0].tolist() == [trained.sot_id, *trained.encode(CAPTIONS[0])[:4], trained.eot_id]
    assert ids.shape == (2, 6) and trained([], 6).shape == (0, 6)


def test_decode_stops_at_the_first_end(trained: Tokenizer) -> None:
    dog, black = trained.encode("dog"), trained.encode("black")
    assert trained.decode([trained.sot_id, *dog, trained.eot_id, *black, trained.eot_id, 0]) == "dog"


def test_cleaning_repairs_what_the_short_cut_must_not_skip() -> None:
    assert clean("Tom &amp;amp; Jerry\n SCH\u00c3\u00b6N") == "tom & jerry sch\u00f6n"
    assert clean("a\x00b\x1b[31m red\x7f") == "ab red"


def test_robertas_special_tokens_are_found_by_name(roberta: Tokenizer) -> None:
    assert (roberta.sot_id, roberta.pad_id, roberta.eot_id) == (0, 1, 2)
    rows = roberta(["a red square", ""], 12)
    ids = roberta.encode("a red square")
    assert rows.tolist() == [[0, *ids, 2, *[1] * (10 - len(ids))], [0, 2, *[1] * 10]]
    assert roberta.decode(rows[0].tolist()) == "a red square"
    assert roberta.decode([0, *ids, 1, 1]) == "a red square"
    assert not {0, 1, 2, roberta.vocab_size - 1} & set(roberta.encode("<s> <pad></s> <mask>"))


@pytest.mark.parametrize("text", ["A Red Square", "Tom &amp; Jerry\n SCH\u00c3\u00b6N", "\u65e5\u672c\u8a9e .", "<s>!"])
def test_robertas_ids_are_the_librarys_own(text: str, roberta: Tokenizer, roberta_tokenizer_file: Path) -> None:
    """Padding, truncation and special tokens included; OpenCLIP only repairs the text and its white space."""
    backend = tokenizers.Tokenizer.from_file(str(roberta_tokenizer_file))
    backend.encode_special_tokens = True
    backend.enable_padding(length=10, pad_id=1, pad_token="<pad>")
    backend.enable_truncation(10)
    repaired = clean(text, lower_case=False)
    assert roberta([text], 10).tolist() == [backend.encode(repaired).ids]
    assert roberta.clean(text) == repaired == roberta.decode(roberta.encode(text))


def test_padding_and_truncation_stored_in_a_file_are_not_applied_twice(
    roberta: Tokenizer, roberta_tokenizer_file: Path, tmp_path: Path
) -> None:
    backend = tokenizers.Tokenizer.from_file(str(roberta_tokenizer_file))
    backend.enable_padding(length=8, pad_id=1, pad_token="<pad>")
    backend.enable_truncation(4)
    backend.save(str(tmp_path / "tokenizer.json"))
    texts = ["a red square on a white wall", "a"]
    assert Tokenizer.load(tmp_path / "tokenizer.json")(texts, 20).equal(roberta(texts, 20))


def test_one_file_restores_robertas(roberta: Tokenizer, tmp_path: Path) -> None:
    roberta.save(tmp_path / "tokenizer.json")
    restored = Tokenizer.load(tmp_path / "tokenizer.json")
    assert restored(["A boat", "<pad>"], 9).equal(roberta(["A boat", "<pad>"], 9))
    assert (restored.sot_id, restored.pad_id, restored.eot_id, restored.vocab_size) == (0, 1, 2, roberta.vocab_size)


def test_a_vocabulary_without_start_end_or_padding_is_refused() -> None:
    def backend(*tokens: str) -> tokenizers.Tokenizer:
        return tokenizers.Tokenizer(tokenizers.models.WordLevel({token: i for i, token in enumerate(tokens)}))

    for tokens, missing in ((("a", "b"), "<start_of_text>"), (("<s>", "</s>"), "<pad>"), (("<s>", "<pad>"), "</s>")):
        with pytest.raises(CocaSearchError, match=f"no token {missing}"):
            Tokenizer(backend(*tokens))


def test_a_file_that_is_no_tokenizer_is_named(tmp_path: Path) -> None:
    (tmp_path / "tokenizer.json").write_text("{}")
    with pytest.raises(CocaSearchError, match=r"tokenizer\.json: it is not a tokenizer\.json"):
        Tokenizer.load(tmp_path / "tokenizer.json")
    with pytest.raises(CocaSearchError, match="cannot read tokenizer"):
        Tokenizer.load(tmp_path / "absent.json")


def test_a_vocabulary_without_room_for_bytes_is_refused() -> None:
    with pytest.raises(CocaSearchError, match="258 is too small"):
        train_tokenizer(CAPTIONS, vocab_size=258)


@pytest.mark.parametrize("which", ["clip", "trained", "roberta"])
def test_kept_and_left_out_are_the_whole_text(which: str, trained: Tokenizer, roberta: Tokenizer) -> None:
    tokenizer = {"clip": clip_tokenizer(), "trained": trained, "roberta": roberta}[which]
    one_by_one = [caption for caption in CAPTIONS if "n't" not in caption]  # which are other ids without the 't
    for caption in (*one_by_one, "  Two &amp;  caf\u00e9s \u5317\u4eac, axolotlish ??? dogs" * 3):
        cleaned = tokenizer._clean(caption)
        ids = tokenizer.encode(caption)
        for length in range(2, len(ids) + 4):
            end = tokenizer.unread_end(caption, length)
            assert cleaned.endswith(end)
            assert (end == "") == (len(ids) <= length - 2)
            kept = cleaned[: len(cleaned) - len(end)]
            # Whole words are kept or left out, and of what is said to be kept nothing is cut.
            assert len(tokenizer.encode(kept)) <= length - 2 or not end
            assert ids[: len(tokenizer.encode(kept.rstrip()))] == tokenizer.encode(kept.rstrip())


def test_a_word_that_was_half_read_is_left_out_whole(trained: Tokenizer) -> None:
    text = "two dogs run xylophonists"
    before, whole = len(trained.encode("two dogs run")), len(trained.encode(text))
    assert whole > before + 3
    for length in range(before + 2, whole + 2):
        assert trained.unread_end(text, length) == "xylophonists"
    assert trained.unread_end(text, whole + 2) == ""
    assert trained.unread_end(text, 0) == text
