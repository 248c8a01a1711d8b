"""Reading and writing of model folders: `config.json`, `model.safetensors`, `tokenizer.json` and `README.md`.

A model that was trained here has `words.tsv` beside them, with the words it was trained on. One that was calibrated has
`confidence.json`, which says how far its captions can be trusted.

Bundled, pulled, imported and trained models are all stored alike. A folder is written beside its place and renamed, so
that it is either whole or not there.
"""

import hashlib
import json
import re
import shutil
import tempfile
import time
import warnings
from collections.abc import Callable, Collection
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode

from cocasearch.checkpoints.confidence_file import ConfidenceModel, usable_confidence
from cocasearch.checkpoints.disk_space import ELSEWHERE, writing
from cocasearch.checkpoints.folder_replacing import put_in_place, replace_folder
from cocasearch.checkpoints.model_files import (
    ALL_FILES,
    CARD_FILE,
    CONFIG_FILE,
    MOST_CONFIG_BYTES,
    TOKENIZER_FILE,
    WEIGHTS_FILE,
    WORDS_FILE,
)
from cocasearch.checkpoints.weights_file import open_weights, write_weights
from cocasearch.errors import CocaSearchError, CocaSearchWarning
from cocasearch.images.transforms import PreprocessConfig
from cocasearch.json_values import read_json, shown
from cocasearch.model.coca import TOWERS, CoCa, Tower
from cocasearch.model.config import CoCaConfig, VisionTransformerConfig
from cocasearch.paths import models_home
from cocasearch.text.known_words import KnownWords
from cocasearch.text.tokenizer import Tokenizer

FORMAT = 1
_FINGERPRINT = re.compile(r"[\w.-]{1,64}", re.ASCII)
_SURELY_LEFT_BEHIND_SECONDS = 3600.0
StorageDtype = Literal["float32", "float16", "bfloat16"]


@dataclass(frozen=True)
class ModelFolder:
    """A model folder that was read, except for its weights.

    `fingerprint` names the weights together with everything that changes their vectors: architecture,
    preprocessing and tokenizer.
    """

    folder: Path
    config: CoCaConfig
    preprocess: PreprocessConfig
    tokenizer: Tokenizer
    fingerprint: str
    provenance: dict[str, Any] = field(default_factory=dict)

    def read_confidence(self) -> ConfidenceModel | None:
        """The model of its captions' confidence; None if these weights were never calibrated.

        A file that cannot be used leads to a warning and None, since the model works without it.
        """
        return usable_confidence(self.folder, self.fingerprint)

    def read_words(self) -> KnownWords | None:
        """The words that the model was trained on; None if the folder does not have them, as of published models.

        A file that cannot be read leads to a warning and None, since the model works without it.
        """
        try:
            return KnownWords.read(self.folder / WORDS_FILE)
        except CocaSearchError as error:
            message = f"{error}, so models made from this one do not say which words they know"
            warnings.warn(message, CocaSearchWarning, stacklevel=2)
            return None

    def load_model(
        self, *, dtype: torch.dtype = torch.float32, towers: Collection[Tower] = tuple(TOWERS), mapped: bool = True
    ) -> CoCa:
        """The model in evaluation mode.

        Args:
            dtype: Number type that it computes in, see `CoCa.to_dtype`.
            towers: The parts to load; using another raises CocaSearchError.
            mapped: Whether weights that are stored in `dtype` stay on disk until they are used.

        Raises:
            CocaSearchError: The weights are damaged or do not fit the config.
        """
        with torch.device("meta"), _NoInitialValues():
            model = CoCa(self.config)
        with open_weights(self.folder / WEIGHTS_FILE, mapped=mapped) as stored:
            _check_fit(self.folder, model.state_dict(), stored.shapes)
            model.to_dtype(dtype)
            model.unload(TOWERS.keys() - set(towers))
            weights = {name: stored.read(name).to(value.dtype) for name, value in model.state_dict().items()}
        model.load_state_dict(weights, assign=True)
        return model.eval()


