"""Ctrl-C, remembered: whoever works long asks whether it came.

Prefect drops the KeyboardInterrupt that comes between a flow's last line and its end (it waits up
to two seconds there), and some libraries turn one into an error of their own. An import is not
broken off, which ends the process where it hits C++ (torch): it is finished first.
"""

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

_CAME = threading.Event()
_IMPORT = "<frozen importlib._bootstrap>"  # the file of the frames in which modules are run
_LATER_S = 0.05


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
    if _is_importing(frame):
        main = threading.get_ident()  # handlers run there
        later = threading.Timer(_LATER_S, signal.pthread_kill, (main, signal.SIGINT))
        later.daemon = True
        later.start()
        return
    signal.default_int_handler(number, frame)


def _is_importing(frame: FrameType | None) -> bool:
    while frame is not None:
        if frame.f_code.co_filename == _IMPORT:
            return True
        frame = frame.f_back
    return False
