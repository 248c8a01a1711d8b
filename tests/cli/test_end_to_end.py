"""The program as the shell runs it: a process of its own, with pipes."""

import json
import os
import signal
import subprocess
import sys
import time

COMMAND = [sys.executable, "-m", "cocasearch"]


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
        (photo_folder / f"copy-{number}.jpg").write_bytes(picture)
    command = [*COMMAND, "index", "photos", "--model", str(tiny_model_folder), "--batch-size", "2"]
    run = subprocess.Popen(command, cwd=photo_folder.parent, stderr=subprocess.PIPE, text=True)
    index = photo_folder.parent / "indexes" / "default"
    while not (index / "manifest.json").exists():
        time.sleep(0.02)
    os.kill(run.pid, signal.SIGINT)
    _, said = run.communicate(timeout=60)
    assert run.returncode == 130, said
    assert "the same command goes on from there" in said
    again = subprocess.run(command, cwd=photo_folder.parent, capture_output=True, text=True, check=True)
    assert "index 'default' holds 104 photos" in again.stderr
