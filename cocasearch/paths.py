"""Where indexes and models live: the only place that decides it.

Indexes are folders under `$COCASEARCH_INDEXES`, the nearest `indexes` upwards from the current folder, or the user's
data folder (or `$COCASEARCH_HOME`); models are under the latter alone. A name with a path separator, `.` or `~` in
front is a folder itself.
"""

import os
import sys
from pathlib import Path

from cocasearch.errors import CocaSearchError

PACKAGE = Path(__file__).parent
_BESIDE = Path("indexes")


def indexes_homes() -> list[Path]:
    """The folders that named indexes are looked for in, in this order; not all of them need be there."""
    given = os.environ.get("COCASEARCH_INDEXES")
    here = Path.cwd()
    around = next(filter(Path.is_dir, (folder / "indexes" for folder in (here, *here.parents))), None)
    homes = [expand_home(Path(given))] if given else []
    if around is not None:
        homes.append(_BESIDE if around.parent == here else around)
    return [*homes, _home() / "indexes"]


def models_home() -> Path:
    """The folder that holds named models, one folder each."""
    return _home() / "models"


def shards_home() -> Path:
    """The folder that keeps shards of training data fetched from object stores."""
    return _home() / "shards"


def reported_model_file() -> Path:
    """The file with the name of the model that the user has last been told is taken where none is named."""
    return _home() / "told-model"


def index_folder(name_or_folder: str) -> Path:
    """The folder of an index given by name or as a folder; of a name that none has, the one to be.

    That is made in `$COCASEARCH_INDEXES` or, if there is such a folder, in `./indexes`, else in the user's data folder.
    """
    if is_folder_like(name_or_folder):
        return expand_home(Path(name_or_folder))
    homes = indexes_homes()
    is_for_new = os.environ.get("COCASEARCH_INDEXES") or homes[0] == _BESIDE
    new = homes[0 if is_for_new else -1] / name_or_folder
    return next(filter(Path.is_dir, (home / name_or_folder for home in homes)), new)


def is_folder_like(name_or_folder: str) -> bool:
    """Whether the user wrote a folder (`./x`, `/x`, `a/b`, `~/x`) and not a bare name."""
    separators = {"/", os.sep, os.altsep or "/"}
    return name_or_folder.startswith((".", "~")) or any(mark in name_or_folder for mark in separators)


def expand_home(path: Path) -> Path:
    """The path with a leading `~` or `~user` put in full.

    Raises:
        CocaSearchError: There is no such user.
    """
    try:
        return path.expanduser()
    except RuntimeError as error:
        raise CocaSearchError(
            f"no home folder is known for {path.parts[0]}", hint=f"if it is a name: ./{path}"
        ) from error


def bundled_model_folder() -> Path:
    """The folder of coca-mini, the model that comes with the package."""
    return PACKAGE / "assets" / "coca-mini"


def sample_photos_folder() -> Path:
    """The folder of the photographs that come with the package."""
    return PACKAGE / "assets" / "photos"


def sample_captions_file() -> Path:
    """What people say about those photographs: a table of captions, the first of each photograph its name."""
    return sample_photos_folder() / "captions.tsv"


def _home() -> Path:
    if home := os.environ.get("COCASEARCH_HOME"):
        return expand_home(Path(home))
    return _user_data_home() / "cocasearch"


def _user_data_home() -> Path:
    if sys.platform == "win32":
        return Path(os.environ.get("LOCALAPPDATA") or Path.home() / "AppData" / "Local")
    if sys.platform == "darwin":
        return Path.home() / "Library" / "Application Support"
    return Path(os.environ.get("XDG_DATA_HOME") or Path.home() / ".local" / "share")
