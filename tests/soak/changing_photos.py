"""A folder of photos to which, day by day, a chance generator does what people do to theirs."""

import os
import random
import shutil
from pathlib import Path

import numpy as np
from PIL import Image

STEADY = "steady"  # the folder that nobody touches
_STEADY_PHOTOS, _NEW_A_DAY = 40, 40
_CHANGES_A_DAY = {"rewrite": 5, "touch": 5, "move": 5, "copy": 5, "break": 1, "delete": 5}


class ChangingPhotos:
    """Photos in subfolders of `folder`, each drawn with another seed.

    Args:
        folder: Where they shall lie.
        chance: Decides what happens to which.
    """

    def __init__(self, folder: Path, chance: random.Random) -> None:
        self.folder = folder
        self._chance = chance
        self._drawn = self._days = 0
        for number in range(_STEADY_PHOTOS):
            self._draw(folder / STEADY / f"{number}.png")

    def change(self) -> None:
        """A day on which some photos come, and some of the earlier days are changed in every way."""
        earlier = sorted(self.folder.glob("day-*/*.png"))
        self._chance.shuffle(earlier)
        self._days += 1
        today = self.folder / f"day-{self._days}"
        for number in range(_NEW_A_DAY):
            self._draw(today / f"{number}.png")
        for change, times in _CHANGES_A_DAY.items():
            for _ in range(min(times, len(earlier))):
                getattr(self, f"_{change}")(earlier.pop(), today)

    def _draw(self, file: Path) -> None:
        file.parent.mkdir(parents=True, exist_ok=True)
        blocks = np.random.default_rng(self._drawn).integers(0, 256, (4, 4, 3), dtype=np.uint8)
        Image.fromarray(blocks).resize((32, 32), Image.Resampling.NEAREST).save(file)
        self._drawn += 1

    def _rewrite(self, photo: Path, today: Path) -> None:
        self._draw(photo)

    def _touch(self, photo: Path, today: Path) -> None:
        os.utime(photo)

    def _move(self, photo: Path, today: Path) -> None:
        photo.rename(today / f"moved-{photo.parent.name}-{photo.name}")

    def _copy(self, photo: Path, today: Path) -> None:
        shutil.copy(photo, today / f"copied-{photo.parent.name}-{photo.name}")

    def _break(self, photo: Path, today: Path) -> None:
        photo.write_bytes(photo.read_bytes()[:60])

    def _delete(self, photo: Path, today: Path) -> None:
        photo.unlink()
