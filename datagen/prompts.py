"""How the teacher is told what to write.

Chat models get the family's instruction, models that only continue get its opening. Raise
PROMPT_VERSION when the same family, vocabulary, seed and index give another prompt: it is part of
each prompt's id.
"""

from datagen.plan import Plan, PromptSpec
from warehouse.identity import Json, digest

PROMPT_VERSION = 2


def prompt_id(prompt_part: Json, plan: Plan, index: int) -> str:
    """The id of a prompt: of what was asked for, the wording and the place in the plan."""
    return digest(
        "prompt",
        PROMPT_VERSION,
        prompt_part,
        plan.family.digest,
        plan.vocabulary.digest,
        plan.seed,
        index,
    )


def instruction(plan: Plan, spec: PromptSpec) -> str:
    """What a chat teacher is told."""
    return _told(plan, spec, "instruction")


def opening(plan: Plan, spec: PromptSpec) -> str:
    """The first words of the text, for a teacher that only continues."""
    return _told(plan, spec, "opening")


def _told(plan: Plan, spec: PromptSpec, template: str) -> str:
    values = plan.family.template_values(spec.values, spec.sentence, plan.vocabulary)
    return plan.family.told(template, values)
