"""Kinds of arguments and options that name a file, a folder, an index, a model or data: `typer.Option(**FILE)`.

None may be empty: an empty path would mean the current folder, and an empty name the folder of all indexes or models,
while a script whose variable is not set means neither. No path may be longer than the file system allows.
"""

import errno
from pathlib import Path
from typing import Any

import typer

from cocasearch.cli.console import on_one_line
from cocasearch.cli.options.completions import complete_index, complete_model

_SHOWN = 60  # characters of a path that is too long


def read_path(word: str | Path) -> Path:
    """The path that a word gives."""
    path = Path(word)
    _refuse_empty(str(word), "a path is empty; the folder that you are in is '.'")
    _refuse_too_long(path)
    return path


def read_existing_file(word: str) -> Path:
    """The path of a file that is there."""
    path = read_path(word)
    if not path.exists():
        raise typer.BadParameter(f"no such file: {on_one_line(word)}")
    return path


def read_existing_folder(word: str) -> Path:
    """The path of a folder that is there."""
    path = read_path(word)
    if not path.is_dir():
        what = "a file, not a folder" if path.exists() else "no such folder"
        raise typer.BadParameter(f"{what}: {on_one_line(word)}")
    return path


def read_name(word: str) -> str:
    """A name, or the path of a folder or file in its place."""
    _refuse_too_long(Path(word))
    return read_data(word)


def read_data(word: str) -> str:
    """Captioned photos: one path or address, or several joined into a word of any length."""
    _refuse_empty(word, "a name is empty")
    return word


def _refuse_empty(word: str, message: str) -> None:
    if not word.strip() and not (word and Path(word).exists()):
        raise typer.BadParameter(message)


def _refuse_too_long(path: Path) -> None:
    """Refuse a path that nothing can lie at: few functions expect the system to complain of its length."""
    try:
        path.lstat()
    except OSError as error:
        if error.errno == errno.ENAMETOOLONG:
            raise typer.BadParameter(f"the path is too long: {on_one_line(str(path)[:_SHOWN])}…") from error


PATH: dict[str, Any] = {"metavar": "PATH", "parser": read_path}
FILE: dict[str, Any] = {"metavar": "FILE", "parser": read_path}
FOLDER: dict[str, Any] = {"metavar": "FOLDER", "parser": read_path}
EXISTING_FILE: dict[str, Any] = {"metavar": "FILE", "parser": read_existing_file}
EXISTING_FOLDER: dict[str, Any] = {"metavar": "FOLDER", "parser": read_existing_folder}
DATA: dict[str, Any] = {"metavar": "DATA", "parser": read_data}
NAME: dict[str, Any] = {"metavar": "NAME", "parser": read_name}
INDEX: dict[str, Any] = {"metavar": "INDEX", "parser": read_name, "autocompletion": complete_index}
MODEL: dict[str, Any] = {"metavar": "MODEL", "parser": read_name, "autocompletion": complete_model}
