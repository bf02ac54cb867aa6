"""The documents that models are measured on: texts of files, or held-out stories of a line.

A document has the id of its text, so the same story from a file and from the lake is the same
document, each text counts once, and the order of files changes nothing. What a document of a file
is, and which ones cannot be used, is said by the code that imports corpora.
"""

import heapq
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from flows.errors import FlowsError
from flows.progress import track
from warehouse.exchange import MAX_DOCUMENT_BYTES, open_source
from warehouse.exchange_documents import DUPLICATE
from warehouse.identity import digest_bytes
from warehouse.schemas import STORIES, VERDICTS
from warehouse.split import is_held_out

if TYPE_CHECKING:
    from flows.likelihood import Document
    from warehouse.exchange_export import ExportUnit
    from warehouse.lake import Lake


@dataclass(frozen=True, slots=True)
class Texts:
    """Documents in the order of their ids, where they are from, and how many were left out for
    which reason.
    """

    origin: str
    documents: "tuple[Document, ...]"
    left_out: Mapping[str, int]


@dataclass(frozen=True, slots=True)
class LineStories:
    """The finished nights of a line, up to one of them if that was asked for."""

    lake: "Lake"
    units: "tuple[ExportUnit, ...]"
    measured: "tuple[ExportUnit, ...]"
    snapshot: int
    asked: str

    def held_out(self) -> Texts:
        """The accepted stories of the measured nights that no student of the line is trained on."""
        found: dict[str, str] = {}
        for unit in self.measured:
            found.update((i, text) for i, text, is_out in self._stories(unit) if is_out)
        return _sorted(f"held-out stories of {self.asked}", found, Counter())

    def training(self) -> Iterator[str]:
        """Each text that students of the line are trained on, once."""
        seen = {i for unit in self.units for i, _, is_out in self._stories(unit) if is_out}
        for unit in self.units:
            for doc_id, text, _ in self._stories(unit):
                if doc_id not in seen:
                    seen.add(doc_id)
                    yield text

    def _stories(self, unit: "ExportUnit") -> Iterator[tuple[str, str, bool]]:
        """Id, text and side of the unit's accepted stories, less those that a pass refused."""
        passes = self.lake.shards(VERDICTS.name, run_ids=unit.pass_ids, snapshot=self.snapshot)
        refused = {story for rows in passes for story in rows.column("story_id").to_pylist()}
        columns = ["story_id", "doc_id", "text", "split_digest", "accepted"]
        shards = self.lake.shards(
            STORIES.name, run_ids=[unit.run_id], columns=columns, snapshot=self.snapshot
        )
        for rows in shards:
            for row in rows.filter(rows.column("accepted")).to_pylist():
                if row["story_id"] not in refused:
                    side = is_held_out(row["split_digest"], unit.held_out_share)
                    yield row["doc_id"], row["text"], side


def texts_of_files(paths: Sequence[str], text_column: str) -> Texts:
    """The documents of those files; ExchangeError names the file and line that is bad."""
    found: dict[str, str] = {}
    left_out: Counter[str] = Counter()
    origins = []
    for path in paths:
        source = open_source(path, "auto", text_column)
        origins.append(source.origin)
        with track(f"read {source.origin}", source.total, source.unit) as bar:
            done = 0
            for document in source.documents(MAX_DOCUMENT_BYTES):
                doc_id = digest_bytes(document.text.encode())
                reason = document.reason or (DUPLICATE if doc_id in found else None)
                if reason is None:
                    found[doc_id] = document.text
                else:
                    left_out[reason] += 1
                bar.advance(source.num_done - done)
                done = source.num_done
        source.check_unchanged()
    return _sorted(", ".join(origins), found, left_out)


def stories_of_line(lake: "Lake", asked: str) -> LineStories:
    """The stories that LINE or LINE/NIGHT names; FlowsError lists what there is."""
    from flows.corpora import chosen_corpora

    line, slash, night = asked.partition("/")
    lines = sorted({claim.line for claim in lake.manifest.nights()})
    if line not in lines:
        raise FlowsError(
            f"--held-out {asked!r}: expected a line of this lake ({', '.join(lines) or 'none yet'})"
            f", as {lines[0] if lines else 'quickstart'}, found none such"
        )
    snapshot = lake.manifest.snapshot()
    chosen = chosen_corpora(lake, line, None, snapshot)
    labels = [claim.night for claim in chosen.nights]
    if not slash:
        return LineStories(lake, chosen.units, chosen.units, snapshot, asked)
    if night not in labels:
        raise FlowsError(
            f"--held-out {asked!r}: expected a finished night of {line} ({', '.join(labels)}), "
            "found none such"
        )
    known = set(labels[: labels.index(night) + 1])
    units = tuple(unit for unit in chosen.units if unit.night in known)
    measured = tuple(unit for unit in units if unit.night == night)
    return LineStories(lake, units, measured, snapshot, asked)


def first_documents(texts: Texts, limit: int | None) -> Texts:
    """The documents whose ids come first: as ids are digests, a sample that is always the same."""
    if limit is None:
        return texts
    return Texts(texts.origin, tuple(heapq.nsmallest(limit, texts.documents)), texts.left_out)


def _sorted(origin: str, found: Mapping[str, str], left_out: Mapping[str, int]) -> Texts:
    if not found:
        what = ", ".join(f"{num} {reason}" for reason, num in left_out.items()) or "none at all"
        raise FlowsError(f"{origin}: expected at least one document to measure on, found {what}")
    return Texts(origin, tuple(sorted(found.items())), dict(left_out))
