"""What the frozen part of an image encoder makes of a run's pictures, computed once and read in every step after.

A run whose encoder is frozen, or frozen up to a block, spends most of its time computing the same numbers again. With
`fixed_views` there are only so many views of each picture, and with `cache_features` the frozen part's output of each
is written to a file, in float16, and mapped into memory. Computing them anew in every step is the slow way that gives
the same numbers but for that rounding.
"""

import copy
import hashlib
import json
import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from cocasearch.atomic_files import flush_to_disk, write_text
from cocasearch.checkpoints.disk_space import refuse_small_disks, writing
from cocasearch.errors import CocaSearchError
from cocasearch.json_values import parse_json
from cocasearch.lock import LOCK_FILE, writer_lock
from cocasearch.model.efficientnet_lite import EfficientNetLite
from cocasearch.training.config import TrainingConfig

_ROWS, _KEYS, _ABOUT = "features.f16", "keys.u64", "features.json"
_FILES = (_ROWS, _KEYS)
_KEY_BYTES = 8
_ELSEWHERE = "--set feature_folder=FOLDER"
Batches = Callable[[Sequence[int]], Iterable[tuple[Sequence[int], Sequence[Tensor | str]]]]


class FrozenPart:
    """The part of an image encoder that a run does not change, apart from the part that it does.

    Args:
        encoder: The run's own image encoder, whose weights the rest of it goes on with.
        config: What says how much of it is frozen.
        dtype: What the frozen part is computed in.

    Raises:
        CocaSearchError: The run changes all of it.
    """

    def __init__(self, encoder: nn.Module, config: TrainingConfig, dtype: torch.dtype | None = None) -> None:
        is_whole = not any(p.requires_grad for p in encoder.parameters()) or config.keeps_image_encoder
        self.blocks = None if is_whole else config.freezing.frozen_blocks
        if self.blocks is not None and not (isinstance(encoder, EfficientNetLite) and self.blocks):
            raise CocaSearchError(
                "cache_features=true needs a part of the image encoder that the run never changes",
                hint="frozen_epochs=inf freezes all of it; of a convolutional one, frozen_blocks=11 freezes some",
            )
        self._encoder = encoder
        self._frozen = copy.deepcopy(encoder).requires_grad_(False).eval()
        if dtype is not None and isinstance(self._frozen, EfficientNetLite):
            self._frozen.to_dtype(dtype)

    @property
    def digest(self) -> str:
        """Names the frozen part: equal ones make equal features, also once they went through a model folder."""
        narrow = next(reversed(list(self._frozen.parameters()))).dtype
        digest = hashlib.blake2b(f"{self.blocks} {narrow}".encode())
        for name, value in self._encoder.state_dict().items():  # before any was narrowed
            part, _, rest = name.partition(".")
            if self.blocks is None or part == "stem" or (part == "blocks" and int(rest.split(".")[0]) < self.blocks):
                stored = value.half().cpu().contiguous() + 0.0  # there is one zero, not a positive and a negative one
                digest.update(name.encode() + stored.numpy().tobytes())
        return digest.hexdigest()[:16]

    @torch.no_grad()
    def features(self, pixels: Tensor) -> Tensor:
        """What the frozen part makes of pixels (B, 3, S, S): tokens (B, N, D), or feature maps (B, C, H, W)."""
        features: Tensor
        if self.blocks is None:
            features = self._frozen(pixels)
        else:
            assert isinstance(self._frozen, EfficientNetLite)
            features = self._frozen.feature_maps(pixels, self.blocks)
        return features.half()

    def tokens(self, features: Tensor, encoder: nn.Module | None = None) -> Tensor:
        """The image encoder's tokens (B, N, D) of such features, with gradients for what is trained.

        Args:
            features: What `features` made.
            encoder: Another encoder with the same frozen part, such as a teacher's.
        """
        if self.blocks is None:
            return features.float()
        rest = encoder or self._encoder
        assert isinstance(rest, EfficientNetLite)
        return rest.tokens(features.float(), self.blocks)


