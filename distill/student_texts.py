"""The texts that a student wrote in its training, a file for each step beside its checkpoints.

A step that is done again after a kill writes the same bytes over the same file, and a step's file
is on the disk before the checkpoint that has it behind it: so the files of a finished training are
those of an unbroken one.
"""

import json
import os
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from distill.checkpoint import sync
from distill.errors import DistillError
from warehouse.identity import Json, canonical_json, digest

_FOLDER = "texts"


@dataclass(frozen=True, slots=True)
class StudentText:
    """A text that a student wrote after the prefix of the document `doc_id`, in that step.

    num_tokens counts the end symbol, which is there where is_finished; else the text was cut off at
    the document's own length. jsd: nats per token, the mean over its symbols.
    """

    step: int
    doc_id: str
    text: str
    num_tokens: int
    is_finished: bool
    jsd: float


def keep_texts(folder: Path, step: int, texts: Sequence[StudentText]) -> None:
    """Write the texts of a step, sorted by doc_id, over what is there of it."""
    place = folder / _FOLDER
    if not place.is_dir():
        place.mkdir(parents=True)
        sync(folder)
    rows: list[Json] = [asdict(text) for text in sorted(texts, key=lambda text: text.doc_id)]
    unfinished = place / f".unfinished-{step:08d}"
    unfinished.write_bytes(canonical_json({"digest": digest(rows), "rows": rows}))
    sync(unfinished)
    os.replace(unfinished, _file(folder, step))
    sync(place)


def read_texts(folder: Path, steps: Iterable[int]) -> list[StudentText]:
    """The texts of these steps by step and doc_id; DistillError names a file that is not there, or
    not as it was written.
    """
    texts = []
    for step in steps:
        path = _file(folder, step)
        try:
            found = json.loads(path.read_bytes())
            rows = found["rows"]
            is_whole = bool(found["digest"] == digest(rows))
        except (OSError, ValueError, KeyError, TypeError):
            is_whole = False
        if not is_whole:
            raise DistillError(
                f"texts of a training in {path}: expected the bytes that it wrote, found others or "
                f"none: remove {folder} and train again"
            )
        texts += [StudentText(**row) for row in rows]
    return texts


def _file(folder: Path, step: int) -> Path:
    return folder / _FOLDER / f"{step:08d}.json"
