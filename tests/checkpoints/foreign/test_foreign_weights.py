"""Weights of others are read from every format they come in, nothing in a file is run, and a bad file is named."""

import argparse
import os
import pickle
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from cocasearch.checkpoints.foreign.foreign_weights import read_foreign_weights
from cocasearch.errors import CocaSearchError

WEIGHTS = {"visual.proj": torch.arange(600.0).reshape(20, 30), "logit_scale": torch.tensor(2.5)}

FORMATS: dict[str, Callable[[Path], None]] = {
    "bare": lambda file: torch.save(WEIGHTS, file),
    "before torch 1.6": lambda file: torch.save(WEIGHTS, file, _use_new_zipfile_serialization=False),
    "training": lambda file: torch.save(
        {"epoch": 3, "name": "run", "state_dict": WEIGHTS, "optimizer": {"state": {}}, "scaler": {"scale": 2.0}}, file
    ),
    "safetensors": lambda file: save_file(WEIGHTS, file),
}


@pytest.mark.parametrize("write", FORMATS.values(), ids=FORMATS)
def test_every_format_gives_the_same_weights(tmp_path: Path, write: Callable[[Path], None]) -> None:
    write(tmp_path / "weights.bin")
    weights = read_foreign_weights(tmp_path / "weights.bin")
    assert weights.keys() == WEIGHTS.keys()
    assert all(torch.equal(weights[key], WEIGHTS[key]) for key in weights)


class Call:
    """A pickle that leaves a trace when it is run."""

    def __init__(self, file: Path) -> None:
        self.file = file

    def __reduce__(self) -> tuple[Callable[..., object], tuple[object, ...]]:
        return os.mkdir, (str(self.file),)


def grow(file: Path) -> None:
    """Fifty kilobytes that would be fifty megabytes."""
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("archive/data.pkl", b"\0" * 50_000_000)


def cut(file: Path, write: Callable[[Path], None]) -> None:
    write(file)
    whole = file.read_bytes()
    file.write_bytes(whole[: len(whole) * 2 // 3])


BAD: dict[str, tuple[Callable[[Path], object], str]] = {
    "missing": (lambda file: None, "cannot read the weights .*: No such file"),
    "a folder": (lambda file: file.mkdir(), "cannot read the weights .*: Is a directory"),
    "empty": (lambda file: file.touch(), "is no weights file: it is empty"),
    "text": (lambda file: file.write_text("weights\n" * 99), r"is no weights file: it begins with b'weights\\nweig'"),
    "a web page": (lambda file: file.write_text("<!DOCTYPE html><title>404</title>"), "it is a web page"),
    "a pointer": (lambda file: file.write_text("version https://git-lfs.github.com/spec/v1\n"), "pointer that Git LFS"),
    "zeros": (lambda file: file.write_bytes(bytes(9_000)), "it begins with zeros"),
    "cut off": (lambda file: cut(file, FORMATS["bare"]), "is cut off or damaged"),
    "cut off, old": (lambda file: cut(file, FORMATS["before torch 1.6"]), "is cut off or damaged"),
    "cut off, safetensors": (lambda file: cut(file, FORMATS["safetensors"]), "is cut off or damaged"),
    "growing": (grow, "would grow when it is unpacked"),
    "a list": (lambda file: torch.save([torch.zeros(3)], file), "holds no weights but a list"),
    "no tensors": (lambda file: torch.save({"state_dict": {"epoch": 1}}, file), "holds no weights but a dict"),
    "a module": (
        lambda file: torch.save(torch.nn.Linear(2, 2), file),
        r"would call torch\.nn\.modules\.linear\.Linear",
    ),
    "arguments": (lambda file: torch.save({"args": argparse.Namespace(lr=1)}, file), r"would call argparse\.Namespace"),
    "a program": (lambda file: torch.jit.script(torch.nn.Linear(2, 2)).save(file), "is a TorchScript program"),
}


@pytest.mark.filterwarnings("ignore:.*torch.jit:DeprecationWarning")
@pytest.mark.parametrize(("write", "sentence"), BAD.values(), ids=BAD)
def test_a_file_that_is_no_weights_is_named(tmp_path: Path, write: Callable[[Path], object], sentence: str) -> None:
    file = tmp_path / "weights.bin"
    write(file)
    with pytest.raises(CocaSearchError, match=sentence) as caught:
        read_foreign_weights(file)
    assert str(file) in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("save", [torch.save, lambda content, file: file.write_bytes(pickle.dumps(content, 2))])
def test_nothing_in_a_file_is_run(tmp_path: Path, save: Callable[[object, Path], object]) -> None:
    trace = tmp_path / "trace"
    save({"hook": Call(trace)}, tmp_path / "weights.bin")
    with pytest.raises(CocaSearchError, match=r"is not loaded: it would call (posix|nt)\.mkdir"):
        read_foreign_weights(tmp_path / "weights.bin")
    assert not trace.exists()
