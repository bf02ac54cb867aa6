"""What a run takes where it was told nothing, its lake and its night; and which logs are ours."""

import os
from pathlib import Path

DEFAULT_DATA = Path("stillhouse-data")
OUR_LOGGERS = ("flows", "datagen", "distill", "warehouse")


def lake_folder(data: Path | None) -> Path:
    """The folder asked for, else STILLHOUSE_DATA, else ./stillhouse-data; absolute."""
    return (data or Path(os.environ.get("STILLHOUSE_DATA") or DEFAULT_DATA)).expanduser().absolute()


def night_label(night: str | None) -> str:
    """The label asked for, else the minute for which Prefect scheduled the run, in UTC, as
    2026-11-21T0200.

    A run that is killed and started again keeps its scheduled time, so it goes on with its night.
    """
    from prefect.runtime import flow_run

    return night or flow_run.scheduled_start_time.strftime("%Y-%m-%dT%H%M")