class FeatureFile:
    """The features of many views, a row each, found by the view's key.

    It only grows, so any run can go on with it, and several can read it while one of them adds to it.

    Args:
        folder: Where the rows are, or will be, with their keys and what they are of: each kind in a folder of its own.
        identity: What all rows of a kind have in common.
    """

    def __init__(self, folder: Path, identity: Mapping[str, Any]) -> None:
        described = json.dumps(identity, sort_keys=True)
        self._folder = folder / hashlib.blake2b(described.encode(), digest_size=8).hexdigest()
        self._identity = json.loads(described)
        self._shape: list[int] = []
        self._unreadable: dict[int, str] = {}
        self._rows: np.memmap[Any, np.dtype[np.float16]] | None = None
        self._row_of: dict[int, int] = {}

    def fill(
        self,
        keys: Sequence[int],
        batches: Batches,
        compute: Callable[[Tensor], Tensor],
        progress: Callable[[int, int], None],
    ) -> None:
        """Compute the rows that are not there yet; stopped, it goes on where it was.

        Args:
            keys: Of all views that are wanted, 64 bits each.
            batches: For numbers of keys, gives some of them at a time with their pixels, or why there are none.
            compute: Pixels (B, 3, S, S) to features (B, ...) in float16.
            progress: Told views done and views in all.

        Raises:
            CocaSearchError: The disk is full or too small, a file cannot be written, or another run is writing there.
        """
        with self._alone():
            known = set(self._keys_there().tolist())  # what could not be read is tried again: a drive may be back
            missing = [number for number, key in enumerate(keys) if key not in known]
            done = len(keys) - len(missing)
            with (self._folder / _ROWS).open("ab") as rows, (self._folder / _KEYS).open("ab") as row_keys:
                for numbers, views in batches(missing):
                    good = [(keys[n], view) for n, view in zip(numbers, views, strict=True) if isinstance(view, Tensor)]
                    bad = {keys[n]: view for n, view in zip(numbers, views, strict=True) if isinstance(view, str)}
                    if good:
                        features = compute(torch.stack([view for _, view in good])).cpu()
                        self._note(list(features.shape[1:]), {}, room_for=len(keys) - done)
                        rows.write(features.numpy().tobytes())
                        rows.flush()
                        row_keys.write(np.array([key for key, _ in good], np.uint64).tobytes())
                        row_keys.flush()
                    self._note(self._shape, bad)
                    done += len(numbers)
                    progress(done, len(keys))
            for name in _FILES:
                flush_to_disk(self._folder / name)

    def open(self) -> None:
        """Map the filled file into memory, and change nothing: another run may be adding to it.

        Raises:
            CocaSearchError: It is not there.
        """
        if not self._find():
            raise CocaSearchError(
                f"the features of this run are not in {self._folder}",
                hint="let every process of the run see the same folder: --set feature_folder=FOLDER",
            )
        keys = self._keys_there()[: self._whole_rows()].tolist()
        self._row_of = {key: row for row, key in enumerate(keys)}
        if keys:
            self._rows = np.memmap(self._folder / _ROWS, np.float16, "r", shape=(len(keys), *self._shape))

    def row(self, key: int) -> Tensor | str:
        """The features of one view, or why there are none."""
        row = self._row_of.get(key)
        if row is None:
            return self._unreadable[key]
        assert self._rows is not None
        return torch.from_numpy(np.array(self._rows[row]))

    def drop(self) -> None:
        """Delete it."""
        self._rows = None
        for name in (_ROWS, _KEYS, _ABOUT, LOCK_FILE):
            (self._folder / name).unlink(missing_ok=True)
        with suppress(OSError):  # somebody else keeps something there
            self._folder.rmdir()
            self._folder.parent.rmdir()

    @property
    def _row_bytes(self) -> int:
        return 2 * int(np.prod(self._shape))

    @contextmanager
    def _alone(self) -> Iterator[None]:
        """Hold the right to write: go on with the rows that are there, or begin."""
        with writing(self._folder, _ELSEWHERE):
            self._folder.mkdir(parents=True, exist_ok=True)
            with writer_lock(self._folder, "feature folder", is_optional=True):
                if self._find():
                    rows = self._whole_rows()
                    os.truncate(self._folder / _ROWS, rows * self._row_bytes)  # what a kill cut short goes
                    os.truncate(self._folder / _KEYS, rows * _KEY_BYTES)
                else:
                    self._shape, self._unreadable = [], {}
                    (self._folder / _ABOUT).unlink(missing_ok=True)
                    for name in _FILES:
                        (self._folder / name).write_bytes(b"")
                yield

    def _find(self) -> bool:
        """Read what the rows that are there are of; whether there are any files, and of this kind."""
        if not all((self._folder / name).is_file() for name in _FILES):
            return False
        with suppress(OSError, ValueError, TypeError, KeyError, AttributeError):
            about = parse_json((self._folder / _ABOUT).read_text(encoding="utf-8"))
            unreadable = {int(key): str(reason) for key, reason in about["unreadable"].items()}
            if about["identity"] == self._identity and all(type(size) is int and size > 0 for size in about["shape"]):
                self._shape, self._unreadable = list(about["shape"]), unreadable
                return True
        return False

    def _whole_rows(self) -> int:
        if not self._shape:
            return 0
        sizes = [(self._folder / name).stat().st_size for name in (_ROWS, _KEYS)]
        return min(sizes[0] // self._row_bytes, sizes[1] // _KEY_BYTES)

    def _keys_there(self) -> NDArray[np.uint64]:
        return np.fromfile(self._folder / _KEYS, np.uint64)

    def _note(self, shape: list[int], unreadable: dict[int, str], room_for: int = 0) -> None:
        """Write down the shape of a row once it is known, and views that cannot be had."""
        if shape == self._shape and not unreadable:
            return
        self._shape = shape
        self._unreadable.update(unreadable)
        refuse_small_disks({self._folder: room_for * self._row_bytes if shape else 0})
        about = {"identity": self._identity, "shape": self._shape, "unreadable": self._unreadable}
        write_text(self._folder / _ABOUT, json.dumps(about))
