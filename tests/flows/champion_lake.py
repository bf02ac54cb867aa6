"""A lake of one line with three whole students, made without a night: the first is the champion of
night 1, the second took its place on night 2, the third was measured on night 3 and not promoted.
"""

from functools import cache
from pathlib import Path

import numpy as np
from tokenizers import Tokenizer, models, pre_tokenizers

from distill.promote import Decision
from distill.students.presets import build_student
from distill.students.save import save_student
from distill.students.weights import weights_digest
from distill.tokens import TokenSpace, make_space
from flows.champions import link_champion
from flows.promote_student import commit_decision
from flows.students import student_folder
from tests.warehouse.lake_rows import commit_row
from warehouse.identity import digest
from warehouse.lake import Lake
from warehouse.ledger import Night
from warehouse.nights import NightRequest

LINE = "line"
WORDS = ["<s>", "</s>", "<unk>", "a", "dog", "cat", "ran", "sat", "home", "to", "the", "big"]
FIRST, SECOND, THIRD = (digest("student", number) for number in range(3))
STUDENTS = (FIRST, SECOND, THIRD)


def make_lake(root: Path) -> None:
    """The lake, with `champion/line` naming the second student."""
    with Lake.open(root, create=True) as lake:
        for number, student in enumerate(STUDENTS):
            add_student(lake, student, number)
            claim = claim_night(lake, str(number + 1))
            met = claim.champion_id
            promoted = number < 2
            reason = ("first_student", "better", "not_better")[number]
            commit_decision(lake, claim, f"decide-{number}", decision(student, met, reason))
            assert (lake.manifest.champion(LINE) == student) is promoted
        link_champion(lake, LINE)
        lake.publish()


def add_student(lake: Lake, student: str, number: int) -> None:
    """A whole student: its folder, its row, its figure of that night."""
    model = build_student("stlm-1m", len(WORDS), 0, 1, number)
    save_student(student_folder(lake, student), model, _space(), "# A student\n")
    commit_row(
        lake,
        student,
        "checkpoints",
        student_id=student,
        role="challenger",
        preset="stlm-1m",
        token_space_digest=_space().digest,
        weights_digest=weights_digest(model),
    )
    commit_row(
        lake,
        f"figures-{number}",
        "evaluations",
        line=LINE,
        night=str(number + 1),
        role="challenger",
        subject_id=student,
        suite="confirmation",
        metric="bits_per_byte",
    )


def claim_night(lake: Lake, night: str) -> Night:
    return lake.manifest.claim_night(NightRequest(LINE, night, 10, "cpu", "{}"))


def decision(challenger: str, champion: str | None, reason: str) -> Decision:
    """A decision with that reason, and no figures."""
    promoted = reason in ("first_student", "better")
    told = f"{'promoted' if promoted else 'kept'}: {reason}"
    return Decision(
        challenger, champion, promoted, reason, told, None, None, None, None, None, 0, 0, None
    )


@cache
def _space() -> TokenSpace:
    tokenizer = Tokenizer(models.WordLevel({w: i for i, w in enumerate(WORDS)}, "<unk>"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer.add_special_tokens(["<s>", "</s>"])
    ids = np.arange(len(WORDS), dtype=np.int32)
    return make_space(
        tokenizer.to_str(),
        start_id=0,
        end_id=1,
        to_teacher=ids,
        from_teacher=ids,
        teacher_tokenizer_sha256="0" * 64,
    )
