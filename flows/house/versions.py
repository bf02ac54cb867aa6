"""Libraries that Prefect's server takes in any version, and breaks with in some.

Its own requirements do not say so, an import works and /health answers: so every failure of a
server names what is installed.
"""

import re
from importlib.metadata import version

# Measured with Prefect 3.7 and 3.8: the first version that breaks the server, and how.
_BREAKS = {
    "fastapi": ("0.137", "its server answers 422 to its own client, or does not start"),
    "sqlalchemy": ("2.1", "its scheduler ends at every turn, and no run is ever scheduled"),
}


def versions_hint() -> str:
    """Which installed library is known to break Prefect's server, or that none is."""
    told = []
    for name, (limit, how) in _BREAKS.items():
        installed = version(name)
        if _numbers(installed) >= _numbers(limit):
            told.append(
                f"{name} {installed} is known to break Prefect {version('prefect')} ({how}): "
                f"`pip install '{name}<{limit}'`"
            )
    known = ", ".join(f"{name} {version(name)}" for name in ("prefect", *_BREAKS))
    return "; ".join(told) or f"installed: {known}, none of them known to break it"


def _numbers(text: str) -> list[int]:
    """Major and minor, which is all that the limits have."""
    return [int(part) for part in re.findall(r"\d+", text)[:2]]
