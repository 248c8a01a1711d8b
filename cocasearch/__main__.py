"""The program's way in, as `cocasearch` and as `python -m cocasearch`."""

import atexit
import os
import sys
from contextlib import suppress


def main() -> None:
    """Run the command line, and end this process with its exit code."""
    try:
        _run()
    except SystemExit as end:
        from cocasearch.training.step.launch import is_alone

        if is_alone():
            raise
        _end_at_once(end.code)


def _end_at_once(code: object) -> None:
    """End one of several processes that have trained together, without taking the interpreter down.

    PyTorch's threads may still come back from their exchange then, and abort a process whose work is done, which
    `torchrun` takes for the failure of the whole run.
    """
    atexit._run_exitfuncs()
    for stream in (sys.stdout, sys.stderr):
        with suppress(OSError, ValueError, AttributeError):
            stream.flush()
    os._exit(code if isinstance(code, int) else int(code is not None))


def _run() -> None:
    """Run the command line, which Ctrl-C ends quietly from the first import on."""
    try:
        from cocasearch.cli import streams

        streams.guard_streams()
        from cocasearch.cli.app import app

        try:
            try:
                app()
            finally:
                sys.stdout.flush()  # help and usage are printed by others
        except OSError as error:
            from cocasearch.cli import console, exit_codes

            streams.give_up_stdout()
            if isinstance(error, BrokenPipeError):
                raise SystemExit(exit_codes.CLOSED_PIPE) from None
            console.fail(f"the output cannot be written: {error.strerror}")
            raise SystemExit(1) from None
    except KeyboardInterrupt:
        raise SystemExit(130) from None


if __name__ == "__main__":
    main()
