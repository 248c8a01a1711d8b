"""Signals that reach a block take effect when it is safe, and not at all where they were ignored before."""

import signal
import threading

import pytest

from cocasearch.interruption import stopping, uninterrupted


def test_ctrl_c_waits_for_the_end_of_the_block() -> None:
    done = []
    with pytest.raises(KeyboardInterrupt), uninterrupted():
        signal.raise_signal(signal.SIGINT)
        done.append("all of it")
    assert done == ["all of it"]
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_a_failure_is_told_rather_than_the_signal_that_came_before_it() -> None:
    with pytest.raises(ValueError, match="disk"), uninterrupted():
        signal.raise_signal(signal.SIGINT)
        raise ValueError("disk")
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_sigterm_ends_at_once_what_may_end_at_once() -> None:
    before = signal.getsignal(signal.SIGTERM)
    with pytest.raises(KeyboardInterrupt), stopping(at_once=True):
        signal.raise_signal(signal.SIGTERM)
        pytest.fail("the block went on")
    assert signal.getsignal(signal.SIGTERM) is before


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_what_ends_itself_is_told_that_it_was_asked_to(number: signal.Signals) -> None:
    before = signal.getsignal(number)
    with stopping(at_once=False) as is_asked:
        assert not is_asked()
        signal.raise_signal(number)
        assert is_asked()
    assert signal.getsignal(number) is before


def test_ignored_signals_stay_ignored() -> None:
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        with stopping(at_once=False) as is_asked, uninterrupted():
            signal.raise_signal(signal.SIGINT)
        assert not is_asked()
    finally:
        signal.signal(signal.SIGINT, before)


def test_other_threads_leave_the_signals_alone() -> None:
    seen = []

    def work() -> None:
        with stopping(at_once=False) as is_asked, uninterrupted():
            seen.append((is_asked(), signal.getsignal(signal.SIGINT)))

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert seen == [(False, signal.default_int_handler)]
