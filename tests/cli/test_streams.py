"""Streams that are closed or lead to a full disk: messages are dropped, results that are lost are a failure."""

import subprocess
import sys
from pathlib import Path

import pytest

COCASEARCH = f"{sys.executable} -m cocasearch"

pytestmark = pytest.mark.skipif(not Path("/dev/full").exists(), reason="Linux has a disk that is always full")


@pytest.mark.parametrize(
    ("line", "code", "told"),
    [
        ("--help >/dev/full", 1, "error: the output cannot be written: No space left on device\n"),
        ("--help >&-", 1, "error: the output cannot be written: Bad file descriptor\n"),
        ("models list --json >&-", 1, "error: the output cannot be written: Bad file descriptor\n"),
        ("models info nothing 2>/dev/full", 1, ""),
        ("models list <&- 2>&- >/dev/null", 0, ""),
    ],
)
def test_no_stream_gives_a_traceback(line, code, told):
    done = subprocess.run(["bash", "-c", f"{COCASEARCH} {line}"], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (code, told)


def test_photos_are_indexed_though_no_message_can_be_printed(prompt):
    line = f"{COCASEARCH} index photos --model tiny --no-captions 2>/dev/full"
    assert subprocess.run(["bash", "-c", line], cwd=prompt.folder, check=False).returncode == 0
    assert "4 photos" in prompt("status").stdout
