"""The device and number type of a model, and the settings of the process that let it run fast."""

import contextlib
import ctypes
import functools
import os
import sys
import time
from collections.abc import Iterator, Mapping

import torch
import torch.nn.functional as F

from cocasearch.errors import CocaSearchError

# glibc's mallopt parameters, malloc.h, and what they are if nobody sets them
_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD, _M_MMAP_MAX, _M_ARENA_MAX = -1, -3, -4, -8
_AT_FIRST = {_M_TRIM_THRESHOLD: 2**17, _M_MMAP_THRESHOLD: 2**17, _M_MMAP_MAX: 2**16}
_KEEPING = {_M_TRIM_THRESHOLD: 2**31 - 1, _M_MMAP_MAX: 0}
_ARENAS = 2  # one for what computes, one for the threads that read, decode and store beside it
# How many times as fast bfloat16 must be for its rounding.
_WORTH_IT = 1.2


def choose_device(device: str = "auto") -> torch.device:
    """The device to run on: the one asked for, or else CUDA if there is one, or the CPU.

    Raises:
        CocaSearchError: The device is unknown or missing.
    """
    if device == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    counts = {"cpu": 1, "cuda": torch.cuda.device_count(), "mps": int(torch.backends.mps.is_available())}
    kind = device.partition(":")[0]
    known = [f"{kind}:{i}" for i in range(counts.get(kind, 0))]
    if device not in (kind, *known) or not known:
        here = " or ".join(name for name, count in counts.items() if count)
        raise CocaSearchError(f"there is no device '{device}' here; use auto or {here}")
    return torch.device(device)


def choose_dtype(dtype: str = "auto", device: torch.device | None = None) -> torch.dtype:
    """The number type of weights and activations: the one asked for, or else bfloat16 if that is faster.

    Vectors stay float32. `$COCASEARCH_DTYPE` overrides the automatic choice.

    Raises:
        CocaSearchError: The type is unknown.
    """
    if dtype == "auto":
        dtype = os.environ.get("COCASEARCH_DTYPE") or "auto"
    if dtype == "auto":
        return torch.bfloat16 if is_faster_in_bfloat16(device or torch.device("cpu")) else torch.float32
    known = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}
    if dtype not in known:
        raise CocaSearchError(f"unknown dtype '{dtype}'; use one of auto, {', '.join(known)}")
    return known[dtype]


@functools.cache
def is_faster_in_bfloat16(device: torch.device) -> bool:
    """Whether the device multiplies matrices faster in bfloat16 than in float32.

    CUDA devices that support it do, and Apple's GPUs from macOS 14 on. CPUs with the instructions differ: with AMX, or
    AVX512-BF16 of AMD's, they are several times as fast as float32; on Intel's without AMX half as fast. So a CPU that
    has them is timed, for some milliseconds.
    """
    if device.type == "cuda":
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    if device.type == "mps":
        return bool(torch.backends.mps.is_macos_or_newer(14, 0))
    checks = ("_is_avx512_bf16_supported", "_is_amx_tile_supported", "_is_arm_bf16_supported")
    if not any(getattr(torch.cpu, check, lambda: False)() for check in checks):
        return False
    threads = torch.get_num_threads()
    torch.set_num_threads(1)  # so that its own time can be told from that of other processes
    try:
        return _product_seconds(torch.bfloat16) * _WORTH_IT < _product_seconds(torch.float32)
    finally:
        torch.set_num_threads(threads)


@torch.inference_mode()
def _product_seconds(dtype: torch.dtype) -> float:
    """The shortest processor time, in seconds, of a small matrix product on this thread."""
    x, weight = torch.ones(128, 512, dtype=dtype), torch.ones(512, 512, dtype=dtype)
    seconds = []
    for _ in range(6):
        started = time.thread_time()
        F.linear(x, weight)
        seconds.append(time.thread_time() - started)
    return min(seconds)


@functools.cache
def keep_freed_memory() -> None:
    """Let the process keep large freed blocks, once per process, where glibc is the allocator.

    By default glibc returns them to the kernel after every batch, and faulting the pages in again costs a
    convolutional encoder about half its speed. Each of its pools (arenas) keeps its own memory, so their number is
    limited: otherwise every thread of a database may leave one behind whose memory no other thread can use.
    """
    _set_allocator({**_KEEPING, _M_ARENA_MAX: _ARENAS})


def give_back_freed_memory() -> None:
    """Return the free memory between used blocks to the kernel, where glibc is the allocator.

    To be called now and then, such as once in a step of training: otherwise holes that are too small for large blocks
    add up the longer a run takes.
    """
    if glibc := _glibc():
        glibc.malloc_trim(0)


@contextlib.contextmanager
def giving_back_freed_memory() -> Iterator[None]:
    """Return large blocks to the kernel as they are freed, during a block of work without a model.

    The blocks of a database fit neither the holes that a model has left nor what it asks for next.
    """
    _set_allocator(_AT_FIRST)
    give_back_freed_memory()
    try:
        yield
    finally:
        if keep_freed_memory.cache_info().currsize:
            _set_allocator(_KEEPING)


def _set_allocator(values: Mapping[int, int]) -> None:
    if glibc := _glibc():
        for parameter, value in values.items():
            glibc.mallopt(parameter, value)


@functools.cache
def _glibc() -> ctypes.CDLL | None:
    """The C library, if it is glibc."""
    with contextlib.suppress(OSError, AttributeError):
        library = ctypes.CDLL("libc.so.6") if sys.platform == "linux" else None
        if library and library.mallopt and library.malloc_trim:
            return library
    return None
