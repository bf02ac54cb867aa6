"""A note of the manifest file's sha256, so that `lake verify` names a flipped bit even where
no row lies.

The manifest's rows guard themselves; about four fifths of a small SQLite file are unused
bytes that no digest covers. The seal names the snapshot that it was made for: one from before
a kill is out of date, which is no defect.
"""

import json
from dataclasses import asdict, dataclass
from pathlib import Path

from warehouse.errors import ManifestDamagedError, StorageError
from warehouse.identity import canonical_json, digest
from warehouse.shards import write_durably

_NAME = "manifest.seal"


@dataclass(frozen=True, slots=True)
class Seal:
    """The sha256 of the manifest file after the transaction `snapshot`."""

    snapshot: int
    sha256: str


def seal_path(manifest: Path) -> Path:
    """Where the seal of that manifest lies."""
    return manifest.with_name(_NAME)


def write_seal(manifest: Path, seal: Seal) -> None:
    """Put the seal in place, whole; raises StorageError."""
    content = {**asdict(seal), "digest": _digest(seal)}
    try:
        write_durably(seal_path(manifest), canonical_json(content) + b"\n")
    except OSError as exc:
        raise StorageError(f"cannot write {seal_path(manifest)}: {exc.strerror or exc}") from exc


def read_seal(manifest: Path) -> Seal | None:
    """The seal, or None if none was written yet; raises ManifestDamagedError if it is not as
    written.
    """
    path = seal_path(manifest)
    try:
        data = path.read_bytes()
        content = json.loads(data)
        seal = Seal(content["snapshot"], content["sha256"])
        is_whole = data == canonical_json({**asdict(seal), "digest": _digest(seal)}) + b"\n"
    except FileNotFoundError:
        return None
    except OSError as exc:
        raise StorageError(f"cannot read {path}: {exc.strerror or exc}") from exc
    except (ValueError, TypeError, KeyError):
        is_whole = False
    if not is_whole:
        raise ManifestDamagedError(
            f"{path} is damaged: its bytes changed; the next commit writes it again"
        )
    return seal


def _digest(seal: Seal) -> str:
    return digest("seal", seal.snapshot, seal.sha256)
