"""The kinds of what can have become of a file since the last run, for the plan, the run and the lines that tell it."""

from collections.abc import Mapping
from enum import StrEnum


class Change(StrEnum):
    """What has become of a file. The values are the words of the line that ends a run, in their order there."""

    ADDED = "added"
    UPDATED = "updated"  # its content is another one than before
    MOVED = "moved"  # its content was known in a place that is gone, or in a root around a new one
    COPIED = "copied"  # its content is known in another place, too
    TOUCHED = "touched"  # its time of change is new and nothing else
    BACK = "back"  # it had been missing and is there again as it was
    GONE = "gone"  # it is not there any more, though its folder has been looked through
    EXCLUDED = "excluded"  # a pattern leaves it out from now on
    MISSING = "missing"  # it has been gone before, and is so still
    UNCHANGED = "unchanged"
    LEFT_BEHIND = "left behind"  # the present table has it, and the one that a rebuild makes will not
    LINKED = "linked folders not followed"
    REMOVED = "removed"  # its row was deleted: pruned, or the file cannot be read any more
    UNREADABLE = "unreadable"
    KNOWN_BAD = "unreadable as before"  # it is not tried again, as it has not changed since

    @property
    def planned(self) -> str:
        """The word for it in a plan."""
        return _PLANNED.get(self, self.value)


_PLANNED = {Change.ADDED: "new", Change.UPDATED: "changed", Change.KNOWN_BAD: "bad"}


def format_counts(counts: Mapping[str, int]) -> str:
    """The numbers of files, each with the word for its kind, without those that are zero."""
    return ", ".join(f"{count} {word}" for word, count in counts.items() if count) or "nothing to do"
