"""A file is read for a limited time, up to the size that it had, and never more of it than a decoder should get."""

import os
import time
from pathlib import Path

import pytest

from cocasearch.images import timed_reading
from cocasearch.images.timed_reading import OutOfTimeError, TooLargeError, open_regular, open_timed

CONTENT = bytes(range(100))


@pytest.fixture(params=["file", "bytes"])
def source(request: pytest.FixtureRequest, tmp_path: Path) -> Path | bytes:
    file = tmp_path / "a.jpg"
    file.write_bytes(CONTENT)
    return file if request.param == "file" else CONTENT


def test_all_is_read_in_time(source: Path | bytes) -> None:
    with open_timed(source) as file:
        assert file.read(10) + file.read() == CONTENT


def test_reading_ends_when_the_time_is_up(source: Path | bytes) -> None:
    with open_timed(source, until=time.thread_time() - 1) as file, pytest.raises(OutOfTimeError):
        file.read(1)


def test_one_call_gives_no_more_than_it_may(source: Path | bytes) -> None:
    with open_timed(source) as file:
        file.most = 7
        assert file.read(50) == CONTENT[:7]


def test_no_more_is_read_ahead_than_the_limit(source: Path | bytes) -> None:
    with open_timed(source) as file:
        file.ahead = 60
        assert file.read(50) == CONTENT[:50]
        file.seek(95)
        assert file.read() == CONTENT[95:]  # it is few bytes, whatever was asked for
        file.seek(0)
        with pytest.raises(TooLargeError, match="MB around its pixels"):
            file.read()


def test_a_file_that_grows_is_read_as_it_was(tmp_path: Path) -> None:
    path = tmp_path / "a.jpg"
    path.write_bytes(CONTENT)
    with open_regular(path) as file:
        with path.open("ab") as more:
            more.write(b"more")
        assert file.read(60) + file.readall() == CONTENT
        assert file.read(1) == b""


def test_what_is_no_file_is_refused_without_waiting(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    for path in (tmp_path / "pipe", Path("/dev/zero")):
        with pytest.raises(OSError, match="a pipe or a device"):
            open_regular(path)
    with pytest.raises(IsADirectoryError):
        open_regular(tmp_path)


def test_a_file_larger_than_any_image_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(timed_reading, "MAX_FILE_BYTES", 99)
    (tmp_path / "a.jpg").write_bytes(CONTENT)
    with pytest.raises(OSError, match="larger than any image"):
        open_regular(tmp_path / "a.jpg")
