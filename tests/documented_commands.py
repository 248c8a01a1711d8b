"""The commands and links that README and the pages show, for the tests that hold them against the program."""

import os
import re
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).parents[1]
README = ROOT / "README.md"
PAGES = [README, *sorted((ROOT / "docs").rglob("*.md"))]

_BLOCK = re.compile(r"^```(console|sh)\n(.*?)^```", re.DOTALL | re.MULTILINE)
_COMMAND = re.compile(r"(?P<variables>(?:[A-Z_]+=\S+ )*)(?P<launcher>torchrun .* -m )?cocasearch (?P<words>.*)")
_LINK = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)")
_END = {"|", ">", "&&", ";"}  # of a command, in a shell


class ShownCommand(NamedTuple):
    """One command line of cocasearch as a page shows it.

    Attributes:
        line: The line as it stands there.
        words: What the program gets, with `~` left as it is.
        variables: The environment variables in front.
        launched: Whether another program, such as torchrun, starts it.
    """

    line: str
    words: tuple[str, ...]
    variables: dict[str, str]
    launched: bool

    def expanded(self) -> list[str]:
        """The words with `~` as a shell gives it."""
        return [os.path.expanduser(word) for word in self.words]  # noqa: PTH111  not all are paths


def name_of(page: Path) -> str:
    """A page's path as the repository has it."""
    return page.relative_to(ROOT).as_posix()


def shell_lines(page: Path) -> Iterator[str]:
    """The lines of a page that are typed at a prompt, without the prompt."""
    for language, block in _BLOCK.findall(page.read_text(encoding="utf-8")):
        for line in block.splitlines():
            if language == "sh" or line.startswith("$ "):
                yield line.removeprefix("$ ")


def shown_commands(page: Path) -> list[ShownCommand]:
    """The commands of cocasearch in a page, in its order."""
    return [command for line in shell_lines(page) if (command := _command(line))]


def _command(line: str) -> ShownCommand | None:
    match = _COMMAND.match(line)
    if match is None:
        return None
    words = shlex.split(match["words"], comments=True)
    end = next((at for at, word in enumerate(words) if word in _END), len(words))
    variables = dict(variable.split("=", 1) for variable in match["variables"].split())
    return ShownCommand(line, tuple(words[:end]), variables, launched=bool(match["launcher"]))


def links(page: Path) -> list[str]:
    """Where the links and pictures of a page lead, within the repository."""
    return [target for target in _LINK.findall(page.read_text(encoding="utf-8")) if "://" not in target]
