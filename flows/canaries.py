"""Canaries in the lake: an import again under another name, with secrets planted into some of its
documents.

Students are trained on it as on any import, so nothing of capture, training or the control knows of
canaries. Every row of the first import stands in the second one, and the table `canaries` says
which documents hold which secret.
"""

import random
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import pyarrow as pa

from datagen.canaries import Canary, make_canaries, planted, space_size, space_words
from datagen.measures import words_of
from flows.errors import FlowsError
from warehouse.exchange import commit_import, import_run
from warehouse.identity import digest, digest_bytes, seed_from
from warehouse.lake import Lake
from warehouse.provenance import MOST_OF_ORIGIN, check_name
from warehouse.schemas import CANARIES, IMPORTS
from warehouse.split import is_held_out, text_split_digest

# Raise when the same request plants other canaries.
PLANT_VERSION = 1
# Recipes that hold out more than this share train on fewer of the planted documents.
MOST_HELD_OUT = 0.3
_MOST_CANARIES = 10_000


@dataclass(frozen=True, slots=True)
class PlantRequest:
    """Plant canaries into the import `into`; the outcome is an import called `name`.

    num_each canaries for each number of num_repeats, the documents that hold one, and num_never
    that no document holds. Documents of more than max_bytes, the canary included, hold none.
    """

    into: str
    name: str
    num_repeats: tuple[int, ...]
    num_each: int
    num_never: int
    seed: int
    max_bytes: int

    def __post_init__(self) -> None:
        check_name("--name", self.name, "customer-mails-planted")
        num_canaries = len(self.num_repeats) * self.num_each + self.num_never
        if min((*self.num_repeats, self.num_each, self.num_never), default=0) < 1:
            raise FlowsError(
                "--repeats, --each, --never: expected whole numbers of at least 1, found "
                f"{','.join(map(str, self.num_repeats))}, {self.num_each}, {self.num_never}"
            )
        if len(set(self.num_repeats)) < len(self.num_repeats) or num_canaries > _MOST_CANARIES:
            raise FlowsError(
                "--repeats, --each, --never: expected each number of repeats once and at most "
                f"{_MOST_CANARIES} canaries, found {','.join(map(str, self.num_repeats))} and "
                f"{num_canaries} canaries"
            )


@dataclass(frozen=True, slots=True)
class Planted:
    """An import with canaries: its run, how many canaries, in how many documents. `is_new`: it was
    not there before.
    """

    run_id: str
    is_new: bool
    num_canaries: int
    num_documents: int


def plant_canaries(lake: Lake, request: PlantRequest) -> Planted:
    """The import with its canaries, now in the lake as a whole; the same request adds nothing.

    Memory holds the texts of the import. Raises ExchangeError for an unknown import or a taken
    name, FlowsError or DatagenError where the import has too few documents or words.
    """
    source = import_run(lake, request.into)
    run_id = digest("plant canaries", PLANT_VERSION, source, asdict(request))
    is_new = commit_import(lake, request.name, run_id, _shards(lake, request, source, run_id))
    rows = lake.read(CANARIES.name, run_ids=[run_id], columns=["num_planted"]).to_pylist()
    return Planted(run_id, is_new, len(rows), sum(row["num_planted"] for row in rows))


def _shards(
    lake: Lake, request: PlantRequest, source: str, run_id: str
) -> Iterator[Mapping[str, pa.Table]]:
    """The import's shards with the canaries in them; the first one brings their rows too."""
    texts = _accepted_texts(lake, source)
    words = space_words(texts.values())
    canaries = make_canaries(
        words, request.num_repeats, request.num_each, request.num_never, request.seed
    )
    canary_of = _placed(texts, canaries, request)
    canary_rows = _canary_rows(request, words, canaries, canary_of, texts, run_id)
    more = {CANARIES.name: pa.Table.from_pylist(canary_rows, schema=CANARIES.schema)}
    for part in lake.shards(IMPORTS.name, run_ids=[source]):
        rows = [_import_row(row, canary_of, request, run_id) for row in part.to_pylist()]
        yield {IMPORTS.name: pa.Table.from_pylist(rows, schema=IMPORTS.schema), **more}
        more = {}


def _accepted_texts(lake: Lake, source: str) -> dict[str, str]:
    texts: dict[str, str] = {}
    columns = ["doc_id", "text", "accepted"]
    for part in lake.shards(IMPORTS.name, run_ids=[source], columns=columns):
        rows = part.filter(part.column("accepted")).to_pylist()
        texts.update((row["doc_id"], row["text"]) for row in rows)
    return texts


def _placed(
    texts: Mapping[str, str], canaries: Sequence[Canary], request: PlantRequest
) -> dict[str, Canary]:
    """By doc_id of the document as it was, the canary that it will hold: documents in a random
    order, each one canary at most, and none that would be held out with it.
    """
    wanted = [canary for canary in canaries for _ in range(canary.num_planted)]
    order = sorted(texts)
    random.Random(seed_from("canaries' documents", request.seed)).shuffle(order)
    waiting = iter(order)
    found: dict[str, Canary] = {}
    for canary in wanted:
        for doc_id in waiting:
            text = planted(texts[doc_id], canary)
            is_fit = len(text.encode()) <= request.max_bytes
            if is_fit and not is_held_out(text_split_digest(text), MOST_HELD_OUT):
                found[doc_id] = canary
                break
        else:
            raise FlowsError(
                f"import {request.into}: expected {len(wanted)} documents of at most "
                f"{request.max_bytes} bytes that are not held out, found {len(found)} of "
                f"{len(texts)}; lower --repeats or --each, or raise --max-bytes"
            )
    return found


def _import_row(
    row: Mapping[str, Any], canary_of: Mapping[str, Canary], request: PlantRequest, run_id: str
) -> dict[str, Any]:
    origin = f"{row['origin'][: MOST_OF_ORIGIN - 20]}, with canaries"
    changed = {**row, "run_id": run_id, "name": request.name, "origin": origin}
    canary = canary_of.get(row["doc_id"]) if row["accepted"] else None
    if canary is None:
        return changed
    text = planted(row["text"], canary)
    return {
        **changed,
        "doc_id": digest_bytes(text.encode()),
        "text": text,
        "num_words": len(words_of(text)),
        "num_bytes": len(text.encode()),
        "split_digest": text_split_digest(text),
    }


def _canary_rows(
    request: PlantRequest,
    words: Sequence[str],
    canaries: Sequence[Canary],
    canary_of: Mapping[str, Canary],
    texts: Mapping[str, str],
    run_id: str,
) -> list[dict[str, Any]]:
    doc_ids: dict[Canary, list[str]] = {canary: [] for canary in canaries}
    for doc_id, canary in canary_of.items():
        doc_ids[canary].append(digest_bytes(planted(texts[doc_id], canary).encode()))
    return [
        {
            "canary_id": digest("canary", run_id, list(canary.secret)),
            "run_id": run_id,
            "name": request.name,
            "sentence": canary.sentence,
            "secret": list(canary.secret),
            "words": list(words),
            "space_size": space_size(words),
            "seed": request.seed,
            "num_planted": canary.num_planted,
            "doc_ids": sorted(doc_ids[canary]),
        }
        for canary in canaries
    ]
