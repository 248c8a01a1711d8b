"""What comes out of the two streams where names, readers and disks are unkind."""

import json
import math
import os
import subprocess
import sys
from pathlib import Path

import pytest

from cocasearch.cli import console

NASTY = "\x1b[2J\u202egpj\n\u2028"
MODELS = f"{sys.executable} -m cocasearch models list --json"


def test_a_name_of_two_lines_stays_in_its_row(capfdbinary):
    console.write_table([{"score": 1.0, "path": "/photos/two\nlines\x1b.jpg", "caption": "a\ndog\x1b[31m"}])
    _, row = capfdbinary.readouterr().out.decode().splitlines()
    assert row.split(maxsplit=2) == ["1.000", r"/photos/two\nlines\x1b.jpg", r"a dog\x1b[31m"]


CAPTION = "unsure: a black and white dog is jumping over a log."
HIT = {"path": "/p/two-dogs-at-window.jpg", "caption": CAPTION}


@pytest.mark.parametrize(
    ("row", "header"),
    [
        ({"score": 0.349} | HIT, [["score", "path", "caption"]]),
        ({"text_score": 1.077} | HIT | {"caption": CAPTION[:40]}, [["text", "score", "path", "caption"]]),
        (
            {"score": 0.349, "text_score": 1.155, "vector_rank": 1, "text_rank": 2} | HIT,
            [["text", "vector", "text"], ["score", "score", "rank", "rank", "path", "caption"]],
        ),
        (
            {"score": 0.349, "text_score": None, "vector_rank": 1, "text_rank": None} | HIT,
            [["text", "vector", "text"], ["score", "score", "rank", "rank", "path", "caption"]],
        ),
    ],
    ids=["by-vector", "by-words", "by-both", "without-the-words"],
)
def test_a_narrow_terminal_shows_paths_whole_and_captions_in_words(capfdbinary, monkeypatch, row, header):
    monkeypatch.setattr(console, "_PIPE_WIDTH", 80)
    console.write_table([row])
    lines = capfdbinary.readouterr().out.decode().splitlines()
    assert max(map(len, lines)) <= 80
    assert [line.split() for line in lines[: len(header)]] == header
    assert row["path"] in lines[len(header)]
    left = lines[len(header)].index("unsure:")
    words = [line[left:].split() for line in lines[len(header) :]]
    assert [word for line in words for word in line] == row["caption"].split()


@pytest.mark.parametrize(("width", "names"), [(76, 1), (75, 3)])
def test_names_of_columns_stay_on_one_line_where_the_table_fits(capfdbinary, monkeypatch, width, names):
    monkeypatch.setattr(console, "_PIPE_WIDTH", width)
    row = {"objects_not_there": "all captions", "per_caption": 0.5, "per_object_word": 0.3, "object_words": 9}
    console.write_table([row | {"object_recall": 0.5}])
    lines = capfdbinary.readouterr().out.decode().splitlines()
    assert len(lines) == names + 1 and max(map(len, lines)) <= width
    assert lines[-1].split() == ["all", "captions", "0.500", "0.300", "9", "0.500"]


@pytest.mark.skipif(os.name == "nt", reason="Windows has no such names")
def test_no_name_commands_the_terminal_that_shows_it_and_programs_get_it_as_it_is(prompt):
    folder = prompt.folder / f"photos{NASTY}"
    (prompt.folder / "photos").rename(folder)
    bad = folder / "truncated.jpg"
    bad.rename(folder / f"bad{NASTY}.jpg")
    shown = r"photos\x1b[2J\u202egpj\n\u2028"
    told = [
        prompt("index", str(folder), "--model", "tiny"),
        prompt("index", f"nowhere{NASTY}"),
        prompt("status"),
        prompt("status", "--bad"),
        prompt("query", "sea"),
        prompt("remove", str(folder / f"absent{NASTY}.jpg")),
        prompt("verify", "--index", str(folder)),
    ]
    everything = "".join(result.stdout + result.stderr for result in told)
    assert not {"\x1b", "\u202e", "\u2028"}.intersection(everything)
    assert everything.count(shown) >= 8
    assert f"unreadable: {shown}/bad" in told[0].stderr
    (unreadable,) = json.loads(prompt("status", "--bad", "--json").stdout)
    assert unreadable["path"] == str(folder / f"bad{NASTY}.jpg")
    assert str(folder) in prompt("query", "sea", "-0").stdout


def test_unreadable_photos_of_one_reason_do_not_flood_the_screen(capsys):
    console.name_unreadable([("odd.jpg", "truncated"), *((f"{number}.nef", "no extra") for number in range(30))])
    told = capsys.readouterr().err.splitlines()
    assert told[0] == "unreadable: odd.jpg: truncated"
    assert told[1:21] == [f"unreadable: {number}.nef: no extra" for number in range(20)]
    assert told[21:] == ["unreadable: 10 more: no extra"]


def test_programs_get_no_more_digits_than_tell_something(capfdbinary):
    console.write_json(
        {"a": 0.51234567890123, "b": [125.3456789, 7, True], "c": 1.23456789e-5, "d": math.nan, "e": 0.0}
    )
    told = json.loads(capfdbinary.readouterr().out)
    assert told == {"a": 0.512346, "b": [125.345679, 7, True], "c": 1.23457e-05, "d": None, "e": 0.0}


def test_output_is_utf_8_and_the_bytes_of_names_in_any_locale(tmp_path):
    code = r"from cocasearch.cli import console; console.write_lines('caf\u00e9 \udcff')"
    latin = {"PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0", "LC_ALL": "C", "PYTHONIOENCODING": "latin-1"}
    done = subprocess.run([sys.executable, "-c", code], env=latin, capture_output=True, check=True)
    assert done.stdout == b"caf\xc3\xa9 \xff\n"


def test_a_reader_that_has_seen_enough_ends_the_program_quietly():
    line = f"sleep 0.1; {MODELS}; echo $? >&2"
    done = subprocess.run(["bash", "-c", f"({line}) | true"], capture_output=True, text=True, check=True)
    assert done.stderr == "141\n"


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="Linux has a disk that is always full")
def test_a_full_disk_is_told_in_one_sentence():
    done = subprocess.run(["bash", "-c", f"{MODELS} > /dev/full"], capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert done.stderr == "error: the output cannot be written: No space left on device\n"
