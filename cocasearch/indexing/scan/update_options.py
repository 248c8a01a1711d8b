"""How an index is to be brought up to date."""

from dataclasses import dataclass

from cocasearch.images.decode_limits import MAX_MEGAPIXELS


@dataclass(frozen=True, slots=True)
class UpdateOptions:
    """How an index is to be brought up to date.

    Attributes:
        excludes: Patterns of files and folders to leave out, beside those that the index remembers.
        forget_excludes: Forget the remembered ones first.
        retry_bad: Try files again that could not be read, though they have not changed.
        prune: Delete the rows of files that are gone, and of those that have been missing since earlier runs.
        max_megapixels: Larger images are unreadable; those that were too large for a smaller limit are tried again.
        rebuild_with: Fingerprint of the model to make the whole index anew with; empty to update it.
    """

    excludes: tuple[str, ...] = ()
    forget_excludes: bool = False
    retry_bad: bool = False
    prune: bool = False
    max_megapixels: float = MAX_MEGAPIXELS
    rebuild_with: str = ""
