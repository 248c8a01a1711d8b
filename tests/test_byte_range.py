"""A part of a file is read as if it were a file, and images of one name are told apart by what they hold."""

from pathlib import Path

import pytest

from cocasearch.byte_range import ByteRange, shown_content


def test_a_range_gives_its_own_bytes_alone(tmp_path: Path) -> None:
    file = tmp_path / "shard.tar"
    file.write_bytes(b"headPICTUREtail")
    assert ByteRange(file, offset=4, size=7).read() == b"PICTURE"


def test_a_file_that_was_cut_short_is_not_read_in_part(tmp_path: Path) -> None:
    file = tmp_path / "shard.tar"
    file.write_bytes(b"headPICT")
    with pytest.raises(OSError, match="has become shorter"):
        ByteRange(file, offset=4, size=7).read()


def test_other_content_under_the_same_name_is_seen(tmp_path: Path) -> None:
    file = tmp_path / "a.jpg"
    gone = shown_content(file)
    file.write_bytes(b"x")
    small = shown_content(file)
    file.write_bytes(b"xy")
    assert len({gone, small, shown_content(file)}) == 3
    assert shown_content(b"one") == shown_content(b"one") != shown_content(b"two")
    assert shown_content(ByteRange(file, 0, 1)) != shown_content(ByteRange(file, 1, 1))
