"""Students' cards: what is known at training, and the card written anew once a night has measured
its student.

A card is derived, as the catalog and the report are: from card.json in the student's folder and the
lake. It is put in place by one rename, and only where its text differs.
"""

import os
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from distill.on_policy_config import OnPolicyConfig
from distill.students.files import CARD_FILE, FACTS_FILE
from distill.students.presets import preset_named
from flows.corpora import known_teachers
from flows.errors import FlowsError
from flows.model_card import CardFacts, CardFigures, Source, model_card
from flows.night import Tonight, shard_key
from flows.students import student_folder
from warehouse.lake import Lake
from warehouse.locks import hold_file
from warehouse.schemas import EVALUATIONS, PROMOTIONS

if TYPE_CHECKING:
    from flows.training_set import TrainingSet

_STUDENTS = "('challenger', 'control', 'champion')"
_FIGURES = f"""
    SELECT run_id, line, night, suite, suite_digest, metric, value, low, high, n
    FROM evaluations
    WHERE subject_id = ? AND role IN {_STUDENTS}
    ORDER BY suite, metric, line, night, run_id
"""
_MEASURED = f"""
    SELECT DISTINCT subject_id FROM evaluations
    WHERE line = ? AND night = ? AND role IN {_STUDENTS} ORDER BY subject_id
"""
_DECISIONS = "SELECT * FROM promotions WHERE challenger_id = ?"
_IMPORTED = """
    SELECT run_id, any_value(name) AS name, any_value(licence) AS licence,
        any_value(origin) AS origin
    FROM imports GROUP BY run_id ORDER BY name, run_id
"""


def card_facts(
    tonight: Tonight, training_set: "TrainingSet", role: str, student: str, num_tokens: int
) -> CardFacts:
    """What is known of tonight's student when it is saved."""
    config, space = tonight.recipe.train, training_set.space
    return CardFacts(
        line=tonight.claim.line,
        night=tonight.claim.night,
        role=role,
        student_id=student,
        preset=config.preset,
        num_parameters=preset_named(config.preset).num_parameters(space.vocab_size),
        vocab_size=space.vocab_size,
        token_space_digest=space.digest,
        alpha=config.alpha if role == "challenger" else 0.0,
        num_documents=len(training_set.documents),
        num_left_out=training_set.num_left_out,
        num_tokens=num_tokens,
        num_story_tokens=int(training_set.documents.num_targets_D.sum()),
        training_set_digest=training_set.digest,
        parent_snapshot=tonight.claim.parent_snapshot,
        vocabulary=tonight.vocabulary.name,
        vocabulary_digest=tonight.vocabulary.digest,
        instruct_lines=training_set.instruct_lines,
        sources=tuple(_sources(tonight)),
        token_space=tonight.recipe.token_space.kind,
        on_policy=_phase(config.on_policy) if role == "challenger" else "",
    )


def _phase(phase: OnPolicyConfig | None) -> str:
    if phase is None:
        return ""
    return (
        f"in the last {phase.steps_share:.0%} of the steps {phase.share:.0%} of the documents were "
        "written by the student and scored by the live teacher: generalized Jensen-Shannon "
        f"divergence, beta {phase.beta:g}"
    )


def write_cards(lake: Lake, line: str, night: str) -> None:
    """Write the cards of the students that the night measured."""
    for row in lake.query(_MEASURED, [line, night]).to_pylist():
        write_card(lake, row["subject_id"])


def write_card(lake: Lake, student: str) -> None:
    """Write the student's card as the lake is now; one that was saved before there was card.json
    keeps the card that it has.
    """
    folder = student_folder(lake, student)
    path = folder / FACTS_FILE
    if not path.is_file():
        return
    try:
        facts = CardFacts.from_json(path.read_text(encoding="utf-8"))
    except (KeyError, TypeError, ValueError) as exc:
        raise FlowsError(
            f"{path}: expected what its training wrote, found {type(exc).__name__}: {exc}; put the "
            "file back, or remove it: the card then stays as it is"
        ) from exc
    text = model_card(facts, _figures(lake, student))
    card = folder / CARD_FILE
    work = lake.root / "work" / f".card-{student}"
    with hold_file(work.with_name(f"{work.name}.lock")):
        if card.is_file() and card.read_text(encoding="utf-8") == text:
            return
        work.write_text(text, encoding="utf-8")
        os.replace(work, card)


def _figures(lake: Lake, student: str) -> CardFigures:
    """The figures of the first night that measured the student and of the last one, and what was
    decided on it.
    """
    since = lake.manifest.ledger().since

    def age(table: str, row: Mapping[str, Any]) -> int:
        return since.get((table, shard_key(row["run_id"], 0)), 0)

    rows = lake.query(_FIGURES, [student]).to_pylist()
    rows.sort(key=lambda row: age(EVALUATIONS.name, row))
    nights = list(dict.fromkeys((row["line"], row["night"]) for row in rows))
    shown = list(dict.fromkeys((*nights[:1], *nights[-1:])))
    # Of two versions of the program that measured one night, the later one counts.
    kept = {
        (shown.index(here), row["suite"], row["metric"]): row
        for row in rows
        if (here := (row["line"], row["night"])) in shown
    }
    decisions = lake.query(_DECISIONS, [student]).to_pylist()
    decisions.sort(key=lambda row: age(PROMOTIONS.name, row))
    return CardFigures([kept[key] for key in sorted(kept)], [_told(row) for row in decisions])


def _told(row: Mapping[str, Any]) -> str:
    where = row["line"] if "/" in row["night"] else f"{row['line']}, night {row['night']}"
    return f"{where}: {row['explanation']}"


def _sources(tonight: Tonight) -> Sequence[Source]:
    teacher = tonight.teacher
    known = known_teachers().get(teacher.digest)
    licence = known.licence if known else None
    runs = {unit.run_id for unit in tonight.units if unit.is_import}
    imported = tonight.lake.query(_IMPORTED).to_pylist() if runs else []
    return [
        Source("teacher", teacher.name, teacher.digest, licence),
        *(
            Source("import", row["name"], row["run_id"], row["licence"], row["origin"])
            for row in imported
            if row["run_id"] in runs
        ),
    ]
