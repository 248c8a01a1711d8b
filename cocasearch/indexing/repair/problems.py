"""What verifying an index finds: problems by kind, with examples and what mends them."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Literal

Remedy = Literal["repair", "index", "touch", "rebuild"]
"""What mends it: `verify --repair`; the next `index`, since nothing is wrong with the index, at once or when the files
have a new time of change; or a new table alone."""

ABSENT_FOLDERS = "folders that are not there now"
_EXAMPLES = 3


@dataclass
class Problem:
    """A kind of thing that is not as it should be: how often, some examples, what mends it and whether that is done."""

    part: str
    what: str
    remedy: Remedy
    count: int = 0
    examples: list[str] = field(default_factory=list)
    repaired: bool = False


class Problems:
    """Collects problems by kind."""

    def __init__(self) -> None:
        self._problems: dict[str, Problem] = {}

    def add(self, part: str, what: str, remedy: Remedy, example: str) -> None:
        """Count a problem once more."""
        problem = self._problems.setdefault(f"{part} {what}", Problem(part, what, remedy))
        problem.count += 1
        if len(problem.examples) < _EXAMPLES:
            problem.examples.append(example)

    def mend_by(self, remedy: Remedy, part: str, what: str) -> None:
        """Name another remedy for a problem that there is."""
        self._problems[f"{part} {what}"].remedy = remedy

    def __iter__(self) -> Iterator[Problem]:
        return iter(self._problems.values())

    def has(self, part: str, what: str = "") -> bool:
        """Whether there is a problem with a part, or that one."""
        return any(problem.part == part and what in ("", problem.what) for problem in self)
