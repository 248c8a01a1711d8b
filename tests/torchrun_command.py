"""`cocasearch train` under `torchrun`, with settings that leave nothing to chance."""

import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from cocasearch.training.config import TrainingConfig

CONFIG = TrainingConfig().changed(
    epochs=2.0,
    optimizer="adamw",  # Muon rounds to bfloat16, and so enlarges differences of rounding
    batch_size=5,
    captions_per_image=2,
    dropout=0.0,  # each process draws its own
    frozen_epochs=1.0,
    frozen_blocks=0,
    held_out=4,
    validations=2,
    precision="float32",
    checkpoint_minutes=0.0,
    ema_decay=0.5,
    min_area=0.8,
    flip=True,
    color=0.1,
)
SETTINGS = ("epochs", "batch_size", "captions_per_image", "dropout", "frozen_epochs", "frozen_blocks", "held_out")
SETTINGS += ("optimizer", "validations", "precision", "checkpoint_minutes", "ema_decay", "min_area", "flip", "color")


def torchrun(
    processes: int,
    data: Path,
    out: Path,
    model: Path,
    *options: str,
    program: Sequence[str | Path] = ("-m", "cocasearch"),
) -> subprocess.Popen[str]:
    """The command, running; `options` are settings in the place of the usual, `program` may behave like cocasearch."""
    settings = [f"{name}={CONFIG.values()[name]}" for name in SETTINGS]
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", str(processes)]
    command += [*map(str, program), "train", str(data), "--out", str(out), "--model", str(model), "--device", "cpu"]
    for setting in {text.partition("=")[0]: text for text in (*settings, *options)}.values():
        command += ["--set", setting]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment)
