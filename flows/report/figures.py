"""Everything that a night's page says, read from the lake in one go."""

import json
from collections.abc import Iterator
from dataclasses import dataclass

from flows.night import BREAKS, Unit, shard_key, units_by_night
from flows.report import (
    corpus_questions,
    corpus_rows,
    document_questions,
    document_rows,
    memory_questions,
    memory_rows,
    questions,
    rows,
    story_questions,
)
from flows.report.answers import Answer, Asker
from flows.report.grammar_questions import PairFigure, pair_figures
from warehouse.lake import Lake
from warehouse.ledger import Night
from warehouse.schemas import VERDICTS

_FEW_ROWS = 8
_History = list[tuple[Night, tuple[Unit, ...]]]


@dataclass(frozen=True, slots=True)
class Documents:
    """The challenger against another student (champion, or control) document by document."""

    other: str
    documents: Answer[document_rows.Document]
    spread: Answer[document_rows.Spread]
    ends: Answer[document_rows.End]


@dataclass(frozen=True, slots=True)
class Figures:
    """What a night's page is made from; an answer without rows belongs to a stage that has not
    ended.
    """

    line: str
    night: str
    claim: Answer[rows.Claim]
    asked: Answer[rows.Setting]
    plan: Answer[rows.Plan]
    funnel: Answer[rows.Outcome]
    corpus: Answer[rows.Corpus]
    examples: Answer[rows.Example]
    unknown_words: Answer[rows.UnknownWord]
    coverage: Answer[rows.Coverage]
    measures: Answer[corpus_rows.Measure]
    origins: Answer[corpus_rows.Origin]
    slots: Answer[corpus_rows.Slot]
    targets: Answer[rows.Targets]
    students: Answer[rows.Student]
    losses: Answer[rows.Loss] | None
    few_losses: Answer[rows.Loss] | None
    bits_per_byte: Answer[rows.BitsPerByte]
    metrics: Answer[rows.Metric]
    reliability: Answer[rows.Bin]
    grammar: Answer[PairFigure]
    band_reliability: Answer[rows.BandBin]
    told: Answer[rows.Told]
    text_measures: Answer[memory_rows.TextMeasure]
    copies: Answer[memory_rows.Copy]
    exposures: Answer[memory_rows.Exposure]
    decision: Answer[rows.Decision]
    documents: Documents | None
    trend: Answer[rows.Trend]
    stages: Answer[rows.StageCost]
    night_costs: Answer[corpus_rows.NightCost]
    shard_costs: Answer[corpus_rows.ShardCost]

    @property
    def is_stopped(self) -> bool:
        """Whether tonight's stories break a limit: nothing is trained on them."""
        return not all(row.is_within for row in self.measures.rows if row.night == self.night)

    @property
    def night_cost(self) -> corpus_rows.NightCost | None:
        """What tonight's stories cost."""
        return next((row for row in self.night_costs.rows if row.night == self.night), None)

    @property
    def num_closed(self) -> int:
        """Tonight's prompts that a budget left to the next night."""
        return sum(row.num_closed or 0 for row in self.shard_costs.rows)

    def student(self, role: str) -> rows.Student | None:
        """The night's challenger or control."""
        return next((row for row in self.students.rows if row.role == role), None)

    def setting(self, key: str) -> str | None:
        """What was asked under that dotted key, as JSON text."""
        return next((row.value for row in self.asked.rows if row.key == key), None)

    def score(self, suite: str, role: str) -> rows.BitsPerByte | None:
        """Bits per byte of that subject on that suite."""
        found = (row for row in self.bits_per_byte.rows if (row.suite, row.role) == (suite, role))
        return next(found, None)


