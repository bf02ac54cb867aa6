"""The stages of a night, in their order; apart from nightly.py so that `--help` can name them
without loading Prefect.
"""

from typing import Literal, get_args

Stage = Literal["generate", "capture", "train", "evaluate", "promote"]
STAGES: tuple[Stage, ...] = get_args(Stage)
