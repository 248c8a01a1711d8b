"""A run's log: one JSON line for each step, whatever interruptions there were."""

import json
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any


def read_log(file: Path) -> list[dict[str, Any]]:
    """The entries of a log; what is none, as the last line of a killed process may be, is left out."""
    entries = []
    for line in file.read_text(encoding="utf-8", errors="replace").split("\n")[:-1]:
        with suppress(ValueError, RecursionError):
            entry = json.loads(line)  # a loss may be no number, which is what its reader wants to know
            if isinstance(entry, dict) and isinstance(entry.get("step"), int):
                entries.append(entry)
    return entries


class RunLog:
    """The lines in `file`, each an object with its `step`; without a file nothing is kept."""

    def __init__(self, file: Path | None) -> None:
        self.file = file

    def keep_until(self, step: int) -> None:
        """Forget what lies behind the step that a run goes on from; all of it for a new run."""
        if self.file is None or not self.file.is_file():
            return
        kept = [entry for entry in read_log(self.file) if entry["step"] <= step]
        self.file.write_text("".join(json.dumps(entry) + "\n" for entry in kept), encoding="utf-8")

    def add(self, entry: Mapping[str, object]) -> None:
        """One more line."""
        if self.file is None:
            return
        with self.file.open("a", encoding="utf-8") as log:
            log.write(json.dumps(entry) + "\n")
