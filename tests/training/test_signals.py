"""Signals are collected between two steps, and every handler is back in its place afterwards."""

import os
import signal
import threading

import pytest

from jaxgen.training.signals import stop_signals


@pytest.fixture(params=[signal.SIGINT, signal.SIGTERM])
def signum(request):
    return request.param


@pytest.fixture
def former(signum):
    """The calls of the handler that was there before."""
    calls = []
    before = signal.signal(signum, lambda *_: calls.append(signum))
    yield calls
    signal.signal(signum, before)


def test_the_first_signal_is_collected_and_the_second_goes_to_the_former_handler(signum, former, capsys):
    with stop_signals() as received:
        os.kill(os.getpid(), signum)
        assert (received, former) == ([signum], [])
        os.kill(os.getpid(), signum)
        assert (received, former) == ([signum], [signum])
    assert capsys.readouterr().err.count("stopping at the next log line") == 1


@pytest.mark.parametrize("error", [False, True])
def test_the_former_handlers_are_back_at_the_end(signum, former, error):
    before = signal.getsignal(signum)
    try:
        with stop_signals():
            assert signal.getsignal(signum) is not before
            if error:
                raise LookupError
    except LookupError:
        pass
    assert signal.getsignal(signum) is before
    os.kill(os.getpid(), signum)
    assert former == [signum]


def test_another_thread_collects_nothing_and_changes_nothing(signum, former):
    before, seen = signal.getsignal(signum), []

    def body():
        with stop_signals() as received:
            seen.append((list(received), signal.getsignal(signum) is before))

    thread = threading.Thread(target=body)
    thread.start()
    thread.join()
    assert seen == [([], True)]
