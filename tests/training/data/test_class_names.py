"""The words of classes: how the table is read, and how a step's texts divide the classes."""

import random
from pathlib import Path

import pytest
import torch

from cocasearch.errors import CocaSearchError
from cocasearch.training.data.class_names import ClassNames, in_template

TABLE = (
    "index\twnid\tname\tsynonyms\thypernyms\n"
    "0\tn01\tgoldfish\tgoldfish, Carassius auratus\tfish, animal, entity\n"
    "1\tn02\tshark\tshark, man-eater\tfish, animal, entity\n"
    "2\tn03\tcrane\tcrane\tbird, animal, entity\n"
    "3\tn04\towl\towl\tbird, animal, entity\n"
    "4\tn05\tcrane\tcrane, lifting device\tmachine, entity\n"
)


def table(folder: Path, text: str = TABLE) -> Path:
    file = folder / "classes.tsv"
    file.write_text(text, encoding="utf-8")
    return file


@pytest.fixture
def animals(tmp_path: Path) -> ClassNames:
    return ClassNames.read(table(tmp_path))


def test_a_table_gives_names_and_the_words_above_them(animals: ClassNames) -> None:
    assert len(animals) == 5
    assert animals.names[0] == ("goldfish", "Carassius auratus")
    # "animal" and "entity" are above too many of five classes.
    assert animals.classes_below == {} or set(animals.classes_below) <= {"fish", "bird"}
    assert {"goldfish", "man-eater", "lifting device"} <= set(animals.vocabulary())
    assert len(animals.vocabulary()) == len(set(animals.vocabulary()))


def test_a_word_above_one_class_alone_is_a_name_of_it_but_no_label(animals: ClassNames) -> None:
    assert animals.names[4] == ("crane", "lifting device", "machine")
    assert animals.find("machine") is None


def test_vague_words_are_left_out(class_names: ClassNames) -> None:
    assert set(class_names.classes_below) == {"square", "circle", "triangle"} | {
        f"{color} thing" for color in ("red", "green", "blue", "yellow", "black", "purple")
    }
    assert class_names.classes_below["circle"] == [6, 7, 8, 9, 10, 11]


@pytest.mark.parametrize(
    ("label", "index"),
    [("n02", 1), ("goldfish", 0), ("Carassius auratus", 0), ("CARASSIUS AURATUS", 0), ("crane", 2), ("yak", None)],
)
def test_a_label_is_found_by_id_name_or_synonym(animals: ClassNames, label: str, index: int | None) -> None:
    assert animals.find(label) == index


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("wnid\tname\nn01\tgoldfish\n", "has no column synonyms, hypernyms; class names need wnid, name,"),
        ("", "has no column wnid, name, synonyms, hypernyms"),
        (TABLE + "5\tn06\t\t\t\n", "row 6 of .* names no class"),
        (TABLE + "5\tn06\n", "row 6 of .* names no class"),
    ],
)
def test_a_table_that_lacks_something(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(CocaSearchError, match=message):
        ClassNames.read(table(tmp_path, text))


def test_a_file_that_is_no_table(tmp_path: Path) -> None:
    with pytest.raises(CocaSearchError, match=r"cannot read class names from .*: No such file"):
        ClassNames.read(tmp_path / "none.tsv")
    (tmp_path / "photo.jpg").write_bytes(b"\xff\xd8\xff\xe0")
    with pytest.raises(CocaSearchError, match="cannot read class names from"):
        ClassNames.read(tmp_path / "photo.jpg")


def test_a_row_cut_short_after_its_name_has_no_words_above(tmp_path: Path) -> None:
    names = ClassNames.read(table(tmp_path, TABLE + "5\tn06\tyak\n"))
    assert names.names[5] == ("yak",)


@pytest.mark.parametrize("seed", range(6))
def test_texts_divide_the_classes(class_names: ClassNames, seed: int) -> None:
    probabilities = torch.rand(4, 18).softmax(dim=1)
    drawn = class_names.draw(probabilities, 100, random.Random(seed))
    assert sorted(set(drawn.group_of_class.tolist())) == list(range(len(drawn.texts)))  # all classes, no empty text
    target = drawn.target(probabilities)
    torch.testing.assert_close(target.sum(dim=1), torch.ones(4))
    for group, text in enumerate(drawn.texts):
        members = (drawn.group_of_class == group).nonzero()[:, 0].tolist()
        torch.testing.assert_close(target[:, group], probabilities[:, members].sum(dim=1))
        words = {word for index in members for word in class_names.names[index]} | set(class_names.classes_below)
        assert any(word in text for word in words)


def test_classes_of_one_name_share_a_text(animals: ClassNames) -> None:
    drawn = animals.draw(torch.ones(1, 5), 100, random.Random(1))
    cranes = drawn.group_of_class[[2, 4]].tolist()
    assert all("crane" in drawn.texts[group] or "bird" in drawn.texts[group] for group in cranes)
    if "crane" in drawn.texts[cranes[0]]:
        assert cranes[0] == cranes[1]


def test_few_texts_keep_what_the_batch_favours(class_names: ClassNames) -> None:
    probabilities = torch.full((3, 18), 1e-3)
    probabilities[:, [5, 9, 14]] = 0.3
    for seed in range(12):
        drawn = class_names.draw(probabilities, 6, random.Random(seed))
        assert len(drawn.texts) == 6
        assert (drawn.group_of_class[[5, 9, 14]] >= 0).all()
        torch.testing.assert_close(drawn.target(probabilities).sum(dim=1), torch.ones(3))


def test_the_same_seed_draws_the_same(class_names: ClassNames) -> None:
    probabilities = torch.rand(4, 18)
    first, again, other = (class_names.draw(probabilities, 8, random.Random(seed)) for seed in (3, 3, 4))
    assert first.texts == again.texts
    assert torch.equal(first.group_of_class, again.group_of_class)
    assert first.texts != other.texts


def test_articles() -> None:
    assert in_template("owl", "a photo of {a} {name}") == "a photo of an owl"
    assert in_template("Yak", "{a} {name}") == "a Yak"
