"""Every table of the lake by name; story_tables.py and student_tables.py define their columns,
each in one place, with its unit and meaning.

A table is *content* (its rows follow from what was asked, so a killed and resumed night has the
same ones) or *measured* (its rows hold clocks, rates and hosts). Every row carries the run that
made it and the ids of what it was made from, so one SQL query walks from a word to the students
that saw it.
"""

from warehouse.columns import Table
from warehouse.story_tables import PROMPTS, STORIES, TARGETS, VERDICTS, WORDS
from warehouse.student_tables import (
    CHECKPOINTS,
    EVALUATIONS,
    GENERATIONS,
    PROMOTIONS,
    RELIABILITY,
    RUNS,
    SCORES,
    TRAIN_STEPS,
    TRAINING_DOCUMENTS,
)

__all__ = [
    "CHECKPOINTS",
    "EVALUATIONS",
    "GENERATIONS",
    "PROMOTIONS",
    "PROMPTS",
    "RELIABILITY",
    "RUNS",
    "SCORES",
    "STORIES",
    "TABLES",
    "TARGETS",
    "TRAINING_DOCUMENTS",
    "TRAIN_STEPS",
    "VERDICTS",
    "WORDS",
    "Table",
]

TABLES: dict[str, Table] = {
    table.name: table
    for table in (
        PROMPTS,
        STORIES,
        WORDS,
        VERDICTS,
        TARGETS,
        TRAINING_DOCUMENTS,
        CHECKPOINTS,
        TRAIN_STEPS,
        SCORES,
        EVALUATIONS,
        RELIABILITY,
        GENERATIONS,
        PROMOTIONS,
        RUNS,
    )
}
