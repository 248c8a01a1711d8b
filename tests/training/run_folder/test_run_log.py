"""A log has one line for each step, whatever was broken off or taken again."""

import math
from pathlib import Path

from cocasearch.training.run_folder.run_log import RunLog, read_log


def test_entries_come_back_in_order(tmp_path: Path) -> None:
    log = RunLog(tmp_path / "log.jsonl")
    log.add({"step": 1, "loss": 0.5})
    log.add({"step": 2, "loss": math.nan})
    first, second = read_log(tmp_path / "log.jsonl")
    assert first == {"step": 1, "loss": 0.5}
    assert second["step"] == 2 and math.isnan(second["loss"])


def test_what_is_no_entry_is_left_out(tmp_path: Path) -> None:
    file = tmp_path / "log.jsonl"
    file.write_bytes(b'{"step": 1}\n\xff\n[]\n{"loss": 1}\n' + b"[" * 99_999 + b'\n{"step": 2}\n{"step": 3')
    assert read_log(file) == [{"step": 1}, {"step": 2}]


def test_a_resumed_run_goes_on_behind_its_step(tmp_path: Path) -> None:
    file = tmp_path / "log.jsonl"
    file.write_text('{"step": 1}\n{"step": 2}\n{"step": 3}\n{"st')
    log = RunLog(file)
    log.keep_until(2)
    log.add({"step": 3, "loss": 0.1})
    assert read_log(file) == [{"step": 1}, {"step": 2}, {"step": 3, "loss": 0.1}]


def test_without_a_file_nothing_is_kept(tmp_path: Path) -> None:
    for log in (RunLog(None), RunLog(tmp_path / "log.jsonl")):
        log.keep_until(0)
    RunLog(None).add({"step": 1})
    assert list(tmp_path.iterdir()) == []
