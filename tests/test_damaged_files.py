"""Whatever is damaged in a file that is read here, one short sentence says so, or nothing that matters."""

from pathlib import Path

import pytest
from damaged import LONGEST, OF_INDEXES_AND_RUNS, Kind, of_model_folders, refused

COPIES = 10
MODEL_FILES = range(9)


@pytest.mark.parametrize("kind", OF_INDEXES_AND_RUNS, ids=lambda kind: kind.name)
def test_a_damaged_file_of_an_index_or_a_run_is_one_sentence(kind: Kind, tmp_path: Path) -> None:
    refuse_in_one_sentence(kind, tmp_path / "f")


@pytest.mark.parametrize("number", MODEL_FILES)
def test_a_damaged_file_of_a_model_is_one_sentence(number: int, tiny_model_folder: Path, tmp_path: Path) -> None:
    refuse_in_one_sentence(of_model_folders(tiny_model_folder)[number], tmp_path / "f")


def refuse_in_one_sentence(kind: Kind, folder: Path, copies: int = COPIES, seed: int = 7) -> None:
    for sentence in refused(kind, folder, copies, seed):
        assert "\n" not in sentence and len(sentence) <= LONGEST, sentence
