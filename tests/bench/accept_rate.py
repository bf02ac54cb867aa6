"""How many first attempts at the plan's prompts pass all verdicts, and at what cost.

Usage: python tests/bench/accept_rate.py [NUM_PROMPTS] [KEY=VALUE ...]   (recipe quickstart, from
plan index 1000 on, so that no night's prompts are tuned on)
"""

import collections
import sys
import time

from datagen.engines.base import Request
from datagen.engines.transformers_engine import TransformersEngine
from datagen.measures import required_hits, words_of
from datagen.plan import plan_item
from datagen.prompts import instruction
from datagen.verdict import judge
from datagen.vocabulary import load_vocabulary
from flows.recipes import Recipe, load_recipe
from flows.teachers import find_teacher, load_model, load_tokenizer

FIRST_INDEX = 1000


def measure(recipe: Recipe, num_prompts: int) -> None:
    """Print one row: accepted, tokens per accepted story, hits, and rejections by reason."""
    teacher = find_teacher(recipe.teacher.model, print)
    reads = load_tokenizer(teacher)
    model = load_model(teacher, recipe.teacher)
    batch_size = recipe.teacher.batch_size
    engine = TransformersEngine(
        model, reads.tokenizer, reads.context_ids, reads.end_ids, batch_size
    )
    vocabulary = load_vocabulary(recipe.prompts.vocabulary)
    places = range(FIRST_INDEX, FIRST_INDEX + num_prompts)
    specs = [plan_item(vocabulary, recipe.prompts.seed, place) for place in places]
    requests = [Request(instruction(s), "", s.plan_index) for s in specs]
    cpu_s = time.process_time()
    written = engine.write(requests, recipe.sampling, lambda _: None)
    cpu_s = time.process_time() - cpu_s
    reasons = collections.Counter(
        judge(
            completion.text,
            is_finished=completion.is_finished,
            spec=spec,
            vocabulary=vocabulary,
            config=recipe.verdicts,
        )
        or "accepted"
        for spec, completion in zip(specs, written, strict=True)
    )
    hits = sum(
        required_hits(words_of(completion.text), spec, vocabulary)
        for spec, completion in zip(specs, written, strict=True)
    )
    accepted, num_tokens = reasons.pop("accepted", 0), sum(c.num_tokens for c in written)
    print(
        f"| {accepted} of {num_prompts} | {num_tokens / num_prompts:.0f} | "
        f"{num_tokens / max(accepted, 1):.0f} | {cpu_s / max(accepted, 1):.1f} | "
        f"{hits / num_prompts:.2f} of 3 | {dict(reasons.most_common())} |"
    )


if __name__ == "__main__":
    numbers = [argument for argument in sys.argv[1:] if argument.isdigit()]
    overrides = [argument for argument in sys.argv[1:] if "=" in argument]
    print("| accepted | tokens a try | tokens an accepted story | CPU-s each | words | rejected |")
    print("|---|---|---|---|---|---|")
    measure(load_recipe("quickstart", overrides), int(numbers[0]) if numbers else 64)