def read_figures(asker: Asker, claim: Night) -> Figures:
    """The night's figures, as the lake was at the asker's snapshot."""
    here = (claim.line, claim.night)
    history = _history(asker.lake, claim)
    unit = history[-1][1][-1].run_id
    ask = asker.ask
    students = _students(asker, here, unit)
    ids = [student.student_id for student in students.rows]
    decision = ask("decision", questions.decision(*here), rows.Decision)
    return Figures(
        line=claim.line,
        night=claim.night,
        claim=ask("what the night claimed", questions.claim(*here), rows.Claim),
        asked=ask("what was asked", questions.asked(*here), rows.Setting),
        plan=ask("prompts tried", story_questions.plan(unit), rows.Plan),
        funnel=ask("attempts by outcome", story_questions.funnel(unit), rows.Outcome),
        corpus=ask("accepted stories", story_questions.corpus(unit), rows.Corpus),
        examples=ask("example stories", story_questions.examples(unit), rows.Example),
        unknown_words=ask("words outside", story_questions.unknown_words(unit), rows.UnknownWord),
        coverage=ask("vocabulary used", story_questions.coverage(unit), rows.Coverage),
        measures=ask(
            "how much alike the stories are",
            corpus_questions.measures(_passes(history)),
            corpus_rows.Measure,
        ),
        origins=ask(
            "where the texts come from",
            corpus_questions.origins(_runs(history), _challenger(students)),
            corpus_rows.Origin,
        ),
        slots=ask("what the prompts ask for", corpus_questions.slots(unit), corpus_rows.Slot),
        targets=ask("targets", story_questions.targets(unit), rows.Targets),
        students=students,
        losses=ask("loss curves", questions.losses(ids), rows.Loss) if ids else None,
        few_losses=ask("loss table", questions.losses(ids, _FEW_ROWS), rows.Loss) if ids else None,
        bits_per_byte=ask("bits per byte", questions.bits_per_byte(*here), rows.BitsPerByte),
        metrics=ask("other figures", questions.other_figures(*here), rows.Metric),
        reliability=ask("reliability", questions.reliability(*here), rows.Bin),
        grammar=ask("minimal pairs", pair_figures(*here), PairFigure),
        band_reliability=ask("calibration", questions.band_reliability(*here), rows.BandBin),
        told=ask("stories side by side", story_questions.told(*here, unit), rows.Told),
        text_measures=ask("texts", memory_questions.texts(*here), memory_rows.TextMeasure),
        copies=ask("copied runs", memory_questions.copies(*here), memory_rows.Copy),
        exposures=ask("canaries", memory_questions.exposures(*here), memory_rows.Exposure),
        decision=decision,
        documents=_documents(asker, history, students, decision),
        trend=ask("trend", questions.trend(claim.line, claim.ordinal), rows.Trend),
        stages=ask("cost by stage", questions.stages(*here), rows.StageCost),
        night_costs=ask(
            "cost of the stories by night",
            corpus_questions.night_costs(claim.line, claim.ordinal),
            corpus_rows.NightCost,
        ),
        shard_costs=ask(
            "cost of the stories by shard",
            corpus_questions.shard_costs(*here),
            corpus_rows.ShardCost,
        ),
    )


def unit_of(lake: Lake, claim: Night) -> str:
    """The run that wrote the night's stories: it follows from the claims alone, so no recipe and no
    teacher is needed.
    """
    return _history(lake, claim)[-1][1][-1].run_id


def stopped_nights(lake: Lake, line: str) -> Iterator[str]:
    """The nights of the line whose stories break a limit of their recipe."""
    shards = lake.manifest.ledger().shards
    for night, units in units_by_night(lake, line):
        passed = shards.get((VERDICTS.name, shard_key(units[-1].pass_id, 0)))
        if passed is not None and json.loads(passed.facts).get(BREAKS):
            yield night.night


def _history(lake: Lake, claim: Night) -> _History:
    """The line's nights up to this one, each with the units that it may use, its own last."""
    nights = units_by_night(lake, claim.line)
    return [(night, units) for night, units in nights if night.ordinal <= claim.ordinal]


def _passes(history: _History) -> dict[str, str]:
    """The pass over each night's own stories, by night."""
    return {night.night: units[-1].pass_id for night, units in history[-questions.MAX_NIGHTS :]}


def _runs(history: _History) -> list[tuple[str, str, str]]:
    """What the night's students may be trained on: (kind of source, its name, its run); nights of
    long ago are one source.
    """
    names = {units[-1].pass_id: night.night for night, units in history}
    claim, own = history[-1]
    imports = json.loads(claim.asked).get("imports", {})
    nights = [(names[unit.pass_id], unit.run_id) for unit in own]
    most = corpus_questions.MAX_NIGHT_SOURCES
    older = nights[: len(nights) - most + 1] if len(nights) > most else []
    return [
        *(("import", name, run_id) for name, run_id in sorted(imports.items())),
        *(("nights", f"{older[0][0]}...{older[-1][0]}", run_id) for _, run_id in older),
        *(("night", name, run_id) for name, run_id in nights[len(older) :]),
    ]


def _documents(
    asker: Asker,
    history: _History,
    students: Answer[rows.Student],
    decision: Answer[rows.Decision],
) -> Documents | None:
    """Nothing before the night is decided, or if there is nobody beside the challenger."""
    if decision.first is None:
        return None
    control = next((row.student_id for row in students.rows if row.role == "control"), None)
    other = decision.first.champion_id or control
    if other is None:
        return None
    runs = list(dict.fromkeys(run_id for _, _, run_id in _runs(history)))
    asked = (decision.first.challenger_id, other, runs, history[-1][1][-1].run_id)
    return Documents(
        "champion" if decision.first.champion_id else "control",
        asker.ask(
            "held-out documents", document_questions.documents(*asked), document_rows.Document
        ),
        asker.ask("their differences", document_questions.spread(*asked), document_rows.Spread),
        asker.ask("gains and losses", document_questions.ends(*asked), document_rows.End),
    )


def _challenger(students: Answer[rows.Student]) -> str | None:
    return next((row.student_id for row in students.rows if row.role == "challenger"), None)


def _students(asker: Asker, here: tuple[str, str], unit: str) -> Answer[rows.Student]:
    """The night's two students; before they are measured, those that only its stories can name."""
    what = "students"
    measured = asker.ask(what, questions.students(*here), rows.Student)
    if measured.rows:
        return measured
    return asker.ask(what, questions.students_without_figures(unit), rows.Student)
