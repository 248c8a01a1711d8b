"""Contenders as processes, the machine they run on, and the table that their figures go to."""

import json
import os
import platform
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

Json = dict[str, Any]
HERE = Path(__file__).parent
DATA = HERE.parents[1] / "build" / "benchmarks"
ROUNDS = int(os.environ.get("COCASEARCH_BENCHMARK_ROUNDS", "5"))
THREADS = 2


class Worker:
    """A process of one side; see worker.py for what is said."""

    def __init__(self, command: list[str], request: Json, environment: dict[str, str] | None = None) -> None:
        self._process = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env=as_users_have_it(environment),
        )
        self._ask(json.dumps(request))

    def run(self) -> Json:
        """Do the task once."""
        return self._ask("run")

    def close(self) -> None:
        """End the process."""
        self._process.communicate()

    def _ask(self, line: str) -> Json:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(line + "\n")
        self._process.stdin.flush()
        answer = self._process.stdout.readline()
        assert answer, f"{self._process.args} ended; its last words are above"
        result: Json = json.loads(answer)
        return result


def as_users_have_it(environment: dict[str, str] | None = None) -> dict[str, str]:
    """The environment of a contender: without what the tests of numbers, and our package, set for themselves."""
    ours = ("COCASEARCH_DTYPE", "GOMP_SPINCOUNT")
    inherited = {name: value for name, value in os.environ.items() if name not in ours}
    return {**inherited, "OMP_NUM_THREADS": str(THREADS), **(environment or {})}


def measure(*command: str | Path, cwd: Path | None = None, environment: dict[str, str] | None = None) -> Json:
    """Seconds and peak memory of a command from start to end, and what it told on stderr."""
    measured = [sys.executable, "-S", HERE / "measured_command.py", *command]
    run = subprocess.run(
        measured, cwd=cwd, env=as_users_have_it(environment), check=True, capture_output=True, text=True
    )
    result: Json = json.loads(run.stdout)
    assert result["exit_code"] == 0, f"{command}: {result['told']}"
    return result


def cocasearch(*arguments: str | Path) -> Json:
    """The same of a command of ours."""
    return measure(sys.executable, "-m", "cocasearch", *arguments)


@dataclass
class Report:
    """The table so far: every line is shown when it is known."""

    lines: list[str]

    def add(self, *lines: str) -> None:
        self.lines += lines
        for line in lines:
            sys.stdout.write(f"\n{line}")
        sys.stdout.flush()


def processor() -> str:
    """The CPU's name, its cores, and whether it computes in bfloat16 by itself."""
    name, native = platform.processor() or platform.machine(), False
    if (cpuinfo := Path("/proc/cpuinfo")).exists():
        lines = dict(line.split(":", 1) for line in cpuinfo.read_text().splitlines() if ":" in line)
        about = {key.strip(): value.strip() for key, value in lines.items()}
        name = about.get("model name", name)
        native = not {"avx512_bf16", "amx_bf16", "bf16"}.isdisjoint(
            about.get("flags", about.get("Features", "")).split()
        )
    return f"{name}, {os.cpu_count()} cores, {'native' if native else 'no native'} bfloat16"
