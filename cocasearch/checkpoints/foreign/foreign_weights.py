"""Reading of foreign weight files (`.safetensors`, `.bin`, `.pt`) without running anything in them.

Tensors are mapped into memory where the format allows it. The kind of a file shows in its first bytes.
"""

import io
import pickle
import re
import warnings
import zipfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file
from torch import Tensor

from cocasearch.checkpoints.foreign.pickle_checks import MOST_BYTES, refuse_slow_pickle
from cocasearch.errors import CocaSearchError, first_line

_DOWNLOAD_AGAIN = "download it again"
_ZIP, _PICKLE, _LFS = b"PK", b"\x80", b"version https://git-lfs"
_PICKLES = 5  # at most, at the beginning of a file of no archive: who wrote it, the tensors, and where they lie
_REFUSED = re.compile(r"GLOBAL ([\w.]+)")
_WRAPPERS = ("state_dict", "model_state_dict", "model")  # of training checkpoints


def read_foreign_weights(file: Path) -> dict[str, Tensor]:
    """The state dict in a file: bare, or inside a training checkpoint.

    Raises:
        CocaSearchError: The file cannot be read, is cut off, or holds something other than weights.
    """
    try:
        with file.open("rb") as opened:
            start = opened.read(len(_LFS))
    except OSError as error:
        raise CocaSearchError(f"cannot read the weights {file}: {error.strerror}") from error
    if start.startswith(_ZIP):
        _refuse_odd_archive(file)
        return _state_dict(file, _load_pickled(file, memory_map=True))
    if start.startswith(_PICKLE):
        with suppress(ValueError, IndexError), file.open("rb") as opened:  # whoever reads it tells what is wrong
            for _ in range(_PICKLES):
                refuse_slow_pickle(file, opened)
        return _state_dict(file, _load_pickled(file, memory_map=False))
    if start[8:9] == b"{":
        with _reporting_damage(file):
            return load_file(file)
    raise CocaSearchError(f"{file} is no weights file: {_nature(start)}", hint=_DOWNLOAD_AGAIN)


def _nature(start: bytes) -> str:
    if not start.strip(b"\0"):
        return "it is empty" if not start else "it begins with zeros, as files do whose writing was broken off"
    if start.startswith(_LFS):
        return "it is the pointer that Git LFS puts in a file's place, not the file"
    if start.lstrip().startswith(b"<"):
        return "it is a web page"
    return f"it begins with {start[:12]!r}"


@contextmanager
def _reporting_damage(file: Path) -> Iterator[None]:
    """Turn whatever a damaged byte leads to into one sentence: libraries raise RuntimeError, EOFError, KeyError, …"""
    try:
        yield
    except (CocaSearchError, pickle.UnpicklingError):
        raise
    except Exception as error:
        reason = first_line(error)[:150] if str(error) else "it ends too early"
        raise CocaSearchError(f"{file} is cut off or damaged: {reason}", hint=_DOWNLOAD_AGAIN) from error


def _refuse_odd_archive(file: Path) -> None:
    """Refuse archives that torch.save never wrote: those that grow when they are unpacked, and TorchScript's."""
    with _reporting_damage(file), zipfile.ZipFile(file) as archive:
        members = archive.infolist()
    if sum(member.file_size for member in members) > file.stat().st_size:
        raise CocaSearchError(f"{file} is no weights file: it would grow when it is unpacked")
    for member in members:
        if member.filename.lower().endswith("data.pkl"):
            if member.file_size > MOST_BYTES:
                raise CocaSearchError(f"{file} is no weights file: it says too much beside its tensors")
            with _reporting_damage(file), zipfile.ZipFile(file) as archive:
                refuse_slow_pickle(file, io.BytesIO(archive.read(member)))
    if any(member.filename.endswith("/constants.pkl") for member in members):
        raise CocaSearchError(
            f"{file} is a TorchScript program, which cannot be read without running it",
            hint="get its weights alone; if you trust it: torch.save(torch.jit.load(FILE).state_dict(), 'weights.pt')",
        )


def _load_pickled(file: Path, *, memory_map: bool) -> Any:
    try:
        with _reporting_damage(file), warnings.catch_warnings():
            warnings.simplefilter("ignore")  # remarks on a pickle's protocol, for the writer of the file
            return torch.load(file, map_location="cpu", weights_only=True, mmap=memory_map)
    except pickle.UnpicklingError as error:
        refused = _REFUSED.search(str(error))
        what = f"it would call {refused[1]}" if refused else "it holds more than weights"
        raise CocaSearchError(
            f"{file} is not loaded: {what}, which could do anything on this machine",
            hint="get the weights alone, best as .safetensors",
        ) from error


def _state_dict(file: Path, loaded: Any) -> dict[str, Tensor]:
    inner = next((loaded[key] for key in _WRAPPERS if key in loaded), loaded) if isinstance(loaded, Mapping) else loaded
    named = inner.items() if isinstance(inner, Mapping) else ()
    weights = {str(key): value for key, value in named if isinstance(value, Tensor)}
    if not weights:
        raise CocaSearchError(f"{file} holds no weights but a {type(loaded).__name__}")
    return weights
