"""Everything that a night's page says, read from the lake in one go."""

from dataclasses import dataclass

from flows.night import units_until
from flows.report import questions, rows, story_questions
from flows.report.answers import Answer, Asker
from warehouse.lake import Lake
from warehouse.ledger import Night
from warehouse.schemas import TABLES

_FEW_ROWS = 8


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
    targets: Answer[rows.Targets]
    students: Answer[rows.Student]
    losses: Answer[rows.Loss] | None
    few_losses: Answer[rows.Loss] | None
    bits_per_byte: Answer[rows.BitsPerByte]
    metrics: Answer[rows.Metric]
    reliability: Answer[rows.Bin] | None
    told: Answer[rows.Told]
    decision: Answer[rows.Decision]
    trend: Answer[rows.Trend]
    stages: Answer[rows.StageCost]

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
    unit = unit_of(asker.lake, claim)
    ask = asker.ask
    students = _students(asker, here, unit)
    ids = [student.student_id for student in students.rows]
    return Figures(
        line=claim.line,
        night=claim.night,
        claim=ask("what the night claimed", questions.claim(*here), rows.Claim),
        asked=ask("what was asked", questions.asked(*here), rows.Setting),
        plan=ask("prompts tried", story_questions.plan(unit), rows.Plan),
        funnel=ask("attempts by outcome", story_questions.funnel(unit), rows.Outcome),
        corpus=ask("accepted stories", story_questions.corpus(unit), rows.Corpus),
        examples=ask("example stories", story_questions.examples(unit), rows.Example),
        unknown_words=ask(
            "words outside the vocabulary", story_questions.unknown_words(unit), rows.UnknownWord
        ),
        coverage=ask("vocabulary used", story_questions.coverage(unit), rows.Coverage),
        targets=ask("targets", story_questions.targets(unit), rows.Targets),
        students=students,
        losses=ask("loss curves", questions.losses(ids), rows.Loss) if ids else None,
        few_losses=ask("loss table", questions.losses(ids, _FEW_ROWS), rows.Loss) if ids else None,
        bits_per_byte=ask("bits per byte", questions.bits_per_byte(*here), rows.BitsPerByte),
        metrics=ask("other figures", questions.other_figures(*here), rows.Metric),
        reliability=ask("reliability", questions.reliability(*here), rows.Bin)
        if "reliability" in TABLES
        else None,
        told=ask("stories side by side", story_questions.told(*here, unit), rows.Told),
        decision=ask("decision", questions.decision(*here), rows.Decision),
        trend=ask("trend", questions.trend(claim.line, claim.ordinal), rows.Trend),
        stages=ask("cost by stage", questions.stages(*here), rows.StageCost),
    )


def unit_of(lake: Lake, claim: Night) -> str:
    """The run that wrote the night's stories: it follows from the claims alone, so no recipe and no
    teacher is needed.
    """
    return units_until(lake, claim)[-1].run_id


def _students(asker: Asker, here: tuple[str, str], unit: str) -> Answer[rows.Student]:
    """The night's two students; before they are measured, those that only its stories can name."""
    what = "students"
    measured = asker.ask(what, questions.students(*here), rows.Student)
    if measured.rows:
        return measured
    return asker.ask(what, questions.students_without_figures(unit), rows.Student)
