"""What the benchmarks of writing share: the recipe's teacher, its engine, and prompts that no night
is tuned on.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass

import torch
from transformers import PreTrainedModel

from datagen.engines.base import Completion, Request
from datagen.engines.transformers_engine import TransformersEngine
from datagen.families import load_family
from datagen.plan import Plan, PromptSpec
from datagen.prompts import instruction
from datagen.vocabulary import Vocabulary, load_vocabulary
from flows.constraints import teacher_constraint
from flows.recipes import Recipe, load_recipe
from flows.teachers import TeacherTokenizer, find_teacher, load_model, load_tokenizer

FIRST_INDEX = 1000


@dataclass(frozen=True, slots=True)
class Bench:
    """A recipe with all that it takes to write first attempts."""

    recipe: Recipe
    model: PreTrainedModel
    reads: TeacherTokenizer
    vocabulary: Vocabulary
    specs: list[PromptSpec]
    requests: list[Request]
    engine: TransformersEngine

    @classmethod
    def of(cls, num_prompts: int, overrides: list[str]) -> "Bench":
        """The quickstart's, with other values for some keys."""
        recipe = load_recipe("quickstart", overrides)
        teacher = find_teacher(recipe.teacher.model, print)
        reads, model = load_tokenizer(teacher), load_model(teacher, recipe.teacher, can_write=True)
        vocabulary = load_vocabulary(recipe.prompts.vocabulary)
        plan = Plan(vocabulary, load_family(recipe.prompts.family), recipe.prompts.seed)
        specs = [plan[FIRST_INDEX + place] for place in range(num_prompts)]
        requests = [
            Request(
                prompt=instruction(plan, spec),
                opening="",
                seed=spec.plan_index,
                required=tuple(
                    vocabulary.forms_of(word.lemma, word.part_of_speech) for word in spec.required
                ),
            )
            for spec in specs
        ]
        engine = TransformersEngine(
            model,
            reads.tokenizer,
            reads.context_ids,
            reads.end_ids,
            recipe.teacher.batch_size,
            teacher_constraint(teacher, model, vocabulary),
        )
        return cls(recipe, model, reads, vocabulary, specs, requests, engine)

    def write(self, **sampling: object) -> tuple[list[Completion], float]:
        """What the engine writes with other sampling, and its CPU-seconds."""
        changed = self.recipe.sampling.model_copy(update=sampling)
        return timed(lambda: self.engine.write(self.requests, changed, lambda _: None))

    @torch.inference_mode()
    def teacher_nats(self, request: Request, text: str) -> tuple[float, int]:
        """The teacher's own unconstrained nats of a text under its prompt, and its tokens."""
        context, ids = self.reads.context_ids(request.prompt), self.reads.text_ids(text)
        logits_TV = self.model(torch.tensor([context + ids]), logits_to_keep=len(ids) + 1).logits[
            0, :-1
        ]
        nats_T = -logits_TV.log_softmax(dim=-1).gather(1, torch.tensor(ids)[:, None])
        return float(nats_T.sum()), len(ids)


def timed(run: Callable[[], list[Completion]]) -> tuple[list[Completion], float]:
    """What run gives, and the CPU-seconds that it took."""
    begun_s = time.process_time()
    result = run()
    return result, time.process_time() - begun_s
