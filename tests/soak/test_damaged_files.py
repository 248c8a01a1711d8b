"""As `tests/test_damaged_files.py`, with many more copies of each file."""

from pathlib import Path

import pytest
from damaged import LONGEST, OF_INDEXES_AND_RUNS, of_model_folders, refused

COPIES = 3_000


@pytest.mark.soak
def test_no_damaged_file_is_more_than_one_sentence(tiny_model_folder: Path, tmp_path: Path) -> None:
    for number, kind in enumerate([*of_model_folders(tiny_model_folder), *OF_INDEXES_AND_RUNS]):
        for sentence in refused(kind, tmp_path / str(number), COPIES, seed=number):
            assert "\n" not in sentence and len(sentence) <= LONGEST, f"{kind.name}: {sentence}"
