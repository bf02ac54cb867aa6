"""The learning rate as a pure function of the step.

Warmup-stable-decay (MiniCPM, arXiv 2404.06395) by default rather than a cosine (arXiv 1608.03983):
the stable part does not depend on how long the run will be, so a longer run may branch off from any
checkpoint of it.
"""

import math
from typing import Literal

Schedule = Literal["wsd", "cosine"]


def learning_rate(
    step: int,
    num_steps: int,
    peak: float,
    warmup_share: float,
    decay_share: float,
    schedule: Schedule = "wsd",
) -> float:
    """The rate of step 1..num_steps: rises linearly to `peak`, stays, falls linearly, never 0.

    The first ceil(warmup_share * num_steps) steps warm up, the last ceil(decay_share * num_steps)
    decay; where the two meet in a very short run, the lower rate holds. A cosine falls from the end
    of the warmup on, as (1 + cos(pi * i / (n + 1))) / 2 in its i-th of n steps; decay_share is then
    not read.
    """
    if not 1 <= step <= num_steps:
        raise ValueError(f"step must lie in [1, {num_steps}], found {step}")
    num_warmup = math.ceil(warmup_share * num_steps)
    warmup = step / num_warmup if num_warmup else 1.0
    if schedule == "cosine":
        fallen = max(0, step - num_warmup) / (num_steps - num_warmup + 1)
        return peak * min(warmup, (1 + math.cos(math.pi * fallen)) / 2)
    num_decay = math.ceil(decay_share * num_steps)
    decay = (num_steps - step + 1) / num_decay if num_decay else 1.0
    return peak * min(1.0, warmup, decay)
