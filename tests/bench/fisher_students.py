"""Small Llamas that learn a bigram teacher, known exactly, from each stored form of its targets."""

import functools

import torch
from torch import Tensor
from transformers import LlamaConfig, LlamaForCausalLM

from distill.losses import sparse_cross_entropy
from tests.bench.fisher import form_losses, kl, power_law

VOCAB_SIZE, NUM_KEPT = 100, 8
NUM_TEXTS, LENGTH, TEXTS_PER_STEP = 2_000, 33, 16
STEPS_PER_POINT = 5
LEARNING_RATE = 3e-3


@functools.cache
def bigram_teacher() -> Tensor:
    """P(next id | id) in float64: the power law, its ids in another order after each id."""
    generator = torch.Generator().manual_seed(0)
    orders = [torch.randperm(VOCAB_SIZE, generator=generator) for _ in range(VOCAB_SIZE)]
    return torch.stack([power_law(VOCAB_SIZE)[order] for order in orders])


def write_texts(num_texts: int, seed: int) -> Tensor:
    """Texts by the teacher, (num_texts, LENGTH), their first ids uniform."""
    generator = torch.Generator().manual_seed(seed)
    ids = torch.randint(VOCAB_SIZE, (num_texts, 1), generator=generator)
    for _ in range(LENGTH - 1):
        following = torch.multinomial(bigram_teacher()[ids[:, -1]], 1, generator=generator)
        ids = torch.cat([ids, following], dim=1)
    return ids


def learn(form: str, seed: int) -> list[tuple[int, float]]:
    """One pass over the texts: (tokens seen, mean KL(teacher || student) on other texts)."""
    torch.manual_seed(seed)
    student = LlamaForCausalLM(
        LlamaConfig(
            vocab_size=VOCAB_SIZE,
            hidden_size=128,
            intermediate_size=256,
            num_hidden_layers=1,
            num_attention_heads=4,
            max_position_embeddings=LENGTH,
        )
    )
    optimizer = torch.optim.AdamW(student.parameters(), lr=LEARNING_RATE, weight_decay=0.0)
    texts, other_texts = write_texts(NUM_TEXTS, seed + 1), write_texts(64, 10_000 + seed)
    points = []
    num_steps = NUM_TEXTS // TEXTS_PER_STEP
    for step in range(num_steps):
        ids = texts[step * TEXTS_PER_STEP :][:TEXTS_PER_STEP]
        for group in optimizer.param_groups:
            group["lr"] = LEARNING_RATE * min(1.0, 2.0 * (num_steps - step) / num_steps)
        loss_N = _losses(form, _logits(student, ids), ids, seed * num_steps + step)
        loss_N.mean().backward()
        optimizer.step()
        optimizer.zero_grad()
        if (step + 1) % STEPS_PER_POINT == 0:
            points.append(((step + 1) * loss_N.numel(), _divergence(student, other_texts)))
    return points


def _logits(student: LlamaForCausalLM, ids: Tensor) -> Tensor:
    logits: Tensor = student(input_ids=ids[:, :-1], use_cache=False).logits
    return logits.flatten(0, 1)


def _losses(form: str, logits_NV: Tensor, ids: Tensor, seed: int) -> Tensor:
    if form == "cross entropy":
        labels_N = ids[:, 1:].flatten()
        none = torch.empty(0, dtype=torch.int64)
        offsets_N1 = torch.zeros(len(labels_N) + 1, dtype=torch.int64)
        return sparse_cross_entropy(logits_NV, labels_N, offsets_N1, none, none, 0.0)
    return form_losses(bigram_teacher()[ids[:, :-1].flatten()], NUM_KEPT, seed)[form](logits_NV)


@torch.inference_mode()
def _divergence(student: LlamaForCausalLM, ids: Tensor) -> float:
    q_NV = _logits(student, ids).double().softmax(dim=-1)
    return kl(bigram_teacher()[ids[:, :-1].flatten()], q_NV).mean().item()
