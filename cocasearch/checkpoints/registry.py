"""Model names: the folder that each stands for, and the model that is used by default.

A name is a folder under the user's models, or `coca-mini`, which comes with the package. Anything that looks like a
folder is taken as one. The names of published models that are not here yet are in `catalogue`.
"""

import difflib
from dataclasses import dataclass
from pathlib import Path

from cocasearch.checkpoints.folder_replacing import put_in_place
from cocasearch.checkpoints.hub.catalogue import PUBLISHED, PublishedModel, find_published
from cocasearch.checkpoints.model_files import CONFIG_FILE, MOST_CONFIG_BYTES
from cocasearch.errors import CocaSearchError
from cocasearch.json_values import read_json
from cocasearch.paths import bundled_model_folder, expand_home, is_folder_like, models_home

BUNDLED = "coca-mini"


@dataclass(frozen=True)
class KnownModel:
    """A model with a name: on this machine, or published and still to be pulled (`folder` is None then)."""

    name: str
    folder: Path | None
    published: PublishedModel | None = None

    @property
    def size(self) -> int:
        """Its size in bytes on disk, or of the download."""
        if self.folder is None:
            return self.published.download_size if self.published else 0
        return sum(file.stat().st_size for file in self.folder.rglob("*") if file.is_file())


def list_models() -> list[KnownModel]:
    """The models on this machine that have a name, the bundled one first."""
    home, bundled = models_home(), bundled_model_folder()
    put_in_place(home)
    models = [KnownModel(BUNDLED, bundled)] if (bundled / CONFIG_FILE).is_file() else []
    folders = sorted(home.iterdir()) if home.is_dir() else []
    shown = (folder for folder in folders if not folder.name.startswith(".") and (folder / CONFIG_FILE).is_file())
    return models + [KnownModel(folder.name, folder, _published_as(folder)) for folder in shown]


def list_known_models() -> list[KnownModel]:
    """The models on this machine, then the published ones that are not here, best first."""
    here = list_models()
    names = {model.name for model in here}
    return here + [KnownModel(model.name, None, model) for model in PUBLISHED if model.name not in names]


def resolve_model(name_or_folder: str | Path | None) -> Path:
    """The folder of a model, given by name or as a folder; the best model on this machine for None.

    Raises:
        CocaSearchError: There is no such model; the message names the ones there are, or how to get it.
    """
    if name_or_folder is None:
        return best_model().folder or bundled_model_folder()
    by_name = {model.name: model.folder for model in list_models() if model.folder}
    name = str(name_or_folder)
    if name in by_name:
        return by_name[name]
    folder = expand_home(Path(name))
    put_in_place(folder.parent, folder.name)
    if folder.is_dir():
        return folder
    if isinstance(name_or_folder, Path) or is_folder_like(name):
        raise CocaSearchError(f"there is no model folder {folder}", hint="cocasearch models list")
    if published := find_published(name):
        hint = f"cocasearch models pull {published.name}"
        raise CocaSearchError(f"the model '{published.name}' is not on this machine yet", hint=hint)
    nearest = difflib.get_close_matches(name, by_name, n=1)
    suggestion = f"did you mean '{nearest[0]}'?" if nearest else f"there are: {', '.join(by_name) or 'none'}"
    raise CocaSearchError(f"unknown model '{name}'; {suggestion}", hint="cocasearch models list")


def best_model() -> KnownModel:
    """The default model: the best published one that is here, else the bundled one.

    The catalogue is ordered by published figures. A model with a warning is never the default, nor is one that the user
    trained or imported under a name of its own, since only its maker knows what it is good for.
    """
    here = {model.published: model for model in list_models() if model.published and not model.published.warning}
    return next((here[model] for model in PUBLISHED if model in here), KnownModel(BUNDLED, bundled_model_folder()))


def name_of(folder: Path) -> str:
    """The name by which `resolve_model` finds a model folder from anywhere: a registered name or an absolute path."""
    resolved = folder.resolve()
    return next(
        (model.name for model in list_models() if model.folder and model.folder.resolve() == resolved), str(resolved)
    )


def _published_as(folder: Path) -> PublishedModel | None:
    """The published model in a folder of its name; None if its weights are others, such as trained ones."""
    model = next((model for model in PUBLISHED if model.name == folder.name), None)
    if model is None:
        return None
    try:
        provenance = read_json(folder / CONFIG_FILE, MOST_CONFIG_BYTES)["provenance"]
        return model if provenance["imported_from"] and provenance["architecture"] == model.architecture else None
    except (OSError, ValueError, KeyError, TypeError):
        return None
