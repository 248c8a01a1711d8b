"""What an index says about itself: which model made it, which folders it covers, which table holds its rows.

The manifest is the first thing a reader opens and, being replaced in one step, always whole. Knows nothing about rows.
"""

import glob
import json
import os
import re
import shlex
from collections.abc import Iterable, Set
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from cocasearch.atomic_files import write_text
from cocasearch.errors import CocaSearchError, shortened
from cocasearch.indexing.store.location import MANIFEST_FILE, REBUILD_FILE, AnyIndex, IndexLocation
from cocasearch.json_values import build, parse_json, shown
from cocasearch.paths import index_folder, indexes_homes, is_folder_like

SCHEMA_VERSION = 7  # of the manifest and of the columns of `ImageRecord`
_LARGEST_DIMENSION = 65_536
DEFAULT_INDEX = "default"
_NAMED = 5  # indexes, where one is not there


@dataclass(frozen=True)
class Root:
    """A folder that an index covers.

    Attributes:
        key: What image records call it; never given to another folder.
        folder: Where it was, absolute.
        relative: Where it was as seen from the index folder; None on another drive.
        partial: Whether only files named one by one were taken from it, and not whatever it holds.
    """

    key: str
    folder: str
    relative: str | None
    partial: bool = False

    @classmethod
    def at(cls, key: str, folder: Path, index: AnyIndex, *, partial: bool = False) -> "Root":
        """The root for `folder` (absolute), as seen from the folder of the index."""
        try:
            relative = Path(os.path.relpath(folder, IndexLocation.of(index).folder.resolve())).as_posix()
        except ValueError:  # Windows: no way from one drive to another
            relative = None
        return cls(key, str(folder), relative, partial)

    def locate(self, index: AnyIndex) -> Path:
        """Where the root is now: it moves with the index folder if it is found there, else it stayed where it was."""
        if self.relative is not None:
            beside = Path(os.path.normpath(IndexLocation.of(index).folder.resolve() / self.relative))
            if beside.is_dir():
                return beside
        return Path(self.folder)


@dataclass(frozen=True)
class Manifest:
    """The description of one index.

    Attributes:
        excludes: Patterns of files and folders to leave out of every walk.
        named: Whole paths of files that were indexed by their own names and that walks would leave out.
        caption_settings: Each way in which the model has written captions for the table, as `CaptionOptions.to_dict`
            has it, the first one first; empty without captions.
        created: ISO 8601 time in UTC, as is `updated`.
    """

    table: str
    model_name: str
    model_fingerprint: str
    dimension: int
    roots: tuple[Root, ...] = ()
    excludes: tuple[str, ...] = ()
    named: tuple[str, ...] = ()
    caption_settings: tuple[dict[str, Any], ...] = ()
    created: str = ""
    updated: str = ""
    schema_version: int = SCHEMA_VERSION

    def __post_init__(self) -> None:
        now = datetime.now(UTC).isoformat(timespec="seconds")
        object.__setattr__(self, "created", self.created or now)
        object.__setattr__(self, "updated", self.updated or now)

    def locate_roots(self, index: AnyIndex) -> dict[str, Path]:
        """Each root's present folder by its key."""
        return {root.key: root.locate(index) for root in self.roots}

    def located(self, index: AnyIndex) -> "Manifest":
        """The same with excludes and named files as they are now: roots may have moved with the index."""
        located = self
        for root in self.roots:
            located = located.following(Path(root.folder), root.locate(index))
        return located

    def following(self, old: Path, new: Path) -> "Manifest":
        """The same with excludes and named files that are whole paths below the folder `old` as paths below `new`."""
        excludes = _rebased(self.excludes, exclude_of(old), exclude_of(new))
        return replace(self, excludes=excludes, named=_rebased(self.named, old.as_posix(), new.as_posix()))

    @property
    def partial_roots(self) -> frozenset[str]:
        """The keys of the roots that only single files were taken from."""
        return frozenset(root.key for root in self.roots if root.partial)

    def with_roots(self, folders: dict[str, Path], index: AnyIndex, partial: Set[str] = frozenset()) -> "Manifest":
        """The same index covering `folders` (absolute, by key), from now on; of the `partial` ones some files only."""
        roots = (Root.at(key, folder, index, partial=key in partial) for key, folder in folders.items())
        return replace(self, roots=tuple(roots), updated="")


def write_manifest(manifest: Manifest, file: Path) -> None:
    """Put the manifest into `file` in one step, and that of an index into its copy, too."""
    text = json.dumps(asdict(manifest), indent=2) + "\n"
    write_text(file, text)
    if file.name == MANIFEST_FILE:
        write_text(IndexLocation(file.parent).manifest_copy, text)


def restore_manifest(index: IndexLocation) -> bool:
    """Put the copy in the place of a manifest that is lost or damaged. For the holder of the writer's lock.

    Returns:
        Whether that was necessary, and possible.
    """
    with suppress(CocaSearchError):
        if find_manifest(index.manifest):
            return False
    with suppress(CocaSearchError):
        if copy := find_manifest(index.manifest_copy):
            write_manifest(copy, index.manifest)
            return True
    return False


def read_manifest(index: AnyIndex, *, to_rebuild: bool = False) -> Manifest:
    """The manifest of an index.

    Args:
        index: The index.
        to_rebuild: Whether one of an older schema will do.

    Raises:
        CocaSearchError: No index there, or one that is damaged or from a newer or an older cocasearch.
    """
    manifest = find_manifest(IndexLocation.of(index).manifest)
    if manifest is None:
        names = [repr(index_name(folder)) for folder in list_indexes()]
        shown_names = ", ".join(names[:_NAMED]) + (f" and {len(names) - _NAMED:,} more" if names[_NAMED:] else "")
        there_is = f"; there {'is' if len(names) == 1 else 'are'} {shown_names}" if names else ""
        message = f"no index '{index_name(index)}' at {index}"
        raise CocaSearchError(shortened(message, 150) + shortened(there_is, 150), hint=index_command(index, "./photos"))
    if not to_rebuild:
        refuse_older(manifest, index)
    return manifest


