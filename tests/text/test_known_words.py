"""What counts as known; the file that holds known words; what is spelt alike."""

import subprocess
import sys
from pathlib import Path

import pytest

from cocasearch.errors import CocaSearchError
from cocasearch.text import known_words
from cocasearch.text.known_words import KnownWords, count_words

KNOWN = KnownWords(
    {"a": 900, "dog": 300, "puppy": 40, "horse": 30, "running": 25, "skateboard": 20, "baked": 9, "knives": 5}
    | {"hose": 3, "skatebord": 1, "ferrari": 2}
)


def test_a_word_is_known_in_any_form_from_three_captions_on() -> None:
    check = KNOWN.check("puppies and a Ferrari", "the axolotl bakes a hose")
    assert check.known == ("puppies", "bakes", "hose")
    assert (check.barely_known, check.never_seen) == (("ferrari",), ("axolotl",))
    assert check.unknown == ("axolotl", "ferrari")
    assert KnownWords({"otter": 1, "otters": 2}).check("otter").known == ("otter",)
    assert KNOWN.check("the of !!!").is_empty and not KNOWN.check("zzzz").is_empty


def test_nearest_words_are_known_ones_spelt_alike() -> None:
    assert KNOWN.nearest("hosre") == ["hose", "horse"]
    assert KNOWN.nearest("hosre", 1) == ["hose"]
    assert KNOWN.nearest("skatebord") == ["skateboard"]  # itself was a slip in one caption
    assert KNOWN.nearest("zzzz") == KNOWN.nearest("axolotl") == KNOWN.nearest("a") == []


def test_a_caption_counts_a_word_once() -> None:
    assert count_words(["A dog and a dog.", "a cat"]) == {"a": 2, "dog": 1, "and": 1, "cat": 1}
    assert KnownWords({"dog": 2}).plus(count_words(["dog cat"])).counts == {"dog": 3, "cat": 1}


def test_the_file_holds_odd_words_most_frequent_first(tmp_path: Path) -> None:
    file = tmp_path / "words.tsv"
    words = KnownWords({"word": 2, "b": 7, "naïve": 7, "狗": 9, "x\u0085y": 1})
    words.write(file)
    assert file.read_bytes().decode().split("\n")[:4] == ["word\tcount", "狗\t9", "b\t7", "naïve\t7"]
    assert KnownWords.read(file) == words
    assert KnownWords.read(tmp_path / "none.tsv") is None


def test_rare_words_are_cut_from_a_long_file_which_then_claims_less(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(known_words, "MOST_WORDS", 2)
    KnownWords({"rare": 1, "dog": 9, "cat": 5}).write(tmp_path / "words.tsv")
    stored = KnownWords.read(tmp_path / "words.tsv")
    assert stored is not None and stored.counts == {"dog": 9, "cat": 5} and stored.is_cut
    assert not KnownWords({"dog": 9}).is_cut


@pytest.mark.parametrize("content", [b"word\tcount\ndog\n", b"dog\tmany\n", b"dog\t3\t4\n", b"\xff\xfe\x00"])
def test_a_file_that_is_no_table_is_named(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "words.tsv").write_bytes(content)
    with pytest.raises(CocaSearchError, match=r"words\.tsv is no table of words and their counts"):
        KnownWords.read(tmp_path / "words.tsv")
    (tmp_path / "folder").mkdir()
    with pytest.raises(CocaSearchError, match="cannot read the known words"):
        KnownWords.read(tmp_path / "folder")


def test_looking_a_word_up_needs_no_torch(tmp_path: Path) -> None:
    KNOWN.write(tmp_path / "words.tsv")
    code = (
        "import sys; from pathlib import Path\n"
        "from cocasearch.checkpoints.registry import resolve_model\n"
        "from cocasearch.text.known_words import KnownWords\n"
        "words = KnownWords.read(resolve_model(Path(sys.argv[1])) / 'words.tsv')\n"
        "assert words.check('hosre').never_seen and words.nearest('hosre')\n"
        "assert not {'torch', 'tokenizers', 'numpy'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code, str(tmp_path)], check=True)
