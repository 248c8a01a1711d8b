"""Model names: which folder each stands for.

A name is a folder under the user's models, or `coca-mini`, which comes with the package. Anything that looks like a
folder is taken as one.
"""

import difflib
from dataclasses import dataclass
from pathlib import Path

from cocasearch.checkpoints.storage import CONFIG_FILE
from cocasearch.errors import CocaSearchError
from cocasearch.paths import bundled_model_folder, is_folder_like, models_home

BUNDLED = "coca-mini"


@dataclass(frozen=True)
class KnownModel:
    """A model that is on this machine."""

    name: str
    folder: Path

    @property
    def size(self) -> int:
        """Bytes on disk."""
        return sum(file.stat().st_size for file in self.folder.rglob("*") if file.is_file())


def list_models() -> list[KnownModel]:
    """Every model on this machine that has a name, the bundled one first."""
    home, bundled = models_home(), bundled_model_folder()
    models = [KnownModel(BUNDLED, bundled)] if (bundled / CONFIG_FILE).is_file() else []
    folders = sorted(home.iterdir()) if home.is_dir() else []
    models += [KnownModel(folder.name, folder) for folder in folders if (folder / CONFIG_FILE).is_file()]
    return models


def resolve_model(name_or_folder: str | Path | None) -> Path:
    """The folder of a model: by name, as a folder, or the bundled one for None.

    Raises:
        CocaSearchError: There is no such model; the message names the ones there are.
    """
    if name_or_folder is None:
        return bundled_model_folder()
    by_name = {model.name: model.folder for model in list_models()}
    name = str(name_or_folder)
    if name in by_name:
        return by_name[name]
    folder = Path(name).expanduser()
    if folder.is_dir():
        return folder
    if isinstance(name_or_folder, Path) or is_folder_like(name):
        raise CocaSearchError(f"there is no model folder {folder}", hint="cocasearch models list")
    nearest = difflib.get_close_matches(name, by_name, n=1)
    suggestion = f"did you mean '{nearest[0]}'?" if nearest else f"there are: {', '.join(by_name) or 'none'}"
    raise CocaSearchError(f"unknown model '{name}'; {suggestion}", hint="cocasearch models list")


def name_of(folder: Path) -> str:
    """What `resolve_model` finds a model folder by, from anywhere: its registered name, or its absolute path."""
    place = folder.resolve()
    return next((model.name for model in list_models() if model.folder.resolve() == place), str(place))
