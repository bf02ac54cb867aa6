"""The on-policy phase of a night's challenger: the teacher that scores what it writes, under what
stood before each text at capture, and the rows of its texts.
"""

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

import pyarrow as pa

from distill.config import TrainConfig
from distill.tokens import TokenSpace
from flows.capture_targets import capture_facts, context_ids
from flows.night import Tonight
from flows.teachers import load_tokenizer
from flows.trained_stories import each_training_story, training_ids
from warehouse.identity import digest
from warehouse.schemas import STUDENT_TEXTS

if TYPE_CHECKING:
    from distill.on_policy import OnPolicy


def tonights_phase(tonight: Tonight, config: TrainConfig, space: TokenSpace) -> "OnPolicy | None":
    """The phase of a student that is trained so, its teacher loaded; None if it has none."""
    if config.on_policy is None:
        return None
    from distill.on_policy import LiveTeacher, OnPolicy

    reads = load_tokenizer(tonight.teacher)
    stories = each_training_story(tonight, training_ids(tonight))
    prompts = {story.doc_id: story.prompt for story in stories}
    teacher = LiveTeacher(
        tonight.teacher_model(),
        space,
        reads.end_ids,
        lambda doc_id: context_ids(tonight, reads, prompts[doc_id]),
        digest(tonight.teacher.digest, capture_facts(tonight, reads.vocab_size).context),
    )
    return OnPolicy(config, teacher)


def text_rows(config: TrainConfig, student: str, work: Path, num_steps: int) -> dict[str, pa.Table]:
    """By table, the rows of what the student wrote in the training whose folder and length these
    are; no table without the phase.
    """
    if config.on_policy is None:
        return {}
    from distill.on_policy import phase_steps
    from distill.student_texts import read_texts

    texts = read_texts(work, phase_steps(config.on_policy, num_steps))
    rows = [{"student_id": student, "run_id": student, **asdict(text)} for text in texts]
    return {STUDENT_TEXTS.name: pa.Table.from_pylist(rows, schema=STUDENT_TEXTS.schema)}
