"""What keeps a model's stories inside a vocabulary: the automaton of its tokenizer, from the cache
or built, and ready for the engine.
"""

import logging
from functools import lru_cache
from typing import TYPE_CHECKING

from datagen.automata import Dfa
from datagen.automaton_cache import TokenizerFacts, load_automaton
from datagen.config import SamplingConfig
from datagen.constrain import TokenAutomaton
from datagen.openings import check_openings
from datagen.plan import Plan
from datagen.surface import check_allows_stories, story_dfa
from datagen.vocabulary import Vocabulary
from flows.teachers import Teacher, cache_folder, load_tokenizer

if TYPE_CHECKING:
    from transformers import PreTrainedModel

    from datagen.engines.guiding import Constraint

logger = logging.getLogger(__name__)

AUTOMATA = "automata"


def check_constrained(sampling: SamplingConfig, plan: Plan, teacher: Teacher) -> None:
    """Pass if the teacher can write the plan's texts under the recipe's constraint, or there is
    none; DatagenError otherwise, before a night is claimed.
    """
    if not sampling.constrain:
        return
    check_allows_stories(plan.vocabulary)
    if not teacher.allows_instructions:
        check_openings(plan, _stories_of(plan.vocabulary))


@lru_cache(maxsize=1)
def teacher_constraint(
    teacher: Teacher, model: "PreTrainedModel", vocabulary: Vocabulary
) -> "Constraint":
    """What keeps a teacher to the vocabulary; EngineError or DatagenError if nothing can."""
    from datagen.engines.guiding import Constraint

    reads = load_tokenizer(teacher)
    facts = _teacher_facts(teacher)
    return Constraint.of(
        cached_automaton(vocabulary, facts),
        facts.token_bytes,
        facts.end_ids,
        model,
        reads.text_ids,
    )


def cached_automaton(vocabulary: Vocabulary, facts: TokenizerFacts) -> TokenAutomaton:
    """The automaton from the cache folder, or built and left there."""
    return load_automaton(vocabulary, facts, cache_folder() / AUTOMATA, logger.info)


@lru_cache(maxsize=1)
def _stories_of(vocabulary: Vocabulary) -> Dfa:
    """Once per process: about a CPU-second, and each stage of a night asks."""
    return story_dfa(vocabulary)


def tokenizer_facts(tokenizer_json: str, end_ids: tuple[int, ...]) -> TokenizerFacts:
    """What an automaton takes from the text of a tokenizer.json."""
    from distill.tokens import is_byte_level, token_bytes, tokenizer_sha256

    return TokenizerFacts(
        sha256=tokenizer_sha256(tokenizer_json),
        token_bytes=token_bytes(tokenizer_json),
        end_ids=end_ids,
        strips_space=not is_byte_level(tokenizer_json),
    )


def _teacher_facts(teacher: Teacher) -> TokenizerFacts:
    text = (teacher.folder / "tokenizer.json").read_text(encoding="utf-8")
    return tokenizer_facts(text, load_tokenizer(teacher).end_ids)
