"""What a run was, written where it ran: command, settings, data, environment, curves, and copies for other readers.

Receives the folder `<out>.run` and each step's progress; the checkpoint and the log beside it are the trainer's. Knows
nothing about how a model is trained.
"""

import hashlib
import json
import os
import platform
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from importlib.metadata import distributions
from pathlib import Path
from typing import Any

import torch

from cocasearch.atomic_files import replacing
from cocasearch.byte_range import shown_content
from cocasearch.captioned_data import CaptionedImage
from cocasearch.lock import writer_lock
from cocasearch.training.run_folder.curves import draw_curves
from cocasearch.training.run_folder.progress import TrainingProgress
from cocasearch.training.run_folder.remote_sync import RemoteSync, bring_back
from cocasearch.training.run_folder.reporters import Reporter, open_reporter, refuse_unknown
from cocasearch.training.run_folder.run_checkpoint import run_folder_of

RECORD_FILE, RESULT_FILE, CURVES_FILE, LOG_FILE = "run.json", "result.json", "curves.png", "log.jsonl"


@dataclass(frozen=True)
class Reporting:
    """Who else is to see a run.

    Args:
        to: "tensorboard" and "wandb", or one of them.
        remote: A folder or an address (`s3://…`, `file://…`) that the run and its model are copied to as they grow.
    """

    to: Sequence[str] = ()
    remote: str = ""


@dataclass
class RunRecord:
    """Takes in a run's steps; made by `recording`.

    Attributes:
        not_copied: At the end, why its last state is not at the remote place; empty if it is.
    """

    folder: Path
    reporters: list[Reporter] = field(default_factory=list)
    remote: RemoteSync | None = None
    progress: Callable[[TrainingProgress], None] | None = None
    not_copied: str = ""

    def __call__(self, progress: TrainingProgress) -> None:
        """Pass a step on; after a validation the curves are drawn anew, and copies made."""
        if self.progress is not None:
            self.progress(progress)
        for reporter in self.reporters:
            reporter.add(progress)
        if progress.validation is not None:
            draw_curves(self.folder / LOG_FILE, self.folder / CURVES_FILE)
        if self.remote is not None:
            self.remote.step(now=progress.validation is not None)

    def keep(self, result: Mapping[str, Any]) -> None:
        """Write down what came of the run."""
        _write_json(self.folder / RESULT_FILE, result)


def bring_run_back(out: Path, reporting: Reporting) -> None:
    """Fetch the run that writes the model folder `out` from its remote place, if it is there and not here.

    Raises:
        CocaSearchError: The place cannot be reached, or there is nobody of a name to report to.
    """
    for name in reporting.to:
        refuse_unknown(name)
    if reporting.remote and not run_folder_of(out).exists():
        bring_back(reporting.remote, [out, run_folder_of(out)])


@contextmanager
def recording(
    out: Path,
    facts: Mapping[str, Any],
    reporting: Reporting,
    *,
    is_first: bool = True,
    progress: Callable[[TrainingProgress], None] | None = None,
) -> Iterator[RunRecord]:
    """The record of the run that writes the model folder `out`; of several processes the first alone keeps one.

    Args:
        out: The model folder.
        facts: What is known of the run before it begins.
        reporting: Who else is to see the run.
        is_first: Whether this process keeps the record.
        progress: Gets each step before the others do.

    Raises:
        CocaSearchError: Another run writes there, a reporter is not installed, or the remote place cannot be reached.
    """
    folder = run_folder_of(out)
    if not is_first:
        yield RunRecord(folder)
        return
    with ExitStack() as stack:
        folder.mkdir(parents=True, exist_ok=True)
        stack.enter_context(writer_lock(folder, "run", is_optional=True))
        reporters = [stack.enter_context(open_reporter(name, folder, facts)) for name in reporting.to]
        (folder / RESULT_FILE).unlink(missing_ok=True)  # of an earlier run
        _write_json(folder / RECORD_FILE, facts)
        remote = RemoteSync(reporting.remote, [out, folder]) if reporting.remote else None
        record, is_over = RunRecord(folder, reporters, remote, progress), False
        try:
            yield record
            is_over = True
        finally:
            if (folder / LOG_FILE).is_file():
                draw_curves(folder / LOG_FILE, folder / CURVES_FILE)
            if remote is not None and is_over:
                record.not_copied = remote.copy()
            elif remote is not None:
                remote.stop()


def run_facts(job: str, config: Mapping[str, Any], data: Mapping[str, Sequence[CaptionedImage]]) -> dict[str, Any]:
    """What there is to know about a run before it begins.

    Args:
        job: "train" or "finetune".
        config: Its settings.
        data: The pictures of each source by name.
    """
    return {
        "job": job,
        "command": [Path(sys.argv[0]).name, *sys.argv[1:]],
        "config": dict(config),
        "seed": config.get("seed"),
        "data": {
            name: {"pictures": len(images), "fingerprint": data_fingerprint(images)} for name, images in data.items()
        },
        "environment": environment(),
    }


def data_fingerprint(images: Iterable[CaptionedImage]) -> str:
    """16 hexadecimal digits that change with any caption, picture, or order of them.

    Pictures in files go in by name and size, so that a large collection is not read twice; those in memory by content.
    """
    digest = hashlib.blake2b(digest_size=8)
    for image in images:
        digest.update(json.dumps([image.key, list(image.captions), shown_content(image.image)]).encode())
    return digest.hexdigest()


def environment() -> dict[str, Any]:
    """Releases of all that is installed, threads, processor and GPUs."""
    packages = {item.metadata["Name"]: item.version for item in distributions() if item.metadata["Name"]}
    return {
        "python": platform.python_version(),
        "platform": platform.platform(),
        "processor": platform.processor() or platform.machine(),
        "cores": os.cpu_count(),
        "threads": torch.get_num_threads(),
        "gpus": [torch.cuda.get_device_name(number) for number in range(torch.cuda.device_count())],
        "processes": int(os.environ.get("WORLD_SIZE") or 1),
        "packages": dict(sorted(packages.items(), key=lambda item: item[0].lower())),
    }


def _write_json(file: Path, facts: Mapping[str, Any]) -> None:
    with replacing(file) as partial:
        partial.write_text(json.dumps(facts, indent=2, default=str) + "\n", encoding="utf-8")
