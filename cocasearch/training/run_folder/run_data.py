"""What a run keeps of its data, in `<out>.run`: which they were, what of them was excluded, and what was found alike.

Of several processes the first alone reads and writes these files, and hands on what is in them. Knows nothing about how
a model is trained.
"""

import csv
import dataclasses
import hashlib
import io
import json
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from cocasearch.atomic_files import replacing
from cocasearch.byte_range import shown_content
from cocasearch.captioned_data import CaptionedData, CaptionedImage
from cocasearch.captioned_data.duplicates.near_duplicates import Twin
from cocasearch.errors import CocaSearchError
from cocasearch.json_values import parse_json
from cocasearch.training.data.splitting import Alike, Excluded
from cocasearch.training.run_folder.run_checkpoint import RunCheckpoint, run_folder_of
from cocasearch.training.run_folder.run_record import data_fingerprint
from cocasearch.training.step.processes import Processes

DATA_FILE, EXCLUDED_FILE, ALIKE_FILE = "data.jsonl", "excluded.csv", "alike.json"
_FORMAT = 1  # of what the comparison finds; a new one is found anew

Entry = tuple[str, str, str]  # key, digest of captions, size or digest of the picture


@dataclass(frozen=True)
class RunData:
    """The data of the run that writes the model folder `out`.

    Args:
        out: The model folder.
        processes: Those that train it.
    """

    out: Path
    processes: Processes = field(default_factory=Processes)

    def refuse_changed(self, sources: Sequence[CaptionedData]) -> None:
        """Note what the data are as the run begins; where it goes on, make sure that they still are.

        Pictures in files are known by name and size, so that a large collection is not read twice.

        Args:
            sources: All that is trained and measured on, as it was read.

        Raises:
            CocaSearchError: A picture, a caption or their order is another than when the run began.
        """
        self.processes.once(lambda: self._refuse_changed(sources))

    def _refuse_changed(self, sources: Sequence[CaptionedData]) -> None:
        file = self._folder / DATA_FILE
        entries = [[_entry(image) for image in source] for source in sources]
        before = _read_entries(file) if RunCheckpoint(self._folder).is_there else None
        if before is None:
            self._write(file, (json.dumps(line) + "\n" for line in entries))
            return
        if len(before) != len(entries):
            return  # another command, which the checkpoint itself will not go with
        for source, then, now in zip(sources, before, entries, strict=True):
            if then != now:
                raise CocaSearchError(
                    f"{source.source} has changed since {self._folder} began to learn from it: {_changes(then, now)}",
                    hint=f"put it back, and the same command goes on; --out NEW_FOLDER, or deleting {self.out} and "
                    f"{self._folder}, starts anew",
                )

    def compared(
        self,
        images: Sequence[CaptionedImage],
        held_out: Sequence[CaptionedImage],
        near: bool,
        find: Callable[[], Alike],
    ) -> Alike:
        """What was found the same among these pictures by an earlier start of the run, or by `find` now."""
        file = self._folder / ALIKE_FILE

        def remembered_or_found() -> Alike:
            compared = [_FORMAT, near, data_fingerprint(images), data_fingerprint(held_out)]
            with suppress(
                OSError, ValueError, KeyError, TypeError, AttributeError
            ):  # whatever is wrong with it, it can be found again
                stored = parse_json(file.read_text(encoding="utf-8"))
                if stored["of"] == compared:
                    unreadable = {int(at): reason for at, reason in stored["unreadable"].items()}
                    return Alike([Twin(*twin) for twin in stored["twins"]], unreadable)
            alike = find()
            twins = [dataclasses.astuple(twin) for twin in alike.twins]
            self._write(file, [json.dumps({"of": compared, "twins": twins, "unreadable": alike.unreadable})])
            return alike

        return self.processes.once(remembered_or_found)

    def list_excluded(self, sources: Iterable[CaptionedData], excluded: Excluded | None) -> tuple[Path, int]:
        """Write down all that is not learned from, with the reasons; the file and the number of rows."""
        rows = [(data.source, row.where, row.reason) for data in sources for row in (*data.skipped, *data.copies)]
        rows += [("", key, reason) for key, reason in excluded.reasons()] if excluded else []
        file = self._folder / EXCLUDED_FILE
        self.processes.once(lambda: self._list(file, rows))
        return file, len(rows)

    def _list(self, file: Path, rows: Sequence[tuple[str, str, str]]) -> None:
        if rows:
            table = io.StringIO()
            csv.writer(table, lineterminator="\n").writerows([("data", "photo_or_row", "reason"), *rows])
            self._write(file, [table.getvalue()])
        else:
            file.unlink(missing_ok=True)

    @property
    def _folder(self) -> Path:
        return run_folder_of(self.out)

    def _write(self, file: Path, lines: Iterable[str]) -> None:
        try:
            file.parent.mkdir(parents=True, exist_ok=True)
            with (
                replacing(file) as partial,
                partial.open("w", encoding="utf-8", errors="surrogateescape", newline="") as stream,
            ):
                stream.writelines(lines)
        except OSError as error:
            reason = (error.strerror or str(error)).lower()
            raise CocaSearchError(f"cannot write {file}: {reason}", hint="--out NEW_FOLDER") from error


def _read_entries(file: Path) -> list[list[Entry]] | None:
    """The pictures of each source as they were noted; None if they were not, or not in a way that can be read."""
    try:
        lines = file.read_text(encoding="utf-8").splitlines()
        return [[(key, words, size) for key, words, size in parse_json(line)] for line in lines]
    except (OSError, ValueError, TypeError):
        return None


def _entry(image: CaptionedImage) -> Entry:
    words = hashlib.blake2b(json.dumps(image.captions).encode(), digest_size=6).hexdigest()
    return image.key, words, str(shown_content(image.image))


def _changes(then: Sequence[Entry], now: Sequence[Entry]) -> str:
    """In words, how data differ from what they were, with the first picture of each kind of change."""
    before, after = _by_name(then), _by_name(now)
    both = [name for name in after if name in before]
    kinds = {
        "photos are new": [name for name in after if name not in before],
        "photos are gone": [name for name in before if name not in after],
        "photos have other captions": [name for name in both if before[name][0] != after[name][0]],
        "photos have another size": [name for name in both if before[name][1] != after[name][1]],
    }
    changes = [f"{what}: {len(names):,} ({names[0][0]})" for what, names in kinds.items() if names]
    return ", ".join(changes) or "its rows are in another order"


def _by_name(entries: Sequence[Entry]) -> dict[tuple[str, int], tuple[str, str]]:
    """Captions and picture by key, and by number where a key is of several pictures, as in several shards."""
    seen: Counter[str] = Counter()
    contents = {}
    for key, words, size in entries:
        contents[key, seen[key]] = (words, size)
        seen[key] += 1
    return contents
