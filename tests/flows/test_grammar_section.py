"""The report's section on minimal pairs: its numbers are the view's, and no name gets out of its
place.
"""

from collections.abc import Iterator
from types import SimpleNamespace
from typing import cast

import numpy as np
import pyarrow as pa
import pytest

from distill.evaluation.minimal_pairs import (
    PairScore,
    accuracy,
    length_only,
    minimal_pair_metrics,
)
from flows.report import formats
from flows.report.answers import Answer, Asker
from flows.report.figures import Figures
from flows.report.grammar_questions import PairFigure, pair_figures
from flows.report.grammar_section import grammar_section
from warehouse.lake import Lake
from warehouse.schemas import EVALUATIONS, PAIR_SCORES

MARKUP = "</svg><script>alert(1)</script> & \"'"
_ROLES = {"challenger": "s1", "control": "s2", "teacher": "t"}
_SUITE = {"suite": "mine", "suite_digest": "d"}


def _scores(seed: int) -> list[PairScore]:
    """200 pairs in six sets of three phenomena, one of them with a hostile name."""
    rng = np.random.default_rng(seed)
    phenomena = ["agreement", "word_order", MARKUP]
    return [
        PairScore(
            pair_id=str(number),
            set_name=f"{'agreement' if number % 3 == 0 else 'x'}_{number % 6}",
            phenomenon=phenomena[number % 3],
            nats_good=float(rng.integers(0, 3)),
            nats_bad=float(rng.integers(0, 4)),
            num_symbols_good=4,
            num_symbols_bad=4 + number % 2,
        )
        for number in range(200)
    ]


@pytest.fixture(scope="module")
def scores() -> dict[str, list[PairScore]]:
    return {role: _scores(seed) for seed, role in enumerate(_ROLES)}


@pytest.fixture(scope="module")
def answer(
    scores: dict[str, list[PairScore]], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Answer[PairFigure]]:
    with Lake.open(tmp_path_factory.mktemp("grammar") / "lake", create=True) as lake:
        for role, subject in _ROLES.items():
            _commit(lake, role, subject, scores[role])
        # A figure of another night on fewer pairs: it is not asked for.
        _commit(lake, "challenger", "s1", scores["challenger"][:50], night="2", suite_digest="e")
        asker = Asker(lake, lake.manifest.snapshot())
        yield asker.ask("minimal pairs", pair_figures("line", "1"), PairFigure)


def _commit(
    lake: Lake,
    role: str,
    subject: str,
    scores: list[PairScore],
    night: str = "1",
    suite_digest: str = "d",
) -> None:
    run = {"run_id": f"{subject}-{night}", "subject_id": subject, **_SUITE}
    run["suite_digest"] = suite_digest
    names = list(PairScore.__annotations__)
    rows = [
        {
            **run,
            "subject": "student",
            **{name: getattr(score, name) for name in names},
            "num_right": score.num_right,
        }
        for score in scores
    ]
    figures = [
        {
            **run,
            "line": "line",
            "night": night,
            "role": role,
            **{name: getattr(metric, name) for name in ("metric", "value", "low", "high", "n")},
        }
        for metric in minimal_pair_metrics(scores)
    ]
    tables = {
        PAIR_SCORES.name: pa.Table.from_pylist(rows, schema=PAIR_SCORES.schema),
        EVALUATIONS.name: pa.Table.from_pylist(figures, schema=EVALUATIONS.schema),
    }
    lake.commit_shard(run["run_id"], 0, tables)


def _figures(answer: Answer[PairFigure]) -> Figures:
    return cast(Figures, SimpleNamespace(grammar=answer))


def test_every_number_is_that_of_the_scores(
    answer: Answer[PairFigure], scores: dict[str, list[PairScore]]
) -> None:
    section = grammar_section(_figures(answer))
    assert section is not None
    phenomena, sets = section.blocks
    [table], [folded] = phenomena.tables, sets.tables
    assert len(table.rows) == 1 + 3
    assert len(folded.rows) == 6 * len(_ROLES)
    for name, right, interval, alone, control, teacher, num_pairs in table.rows:
        asked = {
            role: [s for s in found if name in ("all sets", s.phenomenon.replace("_", " "))]
            for role, found in scores.items()
        }
        figure = accuracy(asked["challenger"])
        assert right == formats.percent(figure.value)
        assert interval == f"{formats.percent(figure.low)} to {formats.percent(figure.high)}"
        assert alone == formats.percent(length_only(asked["challenger"]).value)
        assert control == formats.percent(accuracy(asked["control"]).value)
        assert teacher == formats.percent(accuracy(asked["teacher"]).value)
        assert num_pairs == formats.count(len(asked["challenger"]))
    for name, who, right, _, _, _ in folded.rows:
        asked_of_set = [s for s in scores[who] if s.set_name.replace("_", " ") == name]
        assert right == formats.percent(accuracy(asked_of_set).value)
    assert phenomena.title == "mine: 200 pairs in 6 sets"


def test_the_picture_has_every_subject_and_no_markup_of_a_name(
    answer: Answer[PairFigure],
) -> None:
    section = grammar_section(_figures(answer))
    assert section is not None
    picture = section.blocks[0].chart
    assert picture is not None
    for svg in (picture.wide, picture.narrow):
        assert "<script" not in svg
        assert svg.count("</svg>") == 1
        for role in _ROLES:
            # One for each row, one in the legend.
            assert svg.count(f'class="mark {role}"') == 5
            assert svg.count(f'class="whisker {role}"') == 4
        assert svg.count('class="alone"') == 4 * len(_ROLES) + 1


def test_a_night_without_pairs_has_no_section() -> None:
    assert grammar_section(_figures(Answer("minimal pairs", "SELECT 1", ()))) is None
