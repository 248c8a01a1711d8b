"""The program as the shell runs it: a process of its own, with pipes."""

import json
import os
import re
import signal
import subprocess
import sys

COMMAND = [sys.executable, "-m", "cocasearch"]
TALKATIVE = [  # the same, saying how far it is after each batch
    sys.executable,
    "-c",
    "from cocasearch import __main__; from cocasearch.cli import console\n"
    "console.SECONDS_BETWEEN_LINES = 0; __main__.main()",
]


def test_index_and_query_in_processes_of_their_own(photo_folder, tiny_model_folder):
    def shell(line):
        return subprocess.run(line, shell=True, cwd=photo_folder.parent, capture_output=True, text=True, check=True)

    program = " ".join(COMMAND)
    shell(f"{program} index photos --model {tiny_model_folder}")
    query = f"{program} query photos/red-square.jpg --model {tiny_model_folder}"
    assert json.loads(shell(f"{query} --format json").stdout)[0]["relative_path"] == "red-square.jpg"
    assert shell(f"{query} -0 --top 1 | xargs -0 ls").stdout.strip().endswith("photos/red-square.jpg")
    assert shell(f"{query} | head -1").stdout.split() == ["score", "path", "caption"]


def test_ctrl_c_stops_an_index_run_that_then_goes_on(photo_folder, tiny_model_folder):
    picture = (photo_folder / "red-square.jpg").read_bytes()
    for number in range(100):
        (photo_folder / f"copy-{number}.jpg").write_bytes(picture + bytes([number]))  # or it would be a copy
    command = ["index", "photos", "--model", str(tiny_model_folder), "--batch-size", "2"]
    stopped = [*TALKATIVE, *command]
    with subprocess.Popen(stopped, cwd=photo_folder.parent, stderr=subprocess.PIPE, text=True) as run:
        assert any(line.startswith("indexing") for line in run.stderr)  # a first batch is done, no commit is due yet
        os.kill(run.pid, signal.SIGINT)
        said = run.stderr.read()
    assert run.returncode == 130, said
    assert "the same command goes on from there" in said
    again = subprocess.run([*COMMAND, *command], cwd=photo_folder.parent, capture_output=True, text=True, check=True)
    counts = {what: int(count) for count, what in re.findall(r"(\d+) (added|unchanged)\b", again.stderr)}
    assert 2 <= counts["unchanged"] < 104 == counts["unchanged"] + counts["added"]
    assert "index 'default' holds 104 photos" in again.stderr
