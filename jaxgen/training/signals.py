"""SIGINT and SIGTERM, which end a run cleanly between two chunks of steps."""

import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

__all__ = ["stop_signals"]


@contextmanager
def stop_signals() -> Iterator[list[int]]:
    """Collects SIGINT and SIGTERM in the list that it gives, and restores the former handlers at the end.

    The handlers are restored at the first signal already, so that a second one acts as if nobody listened. Python
    delivers signals to the main thread alone: in another thread the list stays empty.
    """
    received: list[int] = []
    before = {}

    def restore() -> None:
        for signum, handler in before.items():
            signal.signal(signum, handler)

    def handle(signum: int, frame: FrameType | None) -> None:
        received.append(signum)
        print(
            f"\n{signal.Signals(signum).name}: stopping at the next log line; once more stops at once",
            file=sys.stderr,
        )
        restore()

    try:
        for signum in (signal.SIGINT, signal.SIGTERM):
            before[signum] = signal.signal(signum, handle)
    except ValueError:  # not the main thread
        pass
    try:
        yield received
    finally:
        restore()
