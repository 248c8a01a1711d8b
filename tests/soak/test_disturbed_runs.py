"""Every command that writes, disturbed at one change of the file system after another: see `disturbing.c`.

Whatever the disturbance, the command tells it in a sentence or does its work all the same, and the index stays whole
but for what the next run brings: no photo is stored twice, none that was stored is lost. 12 points for each command and
disturbance with `make soak`, or all with SOAK_POINTS=1000.
"""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from soak.index_contents import all_rows

from cocasearch.indexing.repair.verification import verify_index

HERE = Path(__file__).parent
POINTS = int(os.environ.get("SOAK_POINTS", "12"))
KILLED = -9
DISTURBANCES = {"killed": "k", "torn": "t", "full from there on": "f", "no room once": "n", "fails once": "e"}
COMMANDS = {
    "first run": ["index", "photos"],
    "update": ["index", "photos", "more"],
    "rebuild": ["index", "--rebuild"],
    "prune": ["index", "--prune"],
    "compaction": ["index", "photos", "more"],
    "captions": ["caption", "--index", "./index"],
    "repair": ["verify", "--repair"],
    "remove": ["remove", "photos/b"],
    "reroot": ["reroot", "photos/b", "moved"],
    "export": ["export", "index/rows.parquet"],
}
Run = Callable[..., dict[str, Any]]

pytestmark = pytest.mark.skipif(
    not (sys.platform == "linux" and shutil.which("gcc")), reason="the disturbing library is for Linux, and needs gcc"
)


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Run]:
    """Runs a command in a folder, with changes below its `index` counted, and one of them disturbed."""
    library = tmp_path_factory.mktemp("library") / "disturbing.so"
    subprocess.run(["gcc", "-shared", "-fPIC", "-O1", "-o", library, HERE / "disturbing.c", "-ldl"], check=True)
    environment = os.environ | {"LD_PRELOAD": str(library), "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    command = [sys.executable, HERE / "disturbed_runs.py", library]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment) as runs:

        def one(folder: Path, *arguments: str, at: int = 0, how: str = "k") -> dict[str, Any]:
            wanted = {"arguments": arguments, "folder": str(folder), "at": at, "how": how}
            runs.stdin.write(json.dumps(wanted) + "\n")
            runs.stdin.flush()
            return json.loads(runs.stdout.readline())

        yield one
        runs.stdin.close()


@pytest.fixture(scope="module")
def start(run: Run, tmp_path_factory: pytest.TempPathFactory, tiny_model_folder: Path) -> Callable[[str], Path]:
    """A folder with photos, and with the index that a command is to find: made once, to be copied."""
    made: dict[str, Path] = {}

    def make(command: str) -> Path:
        if command not in made:
            folder = made[command] = tmp_path_factory.mktemp(command.replace(" ", "-"))
            shutil.copytree(tiny_model_folder, folder / "model")
            for number in range(12):
                draw(folder / ("photos/a", "photos/b", "more")[number % 3] / f"{number}.png", number)
            prepare(run, folder, command)
        return made[command]

    return make


def draw(file: Path, seed: int) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    blocks = np.random.default_rng(seed).integers(0, 256, (4, 4, 3), dtype=np.uint8)
    Image.fromarray(blocks).resize((32, 32), Image.Resampling.NEAREST).save(file)


def arguments_of(command: str) -> list[str]:
    given = COMMANDS[command]
    where = [] if "--index" in given else ["--index", "./index"]
    return [*given, *where, *(["--model", "model"] if command == "first run" else [])]


def prepare(run: Run, folder: Path, command: str) -> None:
    """Make the index that a command is to find, if any."""
    if command == "first run":
        return

    def done(*arguments: str) -> None:
        answer = run(folder, *arguments, "--index", "./index")
        assert answer["code"] == 0, answer

    captions = ["--no-captions"] if command == "captions" else []
    done("index", "photos", "--model", "model", *captions)
    if command == "prune":
        shutil.rmtree(folder / "photos" / "b")
        draw(folder / "photos" / "a" / "late.png", 77)
    elif command == "compaction":
        for number in range(20):
            os.utime(folder / "photos" / "a" / "0.png", (number, number))
            done("index", "photos")
    elif command == "repair":
        shutil.rmtree(next((folder / "index").glob("*.lance/_indices/*")))
    elif command == "reroot":
        shutil.copytree(folder / "photos" / "b", folder / "moved")


def rows(folder: Path) -> dict[tuple[str, str], list[float]]:
    return {(row["path"], row["content_hash"]): row["embedding"] for row in all_rows(folder / "index")}


def check(run: Run, start: Path, folder: Path, command: str, how: str, at: int) -> None:
    """Disturb a command at one change, and see what is left of the index, and that the command can be given again."""
    shutil.copytree(start, folder, symlinks=True)
    answer = run(folder, *arguments_of(command), at=at, how=how)
    assert answer["code"] in ({KILLED} if how in "kt" else {0, 1}), answer
    assert "unexpected" not in answer["said"] and "Traceback" not in answer["said"], answer
    if answer["code"] == 1:
        assert "error: " in answer["said"], answer
    if (folder / "index" / "manifest.json").exists() and command != "repair":
        before = rows(start) if command in ("update", "rebuild", "captions", "compaction", "export") else {}
        assert before.items() <= rows(folder).items(), answer
        problems = verify_index(folder / "index").problems
        wrong = {problem.part for problem in problems if problem.remedy != "index"}
        # What could not be removed once stays until the next run.
        left = {"leftovers", "snapshot"} if answer["code"] else {"leftovers"} if how in "ne" else set()
        assert wrong <= left, (answer, problems)
    again = run(folder, *arguments_of(command))
    assert again["code"] in (0, 3) or "exists already" in again["said"] or answer["code"] == 0, (answer, again)
    assert verify_index(folder / "index").ok, (answer, again)
    shutil.rmtree(folder)


@pytest.fixture
def changes(run: Run, start: Callable[[str], Path], tmp_path: Path) -> Callable[[str], int]:
    """How many changes a command makes that is not disturbed."""

    def count(command: str) -> int:
        shutil.copytree(start(command), tmp_path / "counted")
        return run(tmp_path / "counted", *arguments_of(command))["changes"]

    return count


def test_an_update_that_is_disturbed_leaves_a_whole_index(run, start, changes, tmp_path):
    step = changes("update") // (len(DISTURBANCES) + 1)
    for number, how in enumerate(DISTURBANCES.values(), 1):
        check(run, start("update"), tmp_path / "disturbed", "update", how, step * number)


@pytest.mark.parametrize("how", DISTURBANCES.values(), ids=DISTURBANCES)
@pytest.mark.parametrize("command", COMMANDS)
@pytest.mark.soak
def test_a_disturbed_command_leaves_a_whole_index(run, start, changes, tmp_path, command, how):
    count = changes(command)
    for at in range(1, count + 1, max(1, count // POINTS)):
        check(run, start(command), tmp_path / "disturbed", command, how, at)
