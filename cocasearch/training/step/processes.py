"""The processes that train one model together, as `torchrun` starts them; without it, the one there is.

Knows how they exchange tensors, and nothing about what is in them.
"""

import atexit
import os
from collections.abc import Callable
from datetime import timedelta
from typing import Any, TypeVar

import torch
import torch.distributed as dist
from torch import Tensor
from torch.distributed.rendezvous import rendezvous

from cocasearch.errors import CocaSearchError
from cocasearch.inference.device import choose_device
from cocasearch.training.step.launch import is_alone

T = TypeVar("T")

# Only one process validates and writes, and the others wait for it: longer than the libraries' ten minutes.
_PATIENCE = timedelta(hours=6)
# Until the last of them has begun.
_GATHERING = timedelta(minutes=5)

_HOW_TO_START = "start them with torchrun; to train in one process, unset WORLD_SIZE"
_store: Any = None  # what all of them can write notes into


def device_of_process(device: str = "auto") -> torch.device:
    """The device that this process trains on: of several GPUs on a machine each process has its own.

    Raises:
        CocaSearchError: The device is unknown or not there.
    """
    chosen, local_rank = choose_device(device), os.environ.get("LOCAL_RANK")
    if str(chosen) == "cuda" and local_rank is not None and not is_alone():
        chosen = torch.device("cuda", int(local_rank))
        torch.cuda.set_device(chosen)
    return chosen


class Processes:
    """This process's place among those that train together.

    Args:
        rank: Its number, from 0.
        count: How many there are.
    """

    def __init__(self, rank: int = 0, count: int = 1) -> None:
        self.rank, self.count = rank, count

    @classmethod
    def join(cls, device: torch.device) -> "Processes":
        """Join the others that `torchrun` started; NCCL between GPUs, gloo between CPUs. Alone without it.

        Raises:
            CocaSearchError: The environment speaks of others that cannot be found.
        """
        if is_alone():
            return cls()
        if not dist.is_initialized():
            _refuse_impossible_numbers()
            try:
                _meet("nccl" if device.type == "cuda" else "gloo")
            except (ValueError, RuntimeError) as error:
                raise CocaSearchError(
                    f"the {os.environ['WORLD_SIZE']} processes of this run do not find each other: "
                    f"{str(error).partition(chr(10))[0]}",
                    hint=_HOW_TO_START,
                ) from error
        return cls(dist.get_rank(), dist.get_world_size())

    @property
    def is_first(self) -> bool:
        """Whether this process is the one that prints, validates and writes."""
        return self.rank == 0

    def sum(self, x: Tensor) -> Tensor:
        """The sum of every process's tensor."""
        if self.count > 1:
            x = x.clone()
            dist.all_reduce(x)
        return x

    def gather_rows(self, x: Tensor) -> list[Tensor]:
        """Every process's rows (n, ...), by rank; they may have different numbers of them."""
        if self.count == 1:
            return [x]
        counts = [torch.zeros(1, dtype=torch.long, device=x.device) for _ in range(self.count)]
        dist.all_gather(counts, torch.tensor([len(x)], device=x.device))
        longest = max(int(count) for count in counts)
        padded = x.new_zeros(longest, *x.shape[1:])
        padded[: len(x)] = x
        gathered = [torch.empty_like(padded) for _ in range(self.count)]
        dist.all_gather(gathered, padded)
        return [rows[: int(count)] for rows, count in zip(gathered, counts, strict=True)]

    def any(self, condition: bool) -> bool:
        """Whether a condition holds in any process; the same answer in all of them."""
        if self.count == 1:
            return condition
        backend_device = "cuda" if dist.get_backend() == "nccl" else "cpu"
        return bool(self.sum(torch.tensor(float(condition), device=backend_device)))

    def once(self, make: Callable[[], T]) -> T:
        """What the first process makes, for all of them; the others wait for it.

        Raises:
            CocaSearchError: The first process failed with one; all do then. KeyboardInterrupt likewise.
        """
        if self.count == 1:
            return make()
        outcome: list[Any] = [None]
        failure: BaseException | None = None
        if self.is_first:
            try:
                outcome = [make()]
            except KeyboardInterrupt as error:
                failure, outcome = error, [error]
            except CocaSearchError as error:  # not all of its kinds can be sent
                failure, outcome = error, [CocaSearchError(str(error), hint=error.hint)]
        dist.broadcast_object_list(outcome, src=0)
        if isinstance(outcome[0], CocaSearchError | KeyboardInterrupt):
            raise failure or outcome[0]
        made: T = outcome[0]
        return made

    def gather(self, value: T) -> list[T]:
        """Every process's value, by rank, in all of them."""
        gathered: list[Any] = [value] * self.count
        if self.count > 1:
            dist.all_gather_object(gathered, value)
        return gathered


def is_first_to_report() -> bool:
    """Whether none of the processes has asked this before; if that cannot be known, it is."""
    if _store is None:
        return True
    try:
        return bool(_store.add("reported", 1) == 1)
    except RuntimeError:  # the process that keeps the notes is gone
        return True


def _refuse_impossible_numbers() -> None:
    """Refuse what `torchrun` never sets, instead of waiting for processes that cannot come."""
    rank, count = os.environ.get("RANK", ""), os.environ["WORLD_SIZE"]
    if not (rank.isdecimal() and count.isdecimal() and int(rank) < int(count)):
        raise CocaSearchError(
            f"RANK is '{rank[:20]}' and WORLD_SIZE '{count[:20]}': no numbers of a process and of how many there are",
            hint=_HOW_TO_START,
        )


def _meet(backend: str) -> None:
    global _store
    _store, rank, count = next(iter(rendezvous("env://", timeout=_GATHERING)))
    dist.init_process_group(backend, store=_store, rank=rank, world_size=count, timeout=_PATIENCE)
    atexit.register(_part)


def _part() -> None:
    """End the exchange before the interpreter ends: otherwise its threads may abort the process."""
    if dist.is_initialized():
        dist.destroy_process_group()
