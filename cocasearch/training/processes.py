"""The processes that train one model together, as `torchrun` starts them; without it, the one there is.

Knows how they exchange tensors, and nothing about what is in them.
"""

import os
from datetime import timedelta

import torch
import torch.distributed as dist
from torch import Tensor

# Only one process validates and writes, and the others wait for it: longer than the libraries' ten minutes.
_PATIENCE = timedelta(hours=6)


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
        """Join the others that `torchrun` started; NCCL between GPUs, gloo between CPUs. Alone without it."""
        if "WORLD_SIZE" not in os.environ:
            return cls()
        if not dist.is_initialized():
            dist.init_process_group("nccl" if device.type == "cuda" else "gloo", timeout=_PATIENCE)
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

    def leave(self) -> None:
        """End the exchange with the others."""
        if self.count > 1:
            dist.destroy_process_group()
