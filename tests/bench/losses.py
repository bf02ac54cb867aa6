"""What a loss costs in a whole training step, in CPU seconds against F.cross_entropy.

Usage: python tests/bench/losses.py [REPEATS [VOCAB_SIZE...]]

A step is forward, loss, backward, clipping and AdamW of an `stlm-1m` over 8 texts of 128 targets;
targets are R = 50 draws of a power law (about 14 ids), its 16 largest ids with the tail, or the
teacher's logits, which are at hand for nothing. All losses take turns in one process, in another
order each round, the first round discarded; medians, and quartiles of the ratios round by round.
"""

import random
import statistics
import sys
import time
from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor

from distill.draws import draw_counts, draw_uniforms
from distill.losses import (
    forward_kl,
    generalized_jsd,
    in_chunks,
    part_of,
    reverse_kl,
    sparse_cross_entropy,
    top_k_cross_entropy,
)
from distill.students.presets import build_student

NUM_TEXTS, LENGTH, NUM_DRAWS, NUM_KEPT, ALPHA = 8, 128, 50, 16, 0.9
BASELINE = "F.cross_entropy"

Loss = Callable[[Tensor, Tensor], Tensor]
Step = Callable[[Loss], float]


def make_losses(vocab_size: int) -> dict[str, Loss]:
    """Each loss of hidden states (N, D) and output layer (V, D), its targets fixed."""
    num_positions = NUM_TEXTS * LENGTH
    generator = torch.Generator().manual_seed(0)
    ranks = torch.arange(1, vocab_size + 1).float().log()
    teacher = torch.stack(
        [-1.6 * ranks[torch.randperm(vocab_size, generator=generator)] for _ in range(64)]
    )
    teacher = teacher.repeat(num_positions // 64, 1)
    probs = teacher.softmax(dim=-1)
    labels = torch.multinomial(probs, 1, generator=generator)[:, 0]
    draws = draw_counts(probs, draw_uniforms(0, "bench", num_positions, NUM_DRAWS))
    drawn = torch.from_numpy(draws.n_targets).long().cumsum(0)
    offsets = torch.cat([drawn.new_zeros(1), drawn])
    ids, counts = (torch.from_numpy(part).long() for part in (draws.ids, draws.counts))
    top = probs.log().topk(NUM_KEPT, dim=-1)
    top_offsets = torch.arange(num_positions + 1) * NUM_KEPT
    top_ids, top_logprobs = top.indices.flatten(), top.values.flatten()
    tail = torch.log1p(-top.values.exp().sum(dim=-1))

    def sampled(logits: Tensor, alpha: float) -> Tensor:
        return sparse_cross_entropy(logits, labels, offsets, ids, counts, alpha)

    def chunk(logits: Tensor, rows: slice) -> Tensor:
        part, place = part_of(offsets, rows)
        return sparse_cross_entropy(logits, labels[rows], part, ids[place], counts[place], ALPHA)

    dense = {"alpha": ALPHA, "temperature": 1.0}
    return {
        BASELINE: lambda h, w: F.cross_entropy(h @ w.T, labels, reduction="none"),
        "plain (alpha = 0)": lambda h, w: sampled(h @ w.T, 0.0),
        "sampled": lambda h, w: sampled(h @ w.T, ALPHA),
        "sampled, in chunks of 256": lambda h, w: in_chunks(chunk, h, w, 256),
        "top-k and tail": lambda h, w: top_k_cross_entropy(
            h @ w.T, labels, top_offsets, top_ids, top_logprobs, tail, ALPHA
        ),
        "forward KL": lambda h, w: forward_kl(h @ w.T, teacher, labels, **dense),
        "reverse KL": lambda h, w: reverse_kl(h @ w.T, teacher, labels, **dense),
        "JSD, beta 0.5": lambda h, w: generalized_jsd(
            h @ w.T, teacher, labels, beta=0.5, alpha=ALPHA, temperature=1.0
        ),
    }


def make_step(vocab_size: int) -> Step:
    """A step of one student by a loss; it returns its CPU seconds."""
    student = build_student("stlm-1m", vocab_size, start_id=0, end_id=1, seed=0)
    optimizer = torch.optim.AdamW(student.parameters(), lr=1e-3, fused=True)
    generator = torch.Generator().manual_seed(1)
    ids = torch.randint(vocab_size, (NUM_TEXTS, LENGTH), generator=generator)

    def step(loss: Loss) -> float:
        begun = time.process_time()
        hidden = student.model(input_ids=ids, use_cache=False).last_hidden_state
        loss(hidden.flatten(0, 1), student.lm_head.weight).mean().backward()
        torch.nn.utils.clip_grad_norm_(student.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        return time.process_time() - begun

    return step


def main() -> None:
    """Print a table for each vocabulary."""
    repeats = int(sys.argv[1]) if len(sys.argv) > 1 else 9
    for vocab_size in [int(size) for size in sys.argv[2:]] or [4_096, 16_384]:
        losses, step = make_losses(vocab_size), make_step(vocab_size)
        chance = random.Random(0)
        rounds = [
            {name: step(losses[name]) for name in chance.sample(list(losses), len(losses))}
            for _ in range(repeats + 1)
        ][1:]
        print(f"V = {vocab_size:,}, {repeats} rounds")
        print(f"| loss | CPU s a step | steps per CPU second, {BASELINE} = 1 |\n|---|---|---|")
        for name in losses:
            seconds = statistics.median(taken[name] for taken in rounds)
            ratios = [taken[BASELINE] / taken[name] for taken in rounds]
            low, middle, high = statistics.quantiles(ratios, n=4)
            print(f"| {name} | {seconds:.3f} | {middle:.2f} ({low:.2f} to {high:.2f}) |")


if __name__ == "__main__":
    main()
