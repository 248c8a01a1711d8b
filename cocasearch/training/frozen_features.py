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
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from cocasearch.atomic_files import flush_to_disk, write_text
from cocasearch.checkpoints.disk_space import refuse_small_disks, writing
from cocasearch.errors import CocaSearchError
from cocasearch.model.efficientnet_lite import EfficientNetLite
from cocasearch.training.config import TrainingConfig

_FEATURES, _ABOUT = "features.f16", "features.json"
Batches = Callable[[int, int], Iterator[tuple[list[Tensor | None], dict[int, str]]]]


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
        is_whole = not any(p.requires_grad for p in encoder.parameters()) or config.frozen_passes >= config.passes
        self.blocks = None if is_whole else config.frozen_blocks
        if self.blocks is not None and not (isinstance(encoder, EfficientNetLite) and self.blocks):
            raise CocaSearchError(
                "cache_features=true needs a part of the image encoder that the run never changes",
                hint="frozen_passes=inf freezes all of it; of a convolutional one, frozen_blocks=11 freezes some",
            )
        self._encoder = encoder
        self._frozen = copy.deepcopy(encoder).requires_grad_(False).eval()
        if dtype is not None and isinstance(self._frozen, EfficientNetLite):
            self._frozen.narrow(dtype)

    @property
    def digest(self) -> str:
        """Names the frozen part: equal ones make equal features."""
        digest = hashlib.blake2b(f"{self.blocks} {next(reversed(list(self._frozen.parameters()))).dtype}".encode())
        for name, value in self._frozen.state_dict().items():
            part, _, rest = name.partition(".")
            if self.blocks is None or part == "stem" or (part == "blocks" and int(rest.split(".")[0]) < self.blocks):
                digest.update(name.encode() + value.float().cpu().contiguous().numpy().tobytes())
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
    """The features of all views of a run's pictures in one file, row by row: all first views, then all second ones.

    Args:
        folder: Where the file is, or will be.
        identity: Of what it holds, but for the number of views: a file of more views serves runs with fewer.
        pictures: How many there are.
    """

    def __init__(self, folder: Path, identity: Mapping[str, Any], pictures: int) -> None:
        self._folder, self._file, self._pictures = folder, folder / _FEATURES, pictures
        self._identity = json.loads(json.dumps(identity))
        self._shape: list[int] = []
        self._unreadable: dict[int, str] = {}
        self._rows: np.memmap[Any, np.dtype[np.float16]] | None = None

    def fill(
        self, views: int, batches: Batches, compute: Callable[[Tensor], Tensor], progress: Callable[[int, int], None]
    ) -> None:
        """Compute what is not there yet of so many views of every picture; stopped, it goes on where it was.

        Args:
            views: How many of each picture.
            batches: Gives the pixels of the rows from one number up to another, some at a time, None for those that
                cannot be read, and why they cannot by picture.
            compute: Pixels (B, 3, S, S) to features (B, ...) in float16.
            progress: Told rows done and rows in all.

        Raises:
            CocaSearchError: The disk is full or too small, or the file cannot be written.
        """
        self._begin()
        total, done = views * self._pictures, self._rows_there()
        with writing(self._file, "--set feature_folder=FOLDER"):
            with self._file.open("ab") as file:
                for pixels, unreadable in batches(done, total):
                    features = self._computed(pixels, compute)
                    if not self._shape or unreadable:
                        self._shape = list(features.shape[1:])
                        self._unreadable.update(unreadable)
                        self._note()
                        refuse_small_disks({self._folder: (total - done) * self._row_bytes})
                    file.write(features.numpy().tobytes())
                    done += len(pixels)
                    progress(done, total)
            flush_to_disk(self._file)

    def open(self) -> None:
        """Map the filled file into memory."""
        self._begin()
        self._rows = np.memmap(self._file, np.float16, "r", shape=(self._rows_there(), *self._shape))

    def row(self, row: int) -> Tensor | None:
        """The features of one row; None where its picture cannot be read."""
        assert self._rows is not None
        if row % self._pictures in self._unreadable:
            return None
        return torch.from_numpy(np.array(self._rows[row]))

    def reason(self, row: int) -> str:
        """Why the picture of a row cannot be read."""
        return self._unreadable[row % self._pictures]

    def drop(self) -> None:
        """Delete the file."""
        self._rows = None
        for name in (_FEATURES, _ABOUT):
            (self._folder / name).unlink(missing_ok=True)
        with suppress(OSError):  # somebody else keeps something there
            self._folder.rmdir()

    @property
    def _row_bytes(self) -> int:
        return 2 * int(np.prod(self._shape))

    def _begin(self) -> None:
        """Go on with the file that is there if it is of the same pictures, else begin anew."""
        about: dict[str, Any] = {}
        with suppress(OSError, ValueError):
            about = json.loads((self._folder / _ABOUT).read_text(encoding="utf-8"))
        with writing(self._file, "--set feature_folder=FOLDER"):
            self._folder.mkdir(parents=True, exist_ok=True)
            if about.get("identity") == self._identity:
                self._shape = about["shape"]
                self._unreadable = {int(number): reason for number, reason in about["unreadable"].items()}
                os.truncate(self._file, self._rows_there() * self._row_bytes)  # a row that was cut short
            else:
                (self._folder / _ABOUT).unlink(missing_ok=True)
                self._file.write_bytes(b"")

    def _rows_there(self) -> int:
        return self._file.stat().st_size // self._row_bytes if self._shape else 0

    def _computed(self, pixels: list[Tensor | None], compute: Callable[[Tensor], Tensor]) -> Tensor:
        there = [number for number, view in enumerate(pixels) if view is not None]
        found = compute(torch.stack([view for view in pixels if view is not None])).cpu() if there else None
        shape = list(found.shape[1:]) if found is not None else self._shape
        if not shape:
            raise CocaSearchError("not one of the first pictures to train on can be read")
        features = torch.zeros(len(pixels), *shape, dtype=torch.float16)
        if found is not None:
            features[there] = found
        return features

    def _note(self) -> None:
        about = {"identity": self._identity, "shape": self._shape, "unreadable": self._unreadable}
        write_text(self._folder / _ABOUT, json.dumps(about))
