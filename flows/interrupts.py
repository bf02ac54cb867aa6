"""Ctrl-C, remembered: whoever works long asks whether it came.

Prefect drops the KeyboardInterrupt that comes between a flow's last line and its end (it waits up
to two seconds there), and some libraries turn one into an error of their own.
"""

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

_CAME = threading.Event()


@contextmanager
def remembering() -> Iterator[None]:
    """Remember Ctrl-C until the block ends; not where somebody wants it ignored (nohup), or off the
    main thread.
    """
    is_main = threading.current_thread() is threading.main_thread()
    if not is_main or signal.getsignal(signal.SIGINT) is not signal.default_int_handler:
        yield
        return
    signal.signal(signal.SIGINT, _remember)
    try:
        yield
    finally:
        _CAME.clear()
        if signal.getsignal(signal.SIGINT) is _remember:
            signal.signal(signal.SIGINT, signal.default_int_handler)


def has_come() -> bool:
    """Whether Ctrl-C came since it was first remembered."""
    return _CAME.is_set()


def stop_if_it_came() -> None:
    """KeyboardInterrupt if Ctrl-C came and was dropped."""
    if _CAME.is_set() and threading.current_thread() is threading.main_thread():
        raise KeyboardInterrupt


def _remember(number: int, frame: FrameType | None) -> None:
    _CAME.set()
    signal.default_int_handler(number, frame)
