"""The versions of a table are read from file names, and its errors are told in the system's words."""

from pathlib import Path

import pytest

from cocasearch.errors import CocaSearchError
from cocasearch.indexing.store.location import IndexLocation
from cocasearch.indexing.store.versions import (
    VERSIONS_FOLDER,
    UnreadableTable,
    cannot_write,
    has_version,
    is_of_lance,
    latest_version,
    refuse_if_lost,
    version_files,
)

COUNTED_DOWN = f"{2**64 - 1 - 12}.manifest"


def test_versions_are_told_by_either_kind_of_name(tmp_path: Path) -> None:
    folder = IndexLocation.of(tmp_path).table("images") / VERSIONS_FOLDER
    folder.mkdir(parents=True)
    for name in ("7.manifest", COUNTED_DOWN, "x.manifest", "9.manifest.tmp"):
        (folder / name).touch()
    assert version_files(tmp_path, "images") == {7: folder / "7.manifest", 12: folder / COUNTED_DOWN}
    assert latest_version(tmp_path, "images") == 12
    assert has_version(tmp_path, "images", 7) and not has_version(tmp_path, "images", 9)
    refuse_if_lost(tmp_path, "images")


def test_a_lost_table_is_refused(tmp_path: Path) -> None:
    assert latest_version(tmp_path, "images") is None
    with pytest.raises(CocaSearchError, match="has lost its table images") as caught:
        refuse_if_lost(tmp_path, "images")
    assert "--rebuild" in str(caught.value.hint)


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (OSError(28, "No space left on device"), "no space left on device"),
        (RuntimeError("lance error: LanceError(IO): No space left on device (os error 28), x.rs:3:4"), "no space left"),
        (RuntimeError("lance error: LanceError(Schema): it differs, /a/b.rs:3:4\nmore"), ": it differs"),
        (ValueError(""), "ValueError"),
    ],
)
def test_an_error_is_told_in_short(tmp_path: Path, error: Exception, reason: str) -> None:
    message = str(cannot_write(tmp_path, error))
    assert reason in message
    assert not any(inner in message for inner in ("lance error", ".rs", "os error"))
    assert reason in str(UnreadableTable(tmp_path, "images", error))


def test_a_panic_counts_as_an_error_of_the_table() -> None:
    panic = type("RustPanic", (BaseException,), {})
    assert is_of_lance(panic()) and is_of_lance(OSError())
    assert not is_of_lance(KeyError())
