"""Every table of the lake by name; the modules *_tables.py define their columns, each in one place,
with its unit and meaning.

A table is *content* (its rows follow from what was asked, so a killed and resumed night has the
same ones) or *measured* (its rows hold clocks, rates and hosts). Every row carries the run that
made it and the ids of what it was made from, so one SQL query walks from a word to the students
that saw it.
"""

from warehouse.canary_tables import CANARIES, EXPOSURES
from warehouse.columns import Table
from warehouse.distance_tables import BAND_RELIABILITY, DISTANCES
from warehouse.measured_tables import COSTS, METRIC_COSTS, RUNS, TRAIN_COSTS
from warehouse.story_tables import (
    CORPUS_MEASURES,
    IMPORTS,
    PROMPTS,
    STORIES,
    TARGETS,
    VERDICTS,
    WORDS,
)
from warehouse.student_tables import (
    CHECKPOINTS,
    EVALUATIONS,
    GENERATIONS,
    PROMOTIONS,
    RELIABILITY,
    SCORES,
    STUDENT_TEXTS,
    TRAIN_STEPS,
    TRAINING_DOCUMENTS,
)
from warehouse.suite_tables import PAIR_SCORES, SUITE_PAIRS, SUITE_TEXTS

__all__ = [
    "BAND_RELIABILITY",
    "CANARIES",
    "CHECKPOINTS",
    "CORPUS_MEASURES",
    "COSTS",
    "DISTANCES",
    "EVALUATIONS",
    "EXPOSURES",
    "GENERATIONS",
    "IMPORTS",
    "METRIC_COSTS",
    "PAIR_SCORES",
    "PROMOTIONS",
    "PROMPTS",
    "RELIABILITY",
    "RUNS",
    "SCORES",
    "STORIES",
    "STUDENT_TEXTS",
    "SUITE_PAIRS",
    "SUITE_TEXTS",
    "TABLES",
    "TARGETS",
    "TRAINING_DOCUMENTS",
    "TRAIN_COSTS",
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
        CORPUS_MEASURES,
        TARGETS,
        IMPORTS,
        SUITE_PAIRS,
        SUITE_TEXTS,
        CANARIES,
        TRAINING_DOCUMENTS,
        CHECKPOINTS,
        TRAIN_STEPS,
        STUDENT_TEXTS,
        SCORES,
        PAIR_SCORES,
        EVALUATIONS,
        RELIABILITY,
        DISTANCES,
        BAND_RELIABILITY,
        GENERATIONS,
        EXPOSURES,
        PROMOTIONS,
        RUNS,
        COSTS,
        METRIC_COSTS,
        TRAIN_COSTS,
    )
}
