"""How every command ends: with an exit code, and with one sentence instead of a traceback."""

import functools
import inspect
import traceback
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Annotated, Any

import typer

from cocasearch.cli import console
from cocasearch.errors import CocaSearchError, CocaSearchWarning, ReportedByAnother

UNEXPECTED = 1
INTERRUPTED = 130  # 128 + SIGINT, as shells have it
CLOSED_PIPE = 141  # 128 + SIGPIPE, likewise

_STOPPED_MIDWAY = "stopped: what was done is kept, and the same command goes on from there"

Debug = Annotated[bool, typer.Option("--debug", help="Show the traceback of an error.", show_default=False)]
_DEBUG = inspect.Parameter("debug", inspect.Parameter.KEYWORD_ONLY, default=False, annotation=Debug)


def reporting(command: Callable[..., None], *, resumes: bool = False) -> Callable[..., None]:
    """The command with `--debug`, with warnings and errors reported on stderr, and with errors as exit codes.

    Args:
        command: A function with the parameters of the command line, whose docstring is the help.
        resumes: Whether the same command, after Ctrl-C, goes on where it stopped.
    """

    def reported(*args: object, debug: bool, **options: object) -> None:
        try:
            with _reporting_warnings():
                command(*args, **options)
        except KeyboardInterrupt as error:
            console.report("", _STOPPED_MIDWAY if resumes else "stopped")
            raise typer.Exit(INTERRUPTED) from error
        except CocaSearchError as error:
            _trace(debug)
            if not isinstance(error, ReportedByAnother):
                console.fail(str(error), error.hint)
            raise typer.Exit(error.exit_code) from error
        except BrokenPipeError as error:  # `| head` has seen enough
            raise typer.Exit(CLOSED_PIPE) from error
        except (typer.Exit, typer.Abort, typer.BadParameter):
            raise
        except Exception as error:
            hint = None if debug else "the same command with --debug shows where"
            message = f"unexpected {type(error).__name__}: {error}"
            if isinstance(error, OSError) and error.strerror:
                message = f"cannot read or write {error.filename or 'a file'}: {error.strerror.lower()}"
            _trace(debug)
            console.fail(message, hint)
            raise typer.Exit(UNEXPECTED) from error

    functools.update_wrapper(reported, command)
    signature = inspect.signature(command)
    parameters = [*signature.parameters.values(), _DEBUG]
    reported.__signature__ = signature.replace(parameters=parameters)  # type: ignore[attr-defined]
    reported.__doc__ = _flowing(inspect.getdoc(command) or "")
    reported.__annotations__ = {parameter.name: parameter.annotation for parameter in parameters}
    return reported


@contextmanager
def _reporting_warnings() -> Iterator[None]:
    """Report the package's own warnings as one sentence each, whatever Python's filters for warnings are."""
    with warnings.catch_warnings():
        show_others = warnings.showwarning

        def show(message: Warning | str, category: type[Warning], *where: Any, **more: Any) -> None:
            if issubclass(category, CocaSearchWarning):
                console.report(f"warning: {message}")
            else:
                show_others(message, category, *where, **more)

        warnings.simplefilter("always", CocaSearchWarning)
        warnings.showwarning = show
        yield


def _flowing(text: str) -> str:
    """The text with each paragraph on one line, so that help breaks lines only where the terminal ends."""
    return "\n\n".join(" ".join(paragraph.split()) for paragraph in text.split("\n\n"))


def _trace(debug: bool) -> None:
    if debug:
        console.trace(traceback.format_exc())