def save_model_folder(
    folder: Path,
    state_dict: dict[str, Tensor],
    *,
    config: CoCaConfig,
    preprocess: PreprocessConfig,
    tokenizer: Tokenizer,
    provenance: dict[str, Any],
    card: str = "",
    dtype: StorageDtype = "float16",
    words: KnownWords | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> str:
    """Write a model folder, replacing an older one, and return its fingerprint.

    The `confidence.json` of an older one is removed, since it does not hold for new weights.

    Args:
        folder: The place of the model folder.
        state_dict: The weights, on any device.
        config: The architecture.
        preprocess: How images become model input.
        tokenizer: The tokenizer.
        provenance: What the model was made from; shown by `models info`.
        card: The README; a short one by default.
        dtype: Number type in which the weights are stored; they are converted one by one.
        words: The words that it was trained on, if all are known; they are no part of the fingerprint.
        progress: Called with the bytes written and the bytes in all.

    Raises:
        CocaSearchError: Something other than a model is at `folder`, or it cannot be written; nothing has changed then.
    """
    refuse_to_replace(folder)
    elsewhere = ELSEWHERE if folder.is_relative_to(models_home()) else "--out NEW_FOLDER"
    with writing(folder, elsewhere):
        folder.parent.mkdir(parents=True, exist_ok=True)
        _remove_left_behind(folder)
        staging = Path(tempfile.mkdtemp(prefix=f".{folder.name}.", dir=folder.parent))
    try:
        with writing(folder, elsewhere):
            write_weights(state_dict, staging / WEIGHTS_FILE, getattr(torch, dtype), progress)
            tokenizer.save(staging / TOKENIZER_FILE)
            described = {
                "format": FORMAT,
                "architecture": config.to_dict(),
                "preprocessing": preprocess.to_dict(),
                "provenance": provenance,
            }
            fingerprint = _fingerprint(staging, described)
            text = json.dumps({**described, "fingerprint": fingerprint}, indent=2)
            (staging / CONFIG_FILE).write_text(text + "\n", encoding="utf-8")
            card = card or f"# {folder.name}\n\nA CoCa model of cocasearch.\n"
            (staging / CARD_FILE).write_text(card, encoding="utf-8")
            if words is not None:
                words.write(staging / WORDS_FILE)
            staging.chmod(0o755)
            replace_folder(staging, folder)
    except BaseException:
        shutil.rmtree(staging, ignore_errors=True)
        raise
    return fingerprint


def refuse_to_replace(folder: Path) -> None:
    """Make sure that a model folder may be written at `folder`: nothing is there, or only a model.

    Raises:
        CocaSearchError: Something else is there, which replacing would destroy.
    """
    put_in_place(folder.parent, folder.name)
    if not folder.exists() or (folder.is_dir() and not any(folder.iterdir())):
        return
    if not (folder.is_dir() and holds_model(folder)):
        raise CocaSearchError(f"{folder} is there already and is no model folder, so it is not replaced")
    if foreign := sorted(_visible(folder) - ALL_FILES):
        raise CocaSearchError(f"{folder} is not replaced: it also holds {foreign[0]}, which is no part of a model")


def holds_model(folder: Path) -> bool:
    """Whether a folder has a config like those of `save_model_folder`. That does not prove that the model is whole."""
    try:
        described = read_json(folder / CONFIG_FILE, MOST_CONFIG_BYTES)
    except (OSError, ValueError):
        return False
    return isinstance(described, dict) and described.keys() >= {"format", "architecture", "fingerprint"}


def read_model_folder(folder: Path) -> ModelFolder:
    """The contents of a model folder, except for its weights.

    Raises:
        CocaSearchError: A file is missing or malformed, or the tokenizer is another model's.
    """
    missing = [name for name in (CONFIG_FILE, WEIGHTS_FILE, TOKENIZER_FILE) if not (folder / name).is_file()]
    if missing:
        raise CocaSearchError(f"{folder} is not a model folder: it has no {' and no '.join(missing)}")
    try:
        described = read_json(folder / CONFIG_FILE, MOST_CONFIG_BYTES)
        if described["format"] != FORMAT:
            found = shown(described["format"])
            raise CocaSearchError(f"{folder} has model format {found}; this version reads {FORMAT}")
        config = CoCaConfig.from_dict(described["architecture"])
        preprocess = PreprocessConfig.from_dict(described["preprocessing"])
        fingerprint, provenance = described["fingerprint"], described.get("provenance", {})
    except OSError as error:
        raise CocaSearchError(f"cannot read {folder / CONFIG_FILE}: {error.strerror}") from error
    except ValueError as error:
        raise CocaSearchError(f"{folder / CONFIG_FILE} is not JSON: {error}") from error
    except KeyError as error:
        raise CocaSearchError(f"{folder / CONFIG_FILE} is not a model config: it lacks {error}") from error
    except TypeError as error:
        raise CocaSearchError(f"{folder / CONFIG_FILE} is not a model config") from error
    if not (isinstance(fingerprint, str) and _FINGERPRINT.fullmatch(fingerprint) and isinstance(provenance, dict)):
        raise CocaSearchError(f"{folder / CONFIG_FILE} is not a model config: its fingerprint or provenance is none")
    _refuse_other_images(folder, config, preprocess)
    tokenizer = load_tokenizer(folder / TOKENIZER_FILE, config)
    return ModelFolder(folder, config, preprocess, tokenizer, fingerprint, provenance)


def _refuse_other_images(folder: Path, config: CoCaConfig, preprocess: PreprocessConfig) -> None:
    """Make sure that preprocessing makes images of the size for which the model has positions."""
    image, side = config.image, preprocess.image_size
    if isinstance(image, VisionTransformerConfig) and side // image.patch_size != image.grid_size:
        raise CocaSearchError(f"{folder} makes images of {side} pixels for a model that sees {image.image_size}")


def load_tokenizer(file: Path, config: CoCaConfig) -> Tokenizer:
    """The tokenizer stored in `file`, checked to fit the architecture.

    Raises:
        CocaSearchError: It cannot be read, has tokens that the model does not know, or pads with another id.
    """
    tokenizer, text = Tokenizer.load(file), config.text
    if tokenizer.vocab_size > text.vocab_size:
        raise CocaSearchError(f"{file} has {tokenizer.vocab_size} tokens, of which the model knows {text.vocab_size}")
    if tokenizer.pad_id != text.pad_id:
        raise CocaSearchError(f"{file} pads with token {tokenizer.pad_id}, the model with {text.pad_id}")
    return tokenizer


# Of torch.nn.init and of tensors, which go by the same names.
_FILLING = {"normal_", "uniform_", "kaiming_normal_", "kaiming_uniform_", "fill_", "zero_", "constant_"}


class _NoInitialValues(TorchFunctionMode):
    """A mode in which modules leave their parameters unfilled, since stored weights are about to replace them.

    Filling takes most of the time of a load: even on the meta device it imports torch's compiler.
    """

    def __torch_function__(
        self, func: Callable[..., Any], types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        if func.__name__ in _FILLING:
            return args[0] if args else (kwargs or {})["tensor"]
        return func(*args, **(kwargs or {}))


def _check_fit(folder: Path, state_dict: dict[str, Tensor], stored: dict[str, tuple[int, ...]]) -> None:
    problems = [
        f"{name} is {stored[name]}, not {tuple(value.shape)}" if name in stored else f"{name} is missing"
        for name, value in state_dict.items()
        if stored.get(name) != value.shape
    ]
    problems += [f"{name} is not part of it" for name in sorted(stored.keys() - state_dict.keys())]
    if problems:
        raise CocaSearchError(f"the weights in {folder} do not fit its config: {problems[0]}")


def _fingerprint(folder: Path, described: dict[str, Any]) -> str:
    digest = hashlib.blake2b(digest_size=8)
    parts = {name: described[name] for name in ("architecture", "preprocessing")}
    digest.update(json.dumps(parts, sort_keys=True).encode())
    for name in (TOKENIZER_FILE, WEIGHTS_FILE):
        with (folder / name).open("rb") as file:
            while block := file.read(1 << 22):
                digest.update(block)
    return digest.hexdigest()


def _visible(folder: Path) -> set[str]:
    return {file.name for file in folder.iterdir() if not file.name.startswith(".")}


def _remove_left_behind(folder: Path) -> None:
    """Remove what killed writers of this folder left beside it, but nothing that may still be written."""
    for staging in folder.parent.iterdir():
        if not re.fullmatch(rf"\.{re.escape(folder.name)}\.(old\.)?\w{{8}}", staging.name):  # as mkdtemp names them
            continue
        if ".old." in staging.name and not folder.exists():
            continue  # the model itself, of a writer killed at the worst moment
        times = [file.stat().st_mtime for file in (staging, *staging.iterdir())] if staging.is_dir() else []
        if times and time.time() - max(times) > _SURELY_LEFT_BEHIND_SECONDS:
            shutil.rmtree(staging, ignore_errors=True)
