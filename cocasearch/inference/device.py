"""Where and how precisely a model runs, and what a process must set up for it to run fast."""

import ctypes
import functools
import os
import sys

import torch

from cocasearch.errors import CocaSearchError

# glibc's mallopt parameters, malloc.h
_M_TRIM_THRESHOLD, _M_MMAP_MAX = -1, -4


def choose_device(device: str = "auto") -> torch.device:
    """The device to run on: what was asked for, or CUDA where there is one, or the CPU.

    Raises:
        CocaSearchError: The device is unknown or not there.
    """
    if device == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    counts = {"cpu": 1, "cuda": torch.cuda.device_count(), "mps": int(torch.backends.mps.is_available())}
    kind = device.partition(":")[0]
    known = [f"{kind}:{i}" for i in range(counts.get(kind, 0))]
    if device not in (kind, *known) or not known:
        here = ", ".join(name for name, count in counts.items() if count)
        raise CocaSearchError(f"there is no device '{device}' here; use auto, or one of {here}")
    return torch.device(device)


def choose_dtype(dtype: str = "auto", device: torch.device | None = None) -> torch.dtype:
    """The number type of weights and activations: what was asked for, or bfloat16 where the device computes in it.

    Vectors are float32 all the same. Where bfloat16 has to be imitated it is slower, and float32 is chosen.
    `$COCASEARCH_DTYPE` overrides the automatic choice.

    Raises:
        CocaSearchError: The type is unknown.
    """
    if dtype == "auto":
        dtype = os.environ.get("COCASEARCH_DTYPE") or "auto"
    if dtype == "auto":
        return torch.bfloat16 if has_native_bfloat16(device or torch.device("cpu")) else torch.float32
    known = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}
    if dtype not in known:
        raise CocaSearchError(f"unknown dtype '{dtype}'; use one of auto, {', '.join(known)}")
    return known[dtype]


def has_native_bfloat16(device: torch.device) -> bool:
    """Whether the device multiplies bfloat16 matrices by itself: CPUs with AVX512-BF16 or AMX, Arm's with BF16, CUDA.

    Apple's GPUs do so from macOS 14 on.
    """
    if device.type == "cuda":
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    if device.type == "mps":
        return bool(torch.backends.mps.is_macos_or_newer(14, 0))
    checks = ("_is_avx512_bf16_supported", "_is_amx_tile_supported", "_is_arm_bf16_supported")
    return any(getattr(torch.cpu, check, lambda: False)() for check in checks)


@functools.cache
def keep_freed_memory() -> None:
    """Let the process keep large freed blocks, once per process, where glibc is the allocator.

    By default glibc returns them to the kernel after every batch, and faulting the pages in again costs a
    convolutional encoder about half its speed.
    """
    if sys.platform != "linux":
        return
    try:
        mallopt = ctypes.CDLL("libc.so.6").mallopt
    except (OSError, AttributeError):  # another C library
        return
    mallopt(_M_MMAP_MAX, 0)
    mallopt(_M_TRIM_THRESHOLD, 2**31 - 1)
