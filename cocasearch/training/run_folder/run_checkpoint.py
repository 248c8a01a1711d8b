"""What a training run keeps beside its model folder, in `<out>.run`: a checkpoint, and a mark that it still runs.

Receives and hands back the trainer's state; knows nothing about how it came about.
"""

import hashlib
import json
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import torch

from cocasearch.atomic_files import replacing
from cocasearch.checkpoints.model_folder import read_model_folder
from cocasearch.errors import CocaSearchError
from cocasearch.evaluation.benchmark import EvaluationReport
from cocasearch.evaluation.retrieval_metrics import Recall, RetrievalScores
from cocasearch.training.config import TrainingConfig
from cocasearch.training.data.dataset import TrainingData
from cocasearch.training.data.sentence_vectors import forget_sentence_vectors
from cocasearch.training.losses.objective import Objective
from cocasearch.training.model.starting_point import StartingPoint

_FORMAT = 2  # of what a checkpoint holds, settings by their names included


class RunCheckpoint:
    """The stored state of one run.

    Args:
        folder: The run's own folder, `<out>.run`.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._file = folder / "checkpoint.pt"
        self._mark = _mark_in(folder)

    @property
    def is_there(self) -> bool:
        """Whether a run left its state to go on from."""
        return self._file.is_file()

    def begin(self) -> None:
        """Mark that the run has begun: until `finish`, its model folder may be written again."""
        self._folder.mkdir(parents=True, exist_ok=True)
        self._mark.touch()

    def finish(self) -> None:
        """Forget the state; what was trained is a finished model now."""
        self._file.unlink(missing_ok=True)
        self._mark.unlink(missing_ok=True)
        forget_sentence_vectors(self._folder)

    def save(self, contents: dict[str, Any], identity: dict[str, Any], *, may_change: Sequence[str] = ()) -> None:
        """Replace the checkpoint.

        Args:
            contents: The trainer's state.
            identity: What must be the same for it to be resumed.
            may_change: The settings in it that need not.

        Raises:
            CocaSearchError: It cannot be written; the one before stays.
        """
        stored = {"format": _FORMAT, "identity": json.dumps(identity, sort_keys=True), "may_change": list(may_change)}
        try:
            with replacing(self._file) as partial:
                torch.save({**contents, **stored}, partial)
        except (OSError, RuntimeError) as error:  # torch.save raises the latter on a full disk
            reason = error.strerror if isinstance(error, OSError) and error.strerror else "the disk may be full"
            raise CocaSearchError(
                f"cannot write the checkpoint {self._file}: {reason.lower()}",
                hint="free some room; the same command goes on from the checkpoint before",
            ) from error

    def load(self, identity: dict[str, Any], device: torch.device) -> dict[str, Any] | None:
        """What `save` was given, or None without a checkpoint.

        Raises:
            CocaSearchError: The checkpoint belongs to a run with other settings or data.
        """
        return self._read(identity, map_location=device)

    def refuse_other(self, identity: dict[str, Any]) -> None:
        """As `load`, without reading the trainer's state.

        Raises:
            CocaSearchError: The checkpoint belongs to a run with other settings or data.
        """
        self._read(identity, map_location="cpu", mmap=True)

    def _read(self, identity: dict[str, Any], **how: Any) -> dict[str, Any] | None:
        if not self.is_there:
            return None
        try:
            with torch.serialization.safe_globals([EvaluationReport, RetrievalScores, Recall]):
                contents: dict[str, Any] = torch.load(self._file, weights_only=True, **how)
            is_of_this_release = contents.get("format") == _FORMAT
            stored = json.loads(contents["identity"])
            settings = {name: stored["config"][name] for name in contents.get("may_change", [])}
            # Settings younger than the checkpoint had their defaults then.
            stored["config"] = {**TrainingConfig().identity(), **stored["config"]}
        except Exception as error:  # torch raises whatever a damaged byte leads to
            raise CocaSearchError(
                f"{self._file} is damaged, so the run cannot go on", hint=f"delete {self._file} to start anew"
            ) from error
        if not is_of_this_release:
            raise CocaSearchError(
                f"{self._folder} holds an interrupted run of another release of cocasearch, which cannot go on with it",
                hint=f"finish it with that release; delete {self._folder} to start anew",
            )
        wanted = {**identity, "config": {**identity["config"], **settings}}
        if any(wanted.get(name) != value for name, value in stored.items()):
            raise CocaSearchError(
                f"{self._folder} holds an interrupted run with other settings or data",
                hint=f"the same command as then resumes it; delete {self._folder} to start anew",
            )
        return contents


def run_identity(
    config: TrainingConfig, start: StartingPoint, data: TrainingData, objective: Objective, *, held_out: int
) -> dict[str, Any]:
    """What must be the same for a checkpoint to belong to a run, as JSON types.

    Args:
        config: Its settings.
        start: The model before training.
        data: Its pictures.
        objective: Its losses: how many names it learns, and which model teaches it.
        held_out: How many pictures it validates on.
    """
    identity = {
        "config": config.identity(),
        "architecture": start.model.config.to_dict(),
        "pictures": [len(source.images) for source in data.sources],
        "weights": [source.weight for source in data.sources],
        "started_from": start.provenance,
        "tokenizer": hashlib.blake2b(start.tokenizer.to_json().encode(), digest_size=8).hexdigest(),
        "held_out": held_out,
        "classes": len(objective.teacher.class_names) if objective.teacher else 0,
        "larger": objective.larger.fingerprint if objective.larger else "",
        "labelled": len(data.labelled.images) if data.labelled else 0,
    }
    stored: dict[str, Any] = json.loads(json.dumps(identity))
    return stored


def run_folder_of(out: Path) -> Path:
    """Where the run that writes the model folder `out` keeps its state."""
    return out.with_name(out.name + ".run")


@contextmanager
def leaving_nothing_if_refused(out: Path, *, is_first: bool) -> Iterator[None]:
    """Take away the run's folder, and those made around it, if a run that is new here is refused before its first step.

    Args:
        out: The model folder.
        is_first: Whether this is the process that writes; others leave all as it is.

    Raises:
        CocaSearchError: The refusal.
    """
    folder = run_folder_of(out)
    made = [place for place in (folder, *folder.parents) if not place.exists()]
    try:
        yield
    except CocaSearchError:
        if (
            is_first
            and folder in made
            and not out.exists()
            and not RunCheckpoint(folder).is_there
            and not _has_log(folder)
        ):
            shutil.rmtree(folder, ignore_errors=True)
            for place in made[1:]:
                with suppress(OSError):  # it holds something else by now
                    place.rmdir()
        raise


def _has_log(run_folder: Path) -> bool:
    """Whether a run has taken a step."""
    log = run_folder / "log.jsonl"
    return log.is_file() and log.stat().st_size > 0


def refuse_taken_folder(out: Path) -> None:
    """Make sure that writing the model folder `out` destroys nothing but an earlier state of the same run.

    Raises:
        CocaSearchError: Something else is there.
    """
    is_free = not out.exists() or (out.is_dir() and not any(out.iterdir()))
    if out.name and (is_free or (is_model_folder(out) and _mark_in(run_folder_of(out)).exists())):
        return
    if is_model_folder(out):
        raise CocaSearchError(
            f"{out} holds a finished model already", hint="--out NEW_FOLDER, or delete that one first"
        )
    raise CocaSearchError(f"{out} is there already and is not a model folder", hint="--out NEW_FOLDER")


def is_model_folder(folder: Path) -> bool:
    """Whether a folder holds a whole model."""
    try:
        read_model_folder(folder)
    except CocaSearchError:
        return False
    return True


def _mark_in(run_folder: Path) -> Path:
    return run_folder / "running"
