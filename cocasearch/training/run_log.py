"""A run's log: one JSON line for each step, whatever interruptions there were."""

import json
from collections.abc import Mapping
from pathlib import Path


class RunLog:
    """The lines in `file`, each an object with its `step`; without a file nothing is kept."""

    def __init__(self, file: Path | None) -> None:
        self.file = file

    def keep_until(self, step: int) -> None:
        """Forget what lies behind the step that a run goes on from; all of it for a new run."""
        if self.file is None or not self.file.is_file():
            return
        lines = self.file.read_text(encoding="utf-8").splitlines(keepends=True)
        # A killed process may leave a last line without its end.
        kept = [line for line in lines if line.endswith("\n") and json.loads(line)["step"] <= step]
        self.file.write_text("".join(kept), encoding="utf-8")

    def add(self, entry: Mapping[str, object]) -> None:
        """One more line."""
        if self.file is None:
            return
        with self.file.open("a", encoding="utf-8") as log:
            log.write(json.dumps(entry) + "\n")
