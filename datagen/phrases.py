"""Lists of words and phrases that no text may hold."""

from pathlib import Path


def read_phrases(path: Path) -> tuple[str, ...]:
    """The lines of a UTF-8 file, less empty ones and those that begin with #; ValueError if it
    cannot be read.
    """
    try:
        lines = path.read_text(encoding="utf-8-sig").splitlines()
    except (OSError, UnicodeDecodeError) as exc:
        what = exc.strerror if isinstance(exc, OSError) else exc
        raise ValueError(
            f"{path}: expected a list of phrases, or the path of a UTF-8 file with one a line, "
            f"found: {what}"
        ) from exc
    stripped = (line.strip() for line in lines)
    return tuple(line for line in stripped if line and not line.startswith("#"))
