"""A folder that appears whole: written beside its place under another name, then renamed.

A folder that is there already is left alone: if it holds the same bytes, that is success, else an
error. What a killed writer left is cleared by the next one.
"""

import filecmp
import os
import shutil
from collections.abc import Callable
from pathlib import Path

from warehouse.errors import ExchangeError, StorageError
from warehouse.locks import hold_file
from warehouse.shards import sync_folder


def place_folder(folder: Path, write: Callable[[Path], None]) -> bool:
    """True if the folder is there now with what `write` put into the folder that it is given;
    False if it held the same files before.

    Raises ExchangeError where another thing stands there, StorageError; then nothing changed.
    """
    folder = folder.absolute()
    _refuse_non_folder(folder)
    unfinished = folder.with_name(f".{folder.name}.unfinished")
    try:
        with hold_file(folder.with_name(f".{folder.name}.lock")):
            shutil.rmtree(unfinished, ignore_errors=True)
            unfinished.mkdir()
            try:
                write(unfinished)
                return _put(unfinished, folder)
            finally:
                shutil.rmtree(unfinished, ignore_errors=True)
    except OSError as exc:
        raise StorageError(
            f"cannot write {folder}: {exc.strerror or exc}; free space or choose a folder that can "
            "be written with --to, then run again"
        ) from exc


def files_of(folder: Path) -> list[str]:
    """Every file below the folder, as POSIX paths, sorted."""
    found = (path for path in folder.rglob("*") if path.is_file() or path.is_symlink())
    return sorted(path.relative_to(folder).as_posix() for path in found)


def _put(unfinished: Path, folder: Path) -> bool:
    for name in files_of(unfinished):
        _sync_file(unfinished / name)
    for inner in (unfinished, *(path for path in unfinished.rglob("*") if path.is_dir())):
        sync_folder(inner)
    if folder.is_dir() and any(folder.iterdir()):
        _refuse_other_content(unfinished, folder)
        return False
    unfinished.rename(folder)  # over an empty folder too
    sync_folder(folder.parent)
    return True


def _refuse_non_folder(folder: Path) -> None:
    if not folder.name:
        raise ExchangeError(
            f"{folder}: expected a folder with a name of its own, found the root of all; name "
            "another with --to"
        )
    if (folder.exists() or folder.is_symlink()) and not folder.is_dir():
        raise ExchangeError(
            f"{folder}: expected an empty folder or none, found another thing; name another with "
            "--to"
        )


def _refuse_other_content(unfinished: Path, folder: Path) -> None:
    ours, theirs = files_of(unfinished), files_of(folder)
    common = sorted(set(ours) & set(theirs))
    _, changed, unread = filecmp.cmpfiles(unfinished, folder, common, shallow=False)
    others = sorted({*changed, *unread, *(set(ours) ^ set(theirs))})
    if others:
        raise ExchangeError(
            f"{folder}: expected an empty folder or the same export, found other content "
            f"({others[0]}{' and more' if len(others) > 1 else ''}); name another with --to, or "
            "move it away"
        )


def _sync_file(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
