"""Run a command and print, as JSON, its seconds, peak memory, exit code and the end of what it said on stderr.

    python measured_command.py COMMAND [ARGUMENT…]

A process of its own because Linux counts the memory of a process into the peak of those it starts: this one is small.
"""

import json
import resource
import subprocess
import sys
import time

TOLD = 2_000  # characters

started = time.perf_counter()
run = subprocess.run(sys.argv[1:], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
seconds = time.perf_counter() - started
unit = 1 if sys.platform == "darwin" else 1024
peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss * unit
told = run.stderr.decode(errors="replace")[-TOLD:]
sys.stdout.write(json.dumps({"seconds": seconds, "peak_bytes": peak, "exit_code": run.returncode, "told": told}))
