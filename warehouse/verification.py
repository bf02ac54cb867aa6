"""Compares every byte of the lake with what was written, for tools that check nothing
themselves.
"""

from dataclasses import dataclass
from pathlib import Path

from warehouse.database import DATABASE_ERRORS, open_database, rows_since
from warehouse.errors import ManifestDamagedError, StorageError
from warehouse.identity import sha256_file
from warehouse.ledger import FileRow, is_unchanged
from warehouse.manifest import Manifest
from warehouse.seal import seal_path

MANIFEST_NAME = "manifest.sqlite"


@dataclass(frozen=True, slots=True)
class Defect:
    """One thing in the lake that is not what was written: its path, its table (None for the
    manifest), what is wrong.
    """

    path: Path
    table: str | None
    what: str


def verify_lake(root: Path) -> list[Defect]:
    """Every missing or changed file of the lake in that folder, in order of their paths; [] if all
    is as written.

    A damaged manifest is the first defect; then the files that its undamaged rows name are still
    compared. Raises LakeNotFoundError, LakeFormatError. Cost: reads every byte once.
    """
    path = root.absolute() / MANIFEST_NAME
    defects = []
    try:
        manifest = Manifest(path)
        ledger = manifest.ledger()
        defects.extend(_changed_seal(manifest))
        manifest.close()
        files = [file for _, file in ledger.files.values() if file.path not in ledger.retired]
    except ManifestDamagedError as exc:
        defects.append(Defect(path, None, str(exc).removeprefix(f"{path} is damaged: ")))
        files = _salvaged(path)
    for file in sorted(files, key=lambda file: file.path):
        if what := damage_of(root.absolute(), file):
            defects.append(Defect(root.absolute() / file.path, file.table_name, what))
    return defects


def damage_of(root: Path, file: FileRow) -> str | None:
    """What is wrong with the file, compared byte for byte by its sha256; None if nothing is."""
    path = root / file.path
    try:
        if sha256_file(path) == file.sha256:
            return None
    except FileNotFoundError:
        return "the file is missing"
    except OSError as exc:
        raise StorageError(f"cannot read {path}: {exc.strerror or exc}") from exc
    return "its bytes are not those that were written"


def _changed_seal(manifest: Manifest) -> list[Defect]:
    try:
        if manifest.is_as_sealed():
            return []
    except ManifestDamagedError as exc:
        path = seal_path(manifest.path)
        return [Defect(path, None, str(exc).removeprefix(f"{path} is damaged: "))]
    what = "a byte that holds no row changed; all rows are as they were written"
    return [Defect(manifest.path, None, what)]


def _salvaged(path: Path) -> list[FileRow]:
    """The file rows of a damaged manifest whose own digests hold; [] if it cannot be read at
    all.
    """
    engine = open_database(path)
    try:
        with engine.connect() as connection:
            rows = rows_since(connection, 0)
    except (*DATABASE_ERRORS, TypeError):
        return []
    finally:
        engine.dispose()
    return [
        row
        for snapshot, added in rows.items()
        for row, stored in added
        if isinstance(row, FileRow) and is_unchanged(row, snapshot, stored)
    ]
