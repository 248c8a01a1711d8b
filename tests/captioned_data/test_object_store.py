"""Shards in an object store: fetched once, gone on with where they stopped, fetched anew when they change."""

import io
import tarfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from object_store_server import ObjectStore, serving

from cocasearch.captioned_data import object_store, read_captioned_data
from cocasearch.errors import CocaSearchError


def shard(*names: str, filler: int = 10) -> bytes:
    content = io.BytesIO()
    with tarfile.open(fileobj=content, mode="w") as tar:
        for name in names:
            for suffix, body in ((".jpg", name.encode() * filler), (".txt", f"words of {name}".encode())):
                member = tarfile.TarInfo(name + suffix)
                member.size = len(body)
                tar.addfile(member, io.BytesIO(body))
    return content.getvalue()


@pytest.fixture
def store(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[ObjectStore]:
    """A store with two shards below `photos/train`, spoken to without credentials."""
    with serving() as found:
        found.objects = {
            "photos/train/000.tar": shard("a", "b"),
            "photos/train/001.tar": shard("c", filler=300_000),
            "photos/train/notes.txt": b"not a shard",
        }
        found.be_the_one(monkeypatch)
        monkeypatch.setenv("COCASEARCH_HOME", str(tmp_path / "home"))
        yield found


def bytes_asked_for(store: ObjectStore) -> int:
    spans = [asked.removeprefix("bytes=").split("-") for asked in store.ranges]
    return sum(int(last) - int(first) + 1 for first, last in spans)


@pytest.mark.parametrize("source", ["s3://photos/train/{000..001}.tar", "s3://photos/train/", "s3://photos/train"])
def test_shards_are_read_by_list_and_by_prefix(store: ObjectStore, source: str) -> None:
    data = read_captioned_data(source)
    assert {row.key: row.captions for row in data} == {name: (f"words of {name}",) for name in "abc"}
    assert [row.image.read()[:3] for row in data] == [b"aaa", b"bbb", b"ccc"]  # type: ignore[union-attr]


def test_a_shard_is_fetched_once_in_each_version(store: ObjectStore) -> None:
    source = "s3://photos/train/000.tar"
    read_captioned_data(source)
    assert bytes_asked_for(store) == len(store.objects["photos/train/000.tar"])
    read_captioned_data(source)
    assert bytes_asked_for(store) == len(store.objects["photos/train/000.tar"])
    store.objects["photos/train/000.tar"] = shard("d", "e")
    assert [row.key for row in read_captioned_data(source)] == ["d", "e"]


def test_processes_that_fetch_the_same_shard_do_not_spoil_it(
    store: ObjectStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(object_store, "_PIECE", 5_000)
    with ThreadPoolExecutor(4) as pool:
        files = list(pool.map(object_store.fetch, ["s3://photos/train/001.tar"] * 4))
    assert len(set(files)) == 1
    assert files[0].read_bytes() == store.objects["photos/train/001.tar"]
    assert [file.name for file in files[0].parent.iterdir()] == [files[0].name]


def test_progress_is_told_in_bytes(store: ObjectStore) -> None:
    told: list[tuple[str, int, int]] = []
    read_captioned_data("s3://photos/train/000.tar", progress=lambda *standing: told.append(standing))
    size = len(store.objects["photos/train/000.tar"])
    assert told == [("fetching s3://photos/train/000.tar", size, size)]


def test_local_and_stored_shards_are_joined(store: ObjectStore, tmp_path: Path) -> None:
    (tmp_path / "here.tar").write_bytes(shard("x"))
    source = f"{tmp_path}/here.tar::s3://photos/train/000.tar"
    assert [row.key for row in read_captioned_data(source)] == ["x", "a", "b"]


@pytest.mark.parametrize("short", [False, True])
def test_a_fetch_goes_on_where_it_was_broken_off(
    store: ObjectStore, monkeypatch: pytest.MonkeyPatch, *, short: bool
) -> None:
    monkeypatch.setattr(object_store, "_PIECE", 100_000)
    store.whole_ranges, store.short_ranges = 2, short
    source = "s3://photos/train/001.tar"
    with pytest.raises(CocaSearchError, match="cannot fetch"):
        read_captioned_data(source)
    assert store.ranges[:3] == ["bytes=0-99999", "bytes=100000-199999", "bytes=200000-299999"]
    before = len(store.ranges)
    store.whole_ranges = None
    data = read_captioned_data(source)
    assert store.ranges[before] == "bytes=200000-299999"
    assert [row.image.read() for row in data] == [b"c" * 300_000]  # type: ignore[union-attr]


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("s3://photos/train/007.tar", "cannot fetch s3://photos/train/007.tar: there is no such object"),
        ("s3://photos/train/{000..002}.tar", "cannot fetch s3://photos/train/002.tar: there is no such object"),
        ("s3://photos/none/", "s3://photos/none/"),
        ("s3://photos/train/notes.txt", "no image column"),
    ],
)
def test_what_is_not_there_is_named(store: ObjectStore, source: str, message: str) -> None:
    with pytest.raises(CocaSearchError) as error:
        read_captioned_data(source)
    assert message in str(error.value)


def test_a_store_that_refuses_is_told_with_what_it_said(store: ObjectStore) -> None:
    store.refuses = True
    for source in ("s3://photos/train/000.tar", "s3://photos/train/"):
        with pytest.raises(
            CocaSearchError, match=r"cannot (fetch|list) s3://photos/train/.*(ACCESS_DENIED|403)"
        ) as error:
            read_captioned_data(source)
        assert "AWS_NO_SIGN_REQUEST" in str(error.value.hint)
