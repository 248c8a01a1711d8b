"""Real-size models with seeded weights, for both sides; each is made once, in `build/benchmarks`."""

import os
import subprocess
import sys
from pathlib import Path

from benchmarks.processes import DATA, HERE

ARCHITECTURE = "coca_ViT-B-32"  # of all contests


def make_weights(openclip_python: str, architecture: str, end_of_text_gain: float = 0.0) -> Path:
    """The file of one of OpenCLIP's architectures with seeded weights, made if it is not there."""
    file = DATA / f"{architecture}{f'-{end_of_text_gain}' if end_of_text_gain else ''}.safetensors"
    if not file.exists():
        DATA.mkdir(parents=True, exist_ok=True)
        partial = file.with_suffix(".partial")
        command = [openclip_python, HERE / "seeded_weights.py", architecture, partial, str(end_of_text_gain)]
        subprocess.run(command, check=True)
        partial.rename(file)
    return file


def import_weights(weights: Path, architecture: str) -> Path:
    """The model folder of such a file, in float32, made as users make one."""
    folder = DATA / "models" / weights.stem
    if not folder.exists():
        command = [sys.executable, "-m", "cocasearch", "models", "import", weights]
        command += ["--arch", architecture, "--name", folder.name, "--dtype", "float32"]
        subprocess.run(command, check=True, env={**os.environ, "COCASEARCH_HOME": str(DATA)})
    return folder
