"""Where and how precisely a model runs, and what a process must set up for it to run fast."""

import ctypes
import functools
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


def choose_dtype(dtype: str = "auto") -> torch.dtype:
    """The number type of weights and activations: what was asked for, or float32.

    The automatic choice is float32 everywhere: a CPU without native bfloat16 is slower in it, and what it does to
    rankings where it is native is not measured yet.

    Raises:
        CocaSearchError: The type is unknown.
    """
    known = {"auto": torch.float32, "float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}
    if dtype not in known:
        raise CocaSearchError(f"unknown dtype '{dtype}'; use one of {', '.join(known)}")
    return known[dtype]


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
