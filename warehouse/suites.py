"""Frozen suites: pairs of sentences or texts, under a name that never means anything else.

A suite comes into the lake in one transaction. The same content again under its name adds nothing;
other content is refused, because figures of earlier nights stand under that name. Its digest
follows from what is in it, not from the order in which it was brought in.
"""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any, Literal

import pyarrow as pa

from warehouse.errors import SuiteError
from warehouse.exchange import open_source
from warehouse.identity import digest, digest_bytes
from warehouse.lake import Lake
from warehouse.locks import hold_file
from warehouse.pair_files import Pair
from warehouse.provenance import check_licence, check_name, check_origin
from warehouse.schemas import SUITE_PAIRS, SUITE_TEXTS, Table

# Raise when the rows that the same content gives change.
SUITE_VERSION = 1
MAX_TEXT_BYTES = 1 << 20
# What `evaluations` calls the suites of every night.
RESERVED = ("confirmation", "samples", "selection")
Kind = Literal["pairs", "text"]
_TABLES: dict[Kind, Table] = {"pairs": SUITE_PAIRS, "text": SUITE_TEXTS}
_LISTED = " UNION ALL ".join(
    f"SELECT suite AS name, '{kind}' AS kind, suite_digest AS digest, origin, licence, run_id, "
    f"count(*) AS num_items FROM {table.name} GROUP BY ALL"
    for kind, table in _TABLES.items()
)


@dataclass(frozen=True, slots=True)
class Text:
    """A text of a suite; `place` counts from 1."""

    doc_id: str
    place: int
    text: str
    num_bytes: int


@dataclass(frozen=True, slots=True)
class Suite:
    """A frozen suite; `num_items` counts its pairs or texts."""

    name: str
    kind: Kind
    digest: str
    origin: str
    licence: str
    run_id: str
    num_items: int


@dataclass(frozen=True, slots=True)
class SuiteRequest:
    """What a suite shall be called, and what its rows say of themselves."""

    name: str
    origin: str
    licence: str

    def __post_init__(self) -> None:
        check_name("suite", self.name, "blimp-fast")
        if self.name in RESERVED:
            raise SuiteError(
                f"suite {self.name}: expected another name than {', '.join(RESERVED)}, which are "
                "the suites that every night makes of its own stories"
            )
        check_origin(self.origin)
        check_licence(self.licence)


def freeze_pairs(lake: Lake, request: SuiteRequest, pairs: Sequence[Pair]) -> bool:
    """True if the suite is now in the lake; False if this very suite was there before.

    Raises SuiteError if the name is taken by another one.
    """
    rows = [asdict(pair) for pair in pairs]
    return _freeze(lake, request, "pairs", pairs_digest(pairs), rows)


def freeze_texts(lake: Lake, request: SuiteRequest, texts: Sequence[Text]) -> bool:
    """The same for texts."""
    content = digest(sorted(text.doc_id for text in texts))
    return _freeze(lake, request, "text", content, [asdict(text) for text in texts])


def read_texts(paths: Sequence[Path], text_column: str = "text") -> list[Text]:
    """The different texts of these files and folders (JSONL, Parquet, plain text), in that order.

    Raises SuiteError, which names file and line, for a text that no corpus would take, and
    ExchangeError for a file that cannot be read.
    """
    texts: dict[str, Text] = {}
    for path in paths:
        for document in open_source(str(path), "auto", text_column).documents(MAX_TEXT_BYTES):
            if document.reason is not None:
                raise SuiteError(
                    f"{path}, {document.source_file}, line {document.source_row}: expected a text "
                    f"that can be scored, found: {document.reason.replace('_', ' ')}; mend it or "
                    "take it out"
                )
            doc_id = digest_bytes(document.text.encode())
            text = Text(doc_id, len(texts) + 1, document.text, document.num_bytes)
            texts.setdefault(doc_id, text)
    if not texts:
        raise SuiteError(f"{', '.join(map(str, paths))}: expected at least one text, found none")
    return list(texts.values())


def frozen_suites(lake: Lake) -> list[Suite]:
    """Every suite of the lake, by name."""
    found = [Suite(**row) for row in lake.query(_LISTED).to_pylist()]
    return sorted(found, key=lambda suite: suite.name)


def find_suite(lake: Lake, name: str) -> Suite | None:
    """The suite of that name, or None."""
    return next((suite for suite in frozen_suites(lake) if suite.name == name), None)


def pairs_of(lake: Lake, suite: Suite) -> list[Pair]:
    """The suite's pairs, by set and place."""
    columns = [field.name for field in fields(Pair)]
    rows = lake.read(SUITE_PAIRS.name, run_ids=[suite.run_id], columns=columns).to_pylist()
    return [Pair(**row) for row in rows]


def texts_of(lake: Lake, suite: Suite) -> list[Text]:
    """The suite's texts, by place."""
    columns = [field.name for field in fields(Text)]
    rows = lake.read(SUITE_TEXTS.name, run_ids=[suite.run_id], columns=columns).to_pylist()
    return [Text(**row) for row in rows]


def first_pairs(pairs: Sequence[Pair], per_set: int | None) -> list[Pair]:
    """At most so many pairs of each set, always the same ones: those whose ids sort first, so that
    a larger number keeps those of a smaller one. None: all.
    """
    if per_set is None:
        return list(pairs)
    by_set: dict[str, list[Pair]] = defaultdict(list)
    for pair in sorted(pairs, key=lambda pair: pair.pair_id):
        by_set[pair.set_name].append(pair)
    return [pair for _, found in sorted(by_set.items()) for pair in found[:per_set]]


def pairs_digest(pairs: Sequence[Pair]) -> str:
    """32 hex characters that follow from what the pairs are, in whatever order."""
    return digest(sorted(pair.pair_id for pair in pairs))


def _freeze(
    lake: Lake, request: SuiteRequest, kind: Kind, content: str, items: list[dict[str, Any]]
) -> bool:
    run_id = digest("suite", SUITE_VERSION, kind, content, list(asdict(request).values()))
    shared = {
        "run_id": run_id,
        "suite": request.name,
        "suite_digest": content,
        "origin": request.origin,
        "licence": request.licence,
    }
    table = _TABLES[kind]
    with hold_file(lake.root / "work" / f"suite-{request.name}.lock"):
        if _is_there(lake, request.name, run_id):
            return False
        rows = pa.Table.from_pylist([{**shared, **item} for item in items], schema=table.schema)
        return lake.commit_shard(run_id, 0, {table.name: rows})


def _is_there(lake: Lake, name: str, run_id: str) -> bool:
    """Whether this very suite is in the lake; SuiteError if another one has its name."""
    taken = find_suite(lake, name)
    if taken is not None and taken.run_id != run_id:
        raise SuiteError(
            f"suite {name}: expected a name that no other suite has, found it frozen with "
            f"{taken.num_items} {taken.kind} of digest {taken.digest} (other content, origin or "
            "licence); a frozen suite is never replaced: choose another name"
        )
    return taken is not None
