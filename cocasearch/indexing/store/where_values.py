"""Notations that conditions allow beside those of the table: of paths, cameras and formats. Strings in, strings out."""

import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path

FORMATS = {  # what endings are called by those who read them; others by their own name
    **dict.fromkeys(("jpg", "jpe", "jpeg", "jfif"), ("JPEG", "MPO")),
    **dict.fromkeys(("tif",), ("TIFF",)),
    **dict.fromkeys(("heic", "heics", "heifs", "hif"), ("HEIF",)),
    **dict.fromkeys(("jp2", "j2k", "jpf", "jpx", "jpc", "j2c"), ("JPEG2000",)),
    **dict.fromkeys(("pgm", "pbm", "pnm", "pfm"), ("PPM",)),
    "apng": ("PNG",),
    "avifs": ("AVIF",),
}


def quoted(text: str) -> str:
    """Text as SQL."""
    return "'" + text.replace("'", "''") + "'"


def any_of(column: str, values: Iterable[str]) -> str:
    """The SQL that a column has one of some values."""
    return f"{column} in ({', '.join(map(quoted, dict.fromkeys(values)))})"


def whole_path(roots: Mapping[str, Path]) -> str:
    """The SQL of a photo's path as it is printed; LanceDB knows no CASE, and joins what is nothing as if it was not."""
    folders = {key: quoted(ended(folder)) for key, folder in roots.items()}
    if len(folders) < 2:
        return "".join(f"concat({folder}, path)" for folder in folders.values()) or "path"
    parts = (f"nvl2(nullif(root, {quoted(key)}), NULL, {folder})" for key, folder in folders.items())
    return f"concat({', '.join(parts)}, path)"


def have_paths(paths: Sequence[str], roots: Mapping[str, Path]) -> Iterator[str]:
    """The conditions of which one is met by the files at some paths, from the current folder or a root, or absolute."""
    yield any_of("path", paths)
    absolute = [os.path.normpath(Path.cwd() / at_home(path)) for path in paths]
    for key, folder in roots.items():
        start = ended(folder)
        if inside := [path[len(start) :] for path in absolute if path.startswith(start)]:
            yield f"root = {quoted(key)} and {any_of('path', inside)}"


def is_camera(camera: str, name: str) -> bool:
    """Whether a camera is called so: by its maker, by its model or by both, whatever the case.

    A maker's full name may come before the model, and the model begin with it once more.
    """
    own, given = f" {' '.join(camera.lower().split())} ", f" {' '.join(name.lower().split())} "
    maker, _, model = given.strip().partition(" ")
    is_both = bool(model) and own.startswith(f" {maker} ") and own.endswith(f" {model} ")
    return given.strip() != "" and (own.startswith(given) or own.endswith(given) or given.endswith(own) or is_both)


def at_home(path: str) -> str:
    """A path with a leading `~` put in full."""
    return str(Path.home()) + path[1:] if path.startswith("~/") else path


def ended(folder: Path) -> str:
    """A folder as what the paths of its files begin with."""
    return str(folder).rstrip("/") + "/"