def refuse_older(manifest: Manifest, index: AnyIndex) -> None:
    """Refuse an index whose table has not the columns of today.

    Raises:
        CocaSearchError: It has not; the hint is the command that rebuilds, which keeps what people have written.
    """
    if manifest.schema_version < SCHEMA_VERSION:
        raise CocaSearchError(
            f"index '{index_name(index)}' was written by an older cocasearch ({_schemas(manifest.schema_version)})",
            hint=index_command(index, "--rebuild"),
        )


def list_indexes() -> list[Path]:
    """The folders of all indexes that have a name."""
    files = (file for home in indexes_homes() for file in sorted(home.glob(f"*/{MANIFEST_FILE}")))
    return list({file.parent.resolve(): file.parent for file in files}.values())


def find_manifest(file: Path) -> Manifest | None:
    """The manifest in `file`, maybe of an older schema; None if there is no such file.

    A rebuild that an older cocasearch has begun is none: it is begun anew.

    Raises:
        CocaSearchError: It is damaged or from a newer cocasearch, or was there once, as its copy shows.
    """
    mended_by = index_command(file.parent, "--repair", command="verify")
    has_copy = file.name == MANIFEST_FILE and IndexLocation(file.parent).manifest_copy.exists()
    try:
        fields = parse_json(file.read_text(encoding="utf-8"))
        if (version := fields["schema_version"]) > SCHEMA_VERSION:
            message = f"the index at {file.parent} was written by a newer cocasearch ({_schemas(version)})"
            raise CocaSearchError(message, hint="pip install --upgrade cocasearch")
        if version < SCHEMA_VERSION:
            fields = {name: fields[name] for name in Manifest.__dataclass_fields__ if name in fields}
        manifest = _refuse_odd(build(Manifest, fields))
        return None if version < SCHEMA_VERSION and file.name == REBUILD_FILE else manifest
    except (FileNotFoundError, NotADirectoryError) as error:
        if has_copy:
            raise CocaSearchError(f"the index manifest {file} is lost", hint=mended_by) from error
        return None
    except OSError as error:
        raise CocaSearchError(f"the index manifest {file} cannot be read: {error.strerror}") from error
    except (ValueError, TypeError, KeyError) as error:
        is_mendable = has_copy or file.name == REBUILD_FILE  # then the index itself is fine
        hint = mended_by if is_mendable else "put back a copy of it, or index into another folder: --index FOLDER"
        raise CocaSearchError(f"the index manifest {file} is damaged: {error}", hint=hint) from error


def find_rebuild(index: AnyIndex) -> Manifest | None:
    """The manifest of a rebuild that has not been completed; None if there is none.

    Raises:
        CocaSearchError: It is damaged or from a newer cocasearch.
    """
    location = IndexLocation.of(index)
    pending, present = find_manifest(location.rebuild_manifest), find_manifest(location.manifest)
    is_published = pending and present and pending.table == present.table  # by a run that was killed before its end
    return None if is_published else pending


def check_model(manifest: Manifest, fingerprint: str, model_name: str, index: AnyIndex) -> None:
    """Refuse a model other than the one that made the index: their vectors cannot be compared.

    Raises:
        CocaSearchError: The fingerprints differ; the hint is the command that rebuilds.
    """
    if fingerprint != manifest.model_fingerprint:
        built_with = f"{manifest.model_name}@{manifest.model_fingerprint}"
        raise CocaSearchError(
            f"index '{index_name(index)}' was built with model {built_with}, not with {model_name}@{fingerprint}",
            hint=index_command(index, "--rebuild", "--model", shlex.quote(model_name)),
        )


def index_name(index: AnyIndex) -> str:
    """What its user calls an index: a name where a name leads there, else the folder."""
    folder = IndexLocation.of(index).folder
    if folder.absolute() == index_folder(folder.name).absolute():
        return folder.name
    return str(folder) if is_folder_like(str(folder)) else f"./{folder}"


def index_command(index: AnyIndex, *arguments: str, command: str = "index") -> str:
    """The command that indexes, or does something else, with `arguments` in an index."""
    name = index_name(index)
    option = () if name == DEFAULT_INDEX else ("--index", shlex.quote(name))
    return " ".join(("cocasearch", command, *arguments, *option))


def follow_command(index: AnyIndex, folder: Path) -> str:
    """How to go on where a folder of an index is not there, or does not hold its photos."""
    follow = index_command(index, shlex.quote(shortened(str(folder), 120)), "NEW", command="reroot")
    return f"if they have moved together: {follow}; if their drive is away, nothing is lost"


def exclude_of(path: Path) -> str:
    """The pattern that leaves out one file or folder (absolute) with all below it."""
    return glob.escape(path.as_posix())


def _rebased(paths: Iterable[str], old: str, new: str) -> tuple[str, ...]:
    return tuple(new + path[len(old) :] if f"{path}/".startswith(f"{old}/") else path for path in paths)


def _refuse_odd(manifest: Manifest) -> Manifest:
    """Raises ValueError where it names what cannot be a table: its folder may be deleted for another one."""
    if not re.fullmatch(r"\w[\w-]*", manifest.table) or not 1 <= manifest.dimension <= _LARGEST_DIMENSION:
        raise ValueError(f"there is no table '{shown(manifest.table)}' of {manifest.dimension} numbers a row")
    return manifest


def _schemas(version: int) -> str:
    return f"schema {version}, this one knows {SCHEMA_VERSION}"
