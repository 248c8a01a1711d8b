"""Replacing of a folder by a new one, which takes two renames.

A process that is killed between them leaves neither folder under the name. Whoever looks for the folder next finishes
the replacement. Nothing heavy is imported here.
"""

import re
import shutil
import tempfile
from contextlib import suppress
from pathlib import Path

from cocasearch.interruption import uninterrupted

_SWAP_FOLDER = re.compile(r"\.(.+)\.old\.\w{8}")
_NEW, _OLD = "new", "old"


def replace_folder(new: Path, folder: Path) -> None:
    """Move the folder `new` to `folder`, replacing what is there.

    Raises:
        OSError: That failed; `folder` is as it was.
    """
    with uninterrupted():
        if not folder.exists():
            new.rename(folder)
            return
        swap = Path(tempfile.mkdtemp(prefix=f".{folder.name}.old.", dir=folder.parent))
        new.rename(swap / _NEW)
        folder.rename(swap / _OLD)
        try:
            (swap / _NEW).rename(folder)
        except OSError:
            if not folder.exists():  # else another process has just put it there
                (swap / _OLD).rename(folder)
                raise
    shutil.rmtree(swap, ignore_errors=True)


def put_in_place(parent: Path, name: str | None = None) -> None:
    """Finish the replacements in the folder `parent` that were killed between the renames, all or that of `name`."""
    for swap in parent.glob(".*.old.*"):
        match = _SWAP_FOLDER.fullmatch(swap.name)
        if match and name in (None, match[1]) and not (parent / match[1]).exists():
            whole = swap / (_NEW if (swap / _NEW).exists() else _OLD)
            with suppress(OSError):  # it is another process's moment, or a medium that can only be read
                whole.rename(parent / match[1])
