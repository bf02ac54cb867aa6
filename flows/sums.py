"""What a teacher's files must be: a list of sha256 sums, in the form that `sha256sum --check`
reads.
"""

from collections.abc import Mapping
from pathlib import Path

from warehouse.identity import sha256_file
from warehouse.shards import write_durably


def sums_of(folder: Path) -> dict[str, str]:
    """The sha256 of each file of the folder by its name, sorted."""
    return {file.name: sha256_file(file) for file in sorted(folder.iterdir()) if file.is_file()}


def write_sums(path: Path, sums: Mapping[str, str], *, heading: str = "") -> None:
    """Write the list, whole or not at all; a heading is a comment in its first line."""
    lines = [f"# {heading}\n"] if heading else []
    lines += [f"{sha256}  {name}\n" for name, sha256 in sums.items()]
    write_durably(path, "".join(lines).encode())


def read_sums(path: Path) -> tuple[str, dict[str, str]]:
    """The list's heading and its sums by name; nothing of either where there is no list."""
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except FileNotFoundError:
        return "", {}
    headings = [line.removeprefix("# ") for line in lines if line.startswith("#")]
    pairs = [line.partition("  ") for line in lines if not line.startswith("#")]
    return "".join(headings[:1]), {name: sha256 for sha256, _, name in pairs}


def changed_file(folder: Path, sums: Mapping[str, str]) -> str | None:
    """The first file of the list that is missing in the folder or has other bytes; None if all are
    as listed.
    """
    for name, sha256 in sums.items():
        file = folder / name
        if not file.is_file() or sha256_file(file) != sha256:
            return name
    return None
