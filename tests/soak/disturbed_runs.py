"""Runs commands one after another, and disturbs a change that they make in the file system: see `disturbing.c`.

    LD_PRELOAD=disturbing.so python disturbed_runs.py disturbing.so

Each line of the standard input is one run as JSON: `arguments` of the command line, the `folder` to run it in, and of
the changes below `index` there the number `at` of the one to disturb, and `how`. Each gets a line back: `code`
(negative for a signal), what was `said` on both streams, and how many `changes` were made. Runs are forked, so that
only the first has to import.
"""

import ctypes
import json
import os
import sys
import tempfile
import warnings
from typing import Any

import lancedb  # noqa: F401  takes seconds
import torch

import cocasearch.indexing.builder
import cocasearch.inference.generation.captioner  # noqa: F401
from cocasearch.__main__ import main

torch.set_num_threads(1)  # more of them would not live in a fork
disturbing = ctypes.CDLL(sys.argv[1])


def run(wanted: dict[str, Any], said: int) -> None:
    for stream in (1, 2):
        os.dup2(said, stream)
    sys.argv = ["cocasearch", *wanted["arguments"]]
    os.chdir(wanted["folder"])
    disturbing.disturb(f"{wanted['folder']}/index".encode(), wanted["at"], ord(wanted["how"]))
    code = 99
    try:
        main()
    except SystemExit as end:
        code = int(end.code or 0)
    finally:
        changes = disturbing.changes_made()
        disturbing.disturb(b"", 0, 0)
        sys.stderr.flush()
        os.write(said, f"\n{changes}".encode())
        os._exit(code)


warnings.simplefilter("ignore")
for line in sys.stdin:
    with tempfile.TemporaryFile() as said:
        if not (child := os.fork()):
            run(json.loads(line), said.fileno())
        code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        said.seek(0)
        text, _, changes = said.read().decode().rpartition("\n")
    answer = {"code": code, "said": text, "changes": int(changes) if code >= 0 else None}
    sys.stdout.write(json.dumps(answer) + "\n")
    sys.stdout.flush()
