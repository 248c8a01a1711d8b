"""Links to what is no image but may be read without an end, and files that are larger than any."""

import hashlib
import os
import sys
from pathlib import Path

import pytest
from images import zoo

from cocasearch.errors import UnreadableImage
from cocasearch.images.decode_limits import MAX_FILE_BYTES
from cocasearch.images.decoding import read_image
from cocasearch.images.timed_reading import open_regular
from cocasearch.indexing.store.records import hash_file

linux = pytest.mark.skipif(sys.platform != "linux", reason="there is no /proc")


@linux
@pytest.mark.parametrize("target", ["/proc/self/pagemap", "/proc/self/mem", "/proc/self/maps", "/proc/kmsg"])
def test_a_link_into_the_kernel_is_read_as_what_it_says_to_be(tmp_path: Path, target: str) -> None:
    link = tmp_path / "a.jpg"
    link.symlink_to(target)
    if not Path(target).exists() or not os.access(target, os.R_OK):
        pytest.skip("not here, or not to be read")
    with pytest.raises(UnreadableImage, match="empty file"):
        read_image(link)
    assert hash_file(link) == hashlib.blake2b(digest_size=16).hexdigest()


@pytest.mark.parametrize("target", ["/dev/zero", "/dev/tty", "pipe"])
def test_devices_and_pipes_are_refused(tmp_path: Path, target: str) -> None:
    os.mkfifo(tmp_path / "pipe")
    link = tmp_path / "a.jpg"
    link.symlink_to(target)
    with pytest.raises(UnreadableImage, match="a pipe or a device, not a file"):
        read_image(link)


def test_a_file_larger_than_any_image_is_refused_unread(tmp_path: Path) -> None:
    file = tmp_path / "a.tif"
    with file.open("wb") as content:
        content.truncate(MAX_FILE_BYTES + 1)
    for read in (read_image, hash_file):
        with pytest.raises((UnreadableImage, OSError), match="more than 16 GB, larger than any image"):
            read(file)


@pytest.mark.parametrize("name", ["webp/lossy.webp", "avif/colour.avif"])
def test_a_decoder_that_takes_all_of_a_file_gets_no_endless_one(tmp_path: Path, name: str) -> None:
    file = tmp_path / Path(name).name
    file.write_bytes(zoo.GOOD[name](zoo.scene(1)))
    with file.open("r+b") as content:
        content.truncate(3 << 30)  # most of it is a hole
    with pytest.raises(UnreadableImage, match="has more than 512 MB around its pixels"):
        read_image(file)


def test_what_is_added_to_a_file_while_it_is_read_is_left(tmp_path: Path) -> None:
    file = tmp_path / "growing.jpg"
    file.write_bytes(b"1234")
    with open_regular(file) as content, file.open("ab") as writer:
        assert content.read(2) == b"12"
        writer.write(b"56")
        writer.flush()
        assert (content.read(9), content.readall(), content.read()) == (b"34", b"", b"")
