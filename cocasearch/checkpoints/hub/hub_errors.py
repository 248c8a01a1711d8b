"""Errors on the way to the Hugging Face hub, each as one sentence."""

import logging
from collections.abc import Iterator
from contextlib import contextmanager

from cocasearch.errors import CocaSearchError


@contextmanager
def asking(repository: str) -> Iterator[str]:
    """Report whatever goes wrong in a block that talks to the hub as one sentence; gives the hub's endpoint."""
    from huggingface_hub import constants
    from huggingface_hub.utils.tqdm import disable_progress_bars

    # Its warnings say over several lines what the sentence says.
    logging.getLogger("huggingface_hub").setLevel(logging.ERROR)
    disable_progress_bars()
    try:
        yield constants.ENDPOINT
    except CocaSearchError:
        raise
    except Exception as error:  # of the hub's library, of its HTTP library, of the system: names differ by release
        raise _explained(error, repository, constants.ENDPOINT) from error


def _explained(error: Exception, repository: str, endpoint: str) -> CocaSearchError:
    from huggingface_hub.errors import OfflineModeIsEnabled

    status = status_of(error)
    if any(isinstance(cause, OfflineModeIsEnabled) for cause in _causes(error)):
        return CocaSearchError(f"{repository} is not in the hub's cache, and HF_HUB_OFFLINE forbids to fetch it")
    if status in (401, 403):
        return CocaSearchError(
            f"{endpoint} gives {repository} only to those who may have it ({status})",
            hint="HF_TOKEN=… in front of the same command",
        )
    if status == 404:
        return CocaSearchError(f"there is no {repository} at {endpoint}")
    if status is not None:
        return CocaSearchError(f"{endpoint} does not give {repository} at the moment ({status})")
    reason = " ".join(str(error).split()) or type(error).__name__
    return CocaSearchError(f"{endpoint} cannot be reached: {reason}")


def status_of(error: BaseException) -> int | None:
    """The HTTP status behind an error; None if there is none."""
    responses = (getattr(cause, "response", None) for cause in _causes(error))
    return next((int(response.status_code) for response in responses if response is not None), None)


def _causes(error: BaseException) -> Iterator[BaseException]:
    cause: BaseException | None = error
    while cause is not None:
        yield cause
        cause = cause.__cause__
