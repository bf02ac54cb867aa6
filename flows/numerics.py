"""The numerics class: what moves the last bits of a result, beside what was asked for.

Results of one class are equal to the bit; those of two classes may differ, so a night claims its
class and a worker of another one refuses to add to it. Found without loading torch.
"""

import platform
from importlib.metadata import version
from pathlib import Path

from flows.recipes import TeacherConfig

_INSTRUCTION_SETS = ("avx512f", "avx2")


def numerics_class(config: TeacherConfig) -> str:
    """Engine, versions, dtype, device class and threads, as one line."""
    return (
        f"transformers {version('transformers')}, torch {version('torch')}, float32, "
        f"cpu {_cpu_class()}, {config.threads} threads"
    )


def use_threads(threads: int) -> None:
    """Make torch compute with that many threads in this process."""
    import torch

    torch.set_num_threads(threads)


def _cpu_class() -> str:
    """The widest instruction set that torch's kernels choose by, or the machine's name where Linux
    does not say.
    """
    try:
        flags = set(Path("/proc/cpuinfo").read_text(encoding="utf-8").split())
    except OSError:
        return platform.machine()
    return next((name for name in _INSTRUCTION_SETS if name in flags), platform.machine())
