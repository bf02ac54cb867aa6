"""The engine's decoding against transformers' own `generate`: same model, prompts and token count.

Usage: python tests/bench/decoding.py [ROWS] [NEW_TOKENS]. Greedy, so both write the same number of
tokens; the end symbol is forbidden to both. Prints tokens per CPU-second, median and range.
"""

import statistics
import sys
import time
from collections.abc import Callable

import torch

from datagen.engines.decoding import prefill
from datagen.plan import plan_item
from datagen.prompts import instruction
from datagen.vocabulary import load_vocabulary
from flows.recipes import load_recipe
from flows.teachers import find_teacher, load_model, load_tokenizer

REPEATS = 5


def main(num_rows: int, num_new: int) -> None:
    """Print the table; one warm-up of each is thrown away."""
    recipe = load_recipe("quickstart")
    teacher = find_teacher(recipe.teacher.model, print)
    reads, model = load_tokenizer(teacher), load_model(teacher, recipe.teacher)
    vocabulary = load_vocabulary("age3")
    specs = [plan_item(vocabulary, 1, place) for place in range(num_rows)]
    contexts = [reads.context_ids(instruction(spec)) for spec in specs]

    @torch.inference_mode()
    def ours() -> None:
        batch, logits_BV = prefill(model, contexts, num_new)
        for _ in range(num_new - 1):
            logits_BV[:, reads.end_ids[0]] = -torch.inf
            logits_BV = batch.step(logits_BV.argmax(dim=1))

    longest = max(map(len, contexts))
    padded = torch.tensor([[0] * (longest - len(ids)) + ids for ids in contexts])
    mask = torch.tensor([[0] * (longest - len(ids)) + [1] * len(ids) for ids in contexts])

    def generate() -> None:
        model.set_attn_implementation("sdpa")
        model.generate(  # type: ignore[operator]
            input_ids=padded,
            attention_mask=mask,
            do_sample=False,
            min_new_tokens=num_new,
            max_new_tokens=num_new,
        )

    print("| loop | tokens per CPU-second, median | range | ratio |")
    print("|---|---|---|---|")
    rates = {
        name: [_rate(run, num_rows * num_new) for _ in range(REPEATS + 1)][1:]
        for name, run in (("engine", ours), ("transformers generate (baseline)", generate))
    }
    base = statistics.median(rates["transformers generate (baseline)"])
    for name, values in rates.items():
        median = statistics.median(values)
        print(
            f"| {name} | {median:.0f} | {min(values):.0f} to {max(values):.0f} "
            f"| {median / base:.2f} |"
        )


def _rate(run: Callable[[], None], num_tokens: int) -> float:
    cpu_s = time.process_time()
    run()
    return num_tokens / (time.process_time() - cpu_s)


if __name__ == "__main__":
    arguments = [int(argument) for argument in sys.argv[1:]]
    main(*(arguments + [64, 60][len(arguments) :]))
