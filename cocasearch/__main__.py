"""The program's way in, as `cocasearch` and as `python -m cocasearch`."""

import sys


def main() -> None:
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
