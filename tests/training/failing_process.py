"""`cocasearch`, failing in one of several processes at one step, in as real a way as there is.

failing_process.py FAULT RANK STEP ARGUMENT...
"""

import dataclasses
import os
import resource
import signal
import sys
import time

import torch

from cocasearch.cli.app import app
from cocasearch.training.data.dataset import TrainingBatch
from cocasearch.training.losses.step_losses import StepLosses
from cocasearch.training.step.learner import Learner

LARGEST_FILE = 200_000  # bytes, less than a checkpoint has


def fail(fault: str, batch: TrainingBatch) -> TrainingBatch:
    if fault == "killed":
        os.kill(os.getpid(), signal.SIGKILL)
    elif fault == "launcher killed":
        os.kill(os.getppid(), signal.SIGKILL)
        time.sleep(1)  # until it is gone
    elif fault == "launcher stopped":
        os.kill(os.getppid(), signal.SIGINT)
        time.sleep(1)  # until it has passed it on
    elif fault == "memory":
        torch.empty(2**60, dtype=torch.uint8)
    elif fault == "disk":
        resource.setrlimit(resource.RLIMIT_FSIZE, (LARGEST_FILE, resource.RLIM_INFINITY))
    elif fault == "not a number":
        return dataclasses.replace(batch, pixels=batch.pixels * torch.nan)
    return batch


def main(fault: str, rank: str, step: str, *arguments: str) -> None:
    take_step = Learner.take_step

    def spoiled(learner: Learner, batch: TrainingBatch) -> StepLosses:
        if learner.step == int(step) and learner.gradients.processes.rank == int(rank):
            batch = fail(fault, batch)
        return take_step(learner, batch)

    Learner.take_step = spoiled  # type: ignore[method-assign]
    sys.argv = ["cocasearch", *arguments]
    app()


if __name__ == "__main__":
    main(*sys.argv[1:])
