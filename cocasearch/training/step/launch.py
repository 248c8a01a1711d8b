"""What `torchrun` says to the processes of a run by variables; a process without it trains alone, as the first."""

import os

_LAUNCHER = os.getppid()


def is_alone() -> bool:
    """Whether this process trains a model without others."""
    return os.environ.get("WORLD_SIZE", "1") in ("", "1")


def process_number() -> int:
    """The number of this process; 0 is the one that prints, validates and writes."""
    number = os.environ.get("RANK", "0")
    return int(number) if number.isdecimal() and not is_alone() else 0


def processes_of_machine() -> int:
    """How many processes of the run share this machine."""
    return int(os.environ.get("LOCAL_WORLD_SIZE") or 1)


def has_lost_launcher() -> bool:
    """Whether `torchrun`, which would end this process with the others, is gone itself."""
    return "TORCHELASTIC_RUN_ID" in os.environ and os.getppid() != _LAUNCHER
