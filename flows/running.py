"""One night from the command line: Prefect without a server of one's own, progress on the terminal,
a summary at the end.
"""

import logging
import os
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console, RenderableType
from rich.logging import RichHandler
from rich.text import Text

from flows.defaults import OUR_LOGGERS
from flows.progress import terminal
from flows.recipes import Recipe
from flows.serverless import set_prefect_defaults, some_server
from flows.stages import STAGES, Stage

logger = logging.getLogger(__name__)


def run_night(recipe: Recipe, night: str, data: Path, stages: Sequence[Stage]) -> None:
    """Run the stages of the night that are not done yet, and print what the night made.

    A finished night is recognised from the lake alone, before Prefect's server or the teacher are
    loaded.
    """
    _set_up()
    from flows.night import open_night
    from flows.nightly import close_night, is_finished, nightly
    from flows.summary import night_summary

    with open_night(recipe, night, data, logger.info) as tonight:
        if tuple(stages) == STAGES and is_finished(tonight):
            close_night(tonight)
            logger.info("%s is finished: nothing was made again", tonight.label)
        else:
            with some_server():
                nightly(recipe, night, tonight.lake.root, stages)
        _print(night_summary(tonight))


def _print(parts: Sequence[RenderableType]) -> None:
    """Tables fit the terminal; text is left to it, so that a command can be copied in one piece."""
    console = Console()
    for part in parts:
        console.print(part, soft_wrap=isinstance(part, Text))


def _set_up() -> None:
    """Plain lines on the terminal for our own log; no spinning threads, which cost CPU and win
    nothing on shared cores.
    """
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    set_prefect_defaults()
    handler = _lines_beside_bars() if terminal().is_terminal else logging.StreamHandler()
    handler.setFormatter(logging.Formatter("%(message)s"))
    for name in OUR_LOGGERS:
        ours = logging.getLogger(name)
        ours.setLevel(logging.INFO)
        ours.handlers = [handler]
        ours.propagate = False


def _lines_beside_bars() -> logging.Handler:
    return RichHandler(
        console=terminal(),
        show_time=False,
        show_level=False,
        show_path=False,
        markup=False,
        highlighter=None,
    )
