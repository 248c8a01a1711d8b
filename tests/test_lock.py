import errno
import json
import os
import subprocess
import sys

import pytest

from cocasearch.errors import CocaSearchError
from cocasearch.lock import LOCK_FILE, refuse_if_locked, writer_lock

HOLDER = """
import sys, time
from pathlib import Path
from cocasearch.lock import writer_lock
with writer_lock(Path(sys.argv[1])):
    print("held", flush=True)
    time.sleep(60)
"""


@pytest.fixture
def holder(tmp_path):
    """Another process that holds the lock."""
    with subprocess.Popen([sys.executable, "-c", HOLDER, str(tmp_path)], stdout=subprocess.PIPE) as process:
        assert process.stdout.readline() == b"held\n"
        yield process
        process.kill()


def test_only_one_process_writes(tmp_path, holder):
    with (
        pytest.raises(CocaSearchError, match=rf"written by process {holder.pid} on .+, for \d+ s"),
        writer_lock(tmp_path),
    ):
        pass


def test_who_writes_can_be_known_before_any_work(tmp_path, holder):
    with pytest.raises(CocaSearchError, match=rf"written by process {holder.pid} on "):
        refuse_if_locked(tmp_path)
    holder.kill()
    holder.wait()
    refuse_if_locked(tmp_path)
    refuse_if_locked(tmp_path / "nowhere")


def test_the_owner_is_told_with_user_and_age(tmp_path, holder, monkeypatch):
    owner = json.loads((tmp_path / LOCK_FILE).read_text())
    (tmp_path / LOCK_FILE).write_text(json.dumps(owner | {"user": "anna", "since": owner["since"] - 3 * 3600}))
    with pytest.raises(CocaSearchError, match=r"\(user anna\), for 3 hours"):
        refuse_if_locked(tmp_path)


def test_the_lock_of_a_killed_process_is_free(tmp_path, holder):
    holder.kill()
    holder.wait()
    with writer_lock(tmp_path):
        pass


def test_the_lock_is_given_back_after_an_error(tmp_path):
    with pytest.raises(ZeroDivisionError), writer_lock(tmp_path):
        1 / 0  # noqa: B018
    with writer_lock(tmp_path):
        assert (tmp_path / LOCK_FILE).stat().st_size > 0
    assert (tmp_path / LOCK_FILE).stat().st_size == 0


def test_a_folder_that_cannot_be_written_to_is_named(tmp_path):
    (tmp_path / "writer.lock").mkdir()
    with pytest.raises(CocaSearchError, match="cannot write to the index at "), writer_lock(tmp_path):
        pass


def test_a_disk_that_fills_meanwhile_is_named(tmp_path):
    with pytest.raises(CocaSearchError, match="no space left on device"), writer_lock(tmp_path):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    with writer_lock(tmp_path):
        pass


@pytest.mark.skipif(sys.platform == "win32", reason="Windows locks in another way")
@pytest.mark.parametrize("number", [errno.ENOLCK, errno.ENOTSUP, errno.ENOSYS, errno.EINVAL])
def test_a_drive_without_locks_is_named(tmp_path, monkeypatch, number):
    """As some network drives are, of which a test has none."""
    (tmp_path / LOCK_FILE).touch()

    def refuse(*_):
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr("fcntl.flock", refuse)
    for attempt in (refuse_if_locked, lambda folder: writer_lock(folder).__enter__()):
        with pytest.raises(CocaSearchError, match=f"cannot be locked \\({os.strerror(number).lower()}\\)") as told:
            attempt(tmp_path)
        assert "--index FOLDER" in told.value.hint
