"""What a student learns that has room for everything: the minimiser of each stored form of targets.

Usage: python tests/bench/fisher.py [SEEDS]

First, over free logits: a power-law teacher (V = 200, probability ~ rank^-1.1), each form minimised
to the end, KL(teacher || minimiser). Then students (tests/bench/fisher_students.py): small Llamas
trained on text of a known bigram teacher and what each form stores of it. Prints both tables and
writes docs/targets.svg.

Renormalised top-k is here alone: nothing in the package can store it or train on it as such. It is
the sampled loss with the kept probabilities for counts, which that loss divides by their sum.
"""

import statistics
import sys
from collections.abc import Callable
from pathlib import Path

import torch
from torch import Tensor

from distill.draws import draw_counts, draw_uniforms
from distill.losses import forward_kl, sparse_cross_entropy, top_k_cross_entropy

VOCAB_SIZE, EXPONENT, NUM_KEPT = 200, 1.1, 16
NUM_DRAWS, NUM_POSITIONS = 50, 2_000
# Without a tail the best logits are infinitely far apart, so the search must end somewhere.
MAX_ITERATIONS = 400
PICTURE = Path(__file__).parents[2] / "docs" / "targets.svg"
FORMS = ("dense", "sampled", "tail bucket", "renormalised top-k")

Loss = Callable[[Tensor], Tensor]


def power_law(vocab_size: int = VOCAB_SIZE) -> Tensor:
    """Probabilities in float64, the largest first."""
    weights = torch.arange(1, vocab_size + 1, dtype=torch.float64) ** -EXPONENT
    return weights / weights.sum()


def form_losses(teacher_NV: Tensor, num_kept: int, seed: int) -> dict[str, Loss]:
    """Each form's loss of logits (N, V): what it stores of the teacher at N positions is fixed
    here.
    """
    num_positions = len(teacher_NV)
    labels_N = torch.zeros(num_positions, dtype=torch.int64)
    draws = draw_counts(teacher_NV, draw_uniforms(seed, "fisher", num_positions, NUM_DRAWS))
    drawn = torch.from_numpy(draws.n_targets).long().cumsum(0)
    drawn_offsets = torch.cat([drawn.new_zeros(1), drawn])
    ids, counts = torch.from_numpy(draws.ids), torch.from_numpy(draws.counts)
    kept = teacher_NV.topk(num_kept, dim=-1)
    top_ids, top_probs = kept.indices.flatten(), kept.values.flatten()
    offsets = torch.arange(num_positions + 1) * num_kept
    tail_N = torch.log1p(-kept.values.sum(dim=-1))
    logits_NV = teacher_NV.log()
    return {
        "dense": lambda z: forward_kl(
            z, logits_NV.to(z.dtype), labels_N, alpha=1.0, temperature=1.0
        ),
        "sampled": lambda z: sparse_cross_entropy(z, labels_N, drawn_offsets, ids, counts, 1.0),
        "tail bucket": lambda z: top_k_cross_entropy(
            z, labels_N, offsets, top_ids, top_probs.log(), tail_N, 1.0
        ),
        "renormalised top-k": lambda z: sparse_cross_entropy(
            z, labels_N, offsets, top_ids, top_probs, 1.0
        ),
    }


def minimiser(loss: Loss, num_positions: int, vocab_size: int = VOCAB_SIZE) -> Tensor:
    """The probabilities (V,) that all positions share at the least loss, from equal logits on."""
    logits_V = torch.zeros(vocab_size, dtype=torch.float64, requires_grad=True)
    optimizer = torch.optim.LBFGS(
        [logits_V],
        max_iter=MAX_ITERATIONS,
        tolerance_grad=1e-10,
        tolerance_change=1e-14,
        line_search_fn="strong_wolfe",
    )

    def closure() -> float:
        optimizer.zero_grad()
        nats = loss(logits_V.expand(num_positions, -1)).mean()
        nats.backward()
        return nats.item()

    optimizer.step(closure)
    return logits_V.detach().softmax(dim=-1)


def kl(p: Tensor, q: Tensor) -> Tensor:
    """KL(p || q) in nats over the last axis."""
    return (p * (p / q).log()).sum(dim=-1)


def minimisers(seed: int, num_positions: int = NUM_POSITIONS) -> dict[str, Tensor]:
    """The minimiser of every form for the power-law teacher. All positions say the same of it but
    for the draws, so that one stands for all where nothing is drawn.
    """
    teacher = power_law()
    many, one = (
        form_losses(teacher.expand(n, -1).contiguous(), NUM_KEPT, seed) for n in (num_positions, 1)
    )
    return {
        form: minimiser(many[form], num_positions) if form == "sampled" else minimiser(one[form], 1)
        for form in FORMS
    }


def main() -> None:
    """Print the tables, draw the picture."""
    from tests.bench.fisher_picture import draw_picture
    from tests.bench.fisher_students import learn

    num_seeds = int(sys.argv[1]) if len(sys.argv) > 1 else 3
    teacher = power_law()
    found = [minimisers(seed) for seed in range(num_seeds)]
    print("| form | KL(teacher, minimiser) | q_1 / p_1 | mass beyond the first 16 |")
    print("|---|---|---|---|")
    for form in FORMS:
        kls = [kl(teacher, of[form]).item() for of in found]
        q = found[0][form]
        print(f"| {form} | {statistics.median(kls):.4f} ({min(kls):.4f} to {max(kls):.4f}) | "
              f"{q[0] / teacher[0]:.3f} | {q[NUM_KEPT:].sum():.3f} |")  # fmt: skip
    print(f"| (teacher) | 0 | 1 | {teacher[NUM_KEPT:].sum():.3f} |", flush=True)
    curves = {}
    print("| student trained on | KL(teacher, student), median and range over seeds |")
    print("|---|---|")
    for form in ("cross entropy", *FORMS):
        curves[form] = [learn(form, seed) for seed in range(num_seeds)]
        last = [curve[-1][1] for curve in curves[form]]
        print(f"| {form} | {statistics.median(last):.4f} ({min(last):.4f} to {max(last):.4f}) |",
              flush=True)  # fmt: skip
    PICTURE.write_text(draw_picture(teacher, found[0], {f: c[0] for f, c in curves.items()}))


if __name__ == "__main__":
    main()
