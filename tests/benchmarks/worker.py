"""One side of a contest as a process of its own: a task comes in as JSON, then every line read runs it once.

Runs beside OpenCLIP too, so it imports nothing of ours.
"""

import json
import os
import resource
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

Json = dict[str, Any]
Run = Callable[[], Json]


def serve(prepare: Callable[[Json], Run]) -> None:
    """Do the task that standard input names, once per further line, answering each time with a line of JSON.

    Args:
        prepare: Makes everything ready for a task and gives what runs it; what that returns is part of the answer.
    """
    answers = os.fdopen(os.dup(sys.stdout.fileno()), "w")
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())  # what libraries print is no answer
    run = prepare(json.loads(sys.stdin.readline()))
    _answer(answers, {})
    for _ in sys.stdin:
        started = time.perf_counter()
        result = run()
        _answer(answers, {"seconds": time.perf_counter() - started, **result})


def _answer(answers: Any, values: Json) -> None:
    answers.write(json.dumps({**values, "peak_bytes": _peak_bytes()}) + "\n")
    answers.flush()


def _peak_bytes() -> int:
    """The most memory this process has held; Linux counts a parent's peak into `ru_maxrss`, but not into VmHWM."""
    status = Path("/proc/self/status")
    if not status.exists():
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    line = next(line for line in status.read_text().splitlines() if line.startswith("VmHWM"))
    return int(line.split()[1]) * 1024
