"""Arguments that name a file, a folder, an index or a model: none may be empty, and no path longer than any can be.

An empty path would mean the folder one is in, and an empty name the folder of all that have one; a script whose
variable is not set means neither.
"""

import errno
import inspect
from collections.abc import Callable
from copy import copy
from functools import partial
from pathlib import Path
from typing import Annotated, Any, get_args

import typer
from typer.models import ParameterInfo

from cocasearch.cli.console import on_one_line

_PLACES = {"DATA", "FILE", "FOLDER", "MODEL", "NAME"}  # words in the metavar of a string that names one
_SHOWN = 60  # characters of a path that is too long


def checked(parameter: inspect.Parameter) -> inspect.Parameter:
    """The parameter of a command, refusing what names no place if it is one that names a place."""
    kind, *notes = get_args(parameter.annotation) or (parameter.annotation,)
    reader = _reader(kind, notes[0]) if notes and isinstance(notes[0], ParameterInfo) else None
    if reader is None:
        return parameter
    info = copy(notes[0])
    info.parser = reader
    return parameter.replace(annotation=Annotated[kind, info])


def _reader(kind: object, info: ParameterInfo) -> Callable[[Any], Any] | None:
    """What makes of a word what it names; None if it names no place."""
    if _holds(kind, Path):
        return partial(_path, info=info)
    words = (info.metavar or "").strip("[]").split("|")
    if not _holds(kind, str) or not _PLACES.intersection(words):
        return None
    return _name if "DATA" in words else _place  # data may be many files, joined into one long word


def _holds(kind: object, wanted: type) -> bool:
    """Whether an annotation is a type, or a list of it or an alternative to it."""
    return kind is wanted or any(_holds(part, wanted) for part in get_args(kind))


def _path(word: str | Path, info: ParameterInfo) -> Path:
    _refuse_nothing(str(word), "a path is empty; the folder that you are in is '.'")
    path = Path(word)
    _refuse_too_long(path)
    if info.exists and not (path.exists() if info.file_okay else path.is_dir()):
        what = "a file, not a folder" if path.exists() else f"no such {'file' if info.file_okay else 'folder'}"
        raise typer.BadParameter(f"{what}: {on_one_line(str(path))}")
    return path


def _refuse_too_long(path: Path) -> None:
    """Nothing lies at such a path, nor ever did or can, and few functions expect to be told so by the system."""
    try:
        path.lstat()
    except OSError as error:
        if error.errno == errno.ENAMETOOLONG:
            raise typer.BadParameter(f"no file has so long a path: {on_one_line(str(path)[:_SHOWN])}…") from error


def _place(word: str) -> str:
    _refuse_too_long(Path(word))
    return _name(word)


def _name(word: str) -> str:
    _refuse_nothing(word, "a name is empty")
    return word


def _refuse_nothing(word: str, message: str) -> None:
    if not word.strip() and not (word and Path(word).exists()):
        raise typer.BadParameter(message)
