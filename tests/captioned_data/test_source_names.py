"""A source names files as shells and webdataset do: joined, in lists, in ranges."""

from pathlib import Path

import pytest

from cocasearch.captioned_data.source_names import source_files
from cocasearch.errors import CocaSearchError


@pytest.mark.parametrize(
    ("source", "names"),
    [
        ("a.csv::b.csv", ["a.csv", "b.csv"]),
        ("a.csv:: b.csv ::", ["a.csv", "b.csv"]),
        ("{b,a}.csv", ["b.csv", "a.csv"]),
        ("{8..10}.tar", ["8.tar", "9.tar", "10.tar"]),
        ("{08..10}.tar", ["08.tar", "09.tar", "10.tar"]),
        ("{a,b}{1..2}", ["a1", "a2", "b1", "b2"]),
    ],
)
def test_a_source_names_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, source: str, names: list[str]) -> None:
    monkeypatch.chdir(tmp_path)
    for name in names:
        Path(name).touch()
    assert [file.name for file in source_files(source)] == names


def test_a_file_whose_name_has_braces_is_taken_as_it_is(tmp_path: Path) -> None:
    file = tmp_path / "a{1,2}.csv"
    file.touch()
    assert [found.path for found in source_files(str(file))] == [file]


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("::", "the name of the captioned data is empty"),
        ("s3://", "names no bucket"),
        ("{3..1}.tar", "{3..1} ends before it begins"),
        ("{1..100001}.tar", "{1..100001} names 100,001 files"),
        ("{1..1000}{1..1000}.tar", "names 1,000,000 files, and 100,000 are the most"),
        ("{1..99999999999999999999}.tar", "no captioned data at 1..99999999999999999999.tar"),
        ("{1..%s}.tar" % ("9" * 5_000), "no captioned data at 1..9"),
        ("no-{1..3}.tar", "no captioned data at no-1.tar and at 2 other places of 3"),
    ],
)
def test_a_source_that_names_nothing_is_refused(source: str, message: str) -> None:
    with pytest.raises(CocaSearchError) as caught:
        source_files(source)
    assert message in str(caught.value)
