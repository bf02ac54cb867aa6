"""Suites as nights and commands know them: those of the lake, and those that come with Stillhouse.

A suite that comes with Stillhouse is frozen into a lake by the first night that names it, so that
a machine that has just been set up measures grammar without a download.
"""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from importlib.resources import as_file, files

import pyarrow as pa

from flows.errors import FlowsError
from warehouse.lake import Lake
from warehouse.pair_files import Pair, read_pairs
from warehouse.suites import (
    Suite,
    SuiteRequest,
    Text,
    find_suite,
    freeze_pairs,
    frozen_suites,
    pairs_digest,
    pairs_of,
    texts_of,
)

_ORIGIN, _LICENCE = "made for Stillhouse from templates", "Apache-2.0"
_SHIPPED = ("first-grammar",)
_LIST = pa.schema(
    [
        ("suite", pa.string()),
        ("kind", pa.string()),
        ("items", pa.int64()),
        ("licence", pa.string()),
        ("origin", pa.string()),
        ("digest", pa.string()),
    ]
)
_SETS = pa.schema(
    [
        ("phenomenon", pa.string()),
        ("set", pa.string()),
        ("pairs", pa.int64()),
        ("good", pa.string()),
        ("bad", pa.string()),
    ]
)
_TEXTS = pa.schema(
    [
        ("place", pa.int64()),
        ("doc_id", pa.string()),
        ("num_bytes", pa.int64()),
        ("text", pa.string()),
    ]
)
_FIRST_TEXTS, _MOST_SHOWN = 5, 200


@dataclass(frozen=True, slots=True)
class Shipped:
    """A suite that comes with Stillhouse."""

    request: SuiteRequest
    pairs: list[Pair]


@dataclass(frozen=True, slots=True)
class OpenedSuite:
    """A suite and what is in it: pairs or texts, as its kind says."""

    suite: Suite
    pairs: tuple[Pair, ...] = ()
    texts: tuple[Text, ...] = ()


def shipped_suites() -> Mapping[str, Shipped]:
    """The suites that come with Stillhouse, by name."""
    folder = files("flows") / "suites"
    found = {}
    for name in _SHIPPED:
        with as_file(folder / f"{name}.jsonl") as path:
            found[name] = Shipped(SuiteRequest(name, _ORIGIN, _LICENCE), read_pairs([path]))
    return found


def refuse_shipped_name(name: str) -> None:
    """Pass unless a suite that comes with Stillhouse has that name."""
    if name in _SHIPPED:
        raise FlowsError(
            f"suite {name}: expected another name than {', '.join(_SHIPPED)}, which comes with "
            "Stillhouse; choose one of your own"
        )


def suite_for_night(lake: Lake, name: str) -> Suite:
    """The frozen suite of that name; one that comes with Stillhouse is frozen now if it was not.

    Raises FlowsError, which lists the suites, if there is none.
    """
    found = find_suite(lake, name)
    if found is None and name in _SHIPPED:
        shipped = shipped_suites()[name]
        freeze_pairs(lake, shipped.request, shipped.pairs)
        found = find_suite(lake, name)
    if found is None:
        raise _unknown(lake, "evaluate.suites names ", name)
    return found


def listed_suites(lake: Lake) -> pa.Table:
    """One row for each suite of the lake and each that comes with Stillhouse."""
    found = {suite.name: suite for suite in frozen_suites(lake)}
    for name, shipped in shipped_suites().items():
        found.setdefault(name, _as_suite(shipped))
    rows = [
        {
            "suite": suite.name,
            "kind": suite.kind,
            "items": suite.num_items,
            "licence": suite.licence,
            "origin": suite.origin,
            "digest": suite.digest,
        }
        for _, suite in sorted(found.items())
    ]
    return pa.Table.from_pylist(rows, schema=_LIST)


def opened_suite(lake: Lake, name: str) -> OpenedSuite:
    """A suite of the lake, or one that comes with Stillhouse, which need not be in the lake.

    Raises FlowsError, which lists the suites, if there is none of that name.
    """
    found = find_suite(lake, name)
    if found is None and name in _SHIPPED:
        shipped = shipped_suites()[name]
        return OpenedSuite(_as_suite(shipped), pairs=tuple(shipped.pairs))
    if found is None:
        raise _unknown(lake, "suite ", name)
    if found.kind == "pairs":
        return OpenedSuite(found, pairs=tuple(pairs_of(lake, found)))
    return OpenedSuite(found, texts=tuple(texts_of(lake, found)))


def shown_suite(lake: Lake, name: str) -> tuple[Suite, pa.Table]:
    """The suite with one row for each of its sets, or for each of its first texts."""
    opened = opened_suite(lake, name)
    if opened.suite.kind == "pairs":
        return opened.suite, _set_rows(opened.pairs)
    rows = [asdict(text) for text in opened.texts[:_FIRST_TEXTS]]
    return opened.suite, pa.Table.from_pylist(
        [{**row, "text": row["text"][:_MOST_SHOWN]} for row in rows], schema=_TEXTS
    )


def _set_rows(pairs: Sequence[Pair]) -> pa.Table:
    by_set: dict[str, list[Pair]] = defaultdict(list)
    for pair in pairs:
        by_set[pair.set_name].append(pair)
    rows = [
        {
            "phenomenon": found[0].phenomenon,
            "set": name,
            "pairs": len(found),
            "good": found[0].sentence_good,
            "bad": found[0].sentence_bad,
        }
        for name, found in by_set.items()
    ]
    rows.sort(key=lambda row: (row["phenomenon"], row["set"]))
    return pa.Table.from_pylist(rows, schema=_SETS)


def _as_suite(shipped: Shipped) -> Suite:
    request, pairs = shipped.request, shipped.pairs
    content = pairs_digest(pairs)
    return Suite(request.name, "pairs", content, request.origin, request.licence, "", len(pairs))


def _unknown(lake: Lake, where: str, name: str) -> FlowsError:
    known = sorted({*_SHIPPED, *(suite.name for suite in frozen_suites(lake))})
    return FlowsError(
        f"{where}{name!r}: expected one of {', '.join(known)}; freeze another with "
        "`stillhouse suites add NAME PATH --origin TEXT --licence SPDX`"
    )
