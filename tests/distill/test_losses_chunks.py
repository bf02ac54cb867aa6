"""Every loss from hidden states, in chunks: finite differences, and the same as in one piece."""

import itertools
from collections.abc import Callable
from functools import partial
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

from distill.errors import DistillError
from distill.losses import (
    forward_kl,
    generalized_jsd,
    in_chunks,
    part_of,
    reverse_kl,
    sparse_cross_entropy,
    top_k_cross_entropy,
)

ChunkLoss = Callable[[Tensor, slice], Tensor]
NUM_POSITIONS, VOCAB_SIZE, WIDTH = 5, 6, 3
# One position has no targets.
OFFSETS = torch.tensor([0, 2, 2, 5, 6, 9])
IDS = torch.tensor([1, 4, 0, 2, 5, 3, 0, 1, 2])
LABELS = torch.tensor([4, 0, 1, 3, 5])


def random(seed: int, *shape: int) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


TEACHER = random(3, NUM_POSITIONS, VOCAB_SIZE) * 2


def sampled(logits: Tensor, rows: slice, *, alpha: float) -> Tensor:
    offsets, place = part_of(OFFSETS, rows)
    counts = torch.tensor([30, 20, 1, 1, 48, 50, 10, 20, 20])
    return sparse_cross_entropy(logits, LABELS[rows], offsets, IDS[place], counts[place], alpha)


def top_k(logits: Tensor, rows: slice, *, alpha: float) -> Tensor:
    offsets, place = part_of(OFFSETS, rows)
    logprobs = torch.tensor([0.5, 0.2, 0.1, 0.2, 0.3, 1.0, 0.3, 0.3, 0.3]).double().log()
    tail = torch.tensor([0.3, 1.0, 0.4, 0.0, 0.1]).double().log()
    return top_k_cross_entropy(
        logits, LABELS[rows], offsets, IDS[place], logprobs[place], tail[rows], alpha
    )


def dense(logits: Tensor, rows: slice, *, loss: Callable[..., Tensor], **options: float) -> Tensor:
    return loss(logits, TEACHER[rows], LABELS[rows], **options)


DENSE: tuple[tuple[str, Callable[..., Tensor]], ...] = (
    ("forward", forward_kl),
    ("reverse", reverse_kl),
    ("jsd", partial(generalized_jsd, beta=0.3)),
)
LOSSES: dict[str, ChunkLoss] = {
    **{f"sampled {alpha}": partial(sampled, alpha=alpha) for alpha in (0.0, 0.3, 1.0)},
    **{f"top-k {alpha}": partial(top_k, alpha=alpha) for alpha in (0.0, 0.3, 1.0)},
    **{
        f"{name} T={temperature} {alpha}": partial(
            dense, loss=loss, alpha=alpha, temperature=temperature
        )
        for (name, loss), temperature, alpha in itertools.product(
            DENSE, (0.5, 1.0, 2.0), (0.3, 1.0)
        )
    },
}
MASKS = ([True] * 5, [True, False, True, False, False], [False] * 5)


@pytest.fixture(params=LOSSES)
def loss(request: pytest.FixtureRequest) -> ChunkLoss:
    return LOSSES[request.param]


def hidden_and_head() -> tuple[Tensor, Tensor]:
    hidden, head = random(1, NUM_POSITIONS, WIDTH), random(2, VOCAB_SIZE, WIDTH)
    return hidden.requires_grad_(), head.requires_grad_()


def test_finite_differences_with_masks_and_chunks(loss: ChunkLoss) -> None:
    for mask, num_positions in itertools.product(MASKS[:2], (1, 2, 5, 8)):
        assert torch.autograd.gradcheck(
            lambda h, w, mask=mask, n=num_positions: in_chunks(loss, h, w, n)[mask],
            hidden_and_head(),
            fast_mode=num_positions != 5,  # one random direction, else every element
        )


@pytest.mark.parametrize("mask", MASKS, ids=["all", "some", "none"])
def test_chunks_equal_one_piece(loss: ChunkLoss, mask: list[bool]) -> None:
    hidden, head = hidden_and_head()
    whole = loss(hidden @ head.T, slice(0, NUM_POSITIONS))
    expected = torch.autograd.grad(whole[mask].sum(), (hidden, head))
    for num_positions in range(1, 7):
        chunked = in_chunks(loss, hidden, head, num_positions)
        torch.testing.assert_close(chunked, whole, rtol=1e-13, atol=1e-13)
        found = torch.autograd.grad(chunked[mask].sum(), (hidden, head))
        torch.testing.assert_close(found, expected, rtol=1e-12, atol=1e-13)
        assert all(gradient.isfinite().all() for gradient in found)


def test_a_batch_without_positions_has_no_loss_and_no_gradient() -> None:
    hidden, head = random(1, 0, WIDTH).requires_grad_(), random(2, VOCAB_SIZE, WIDTH)
    head.requires_grad_()
    none = torch.empty(0, dtype=torch.int64)

    def loss(logits: Tensor, rows: slice) -> Tensor:
        offsets, place = part_of(torch.zeros(1, dtype=torch.int64), rows)
        return sparse_cross_entropy(logits, none, offsets, none[place], none, 0.5)

    losses = in_chunks(loss, hidden, head, 3)
    losses.sum().backward()
    assert losses.shape == (0,)
    assert head.grad is not None
    assert not head.grad.any()


class Sizes(TorchDispatchMode):
    """Of every tensor that any operation returns, forwards and backwards."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.seen: set[int] = set()

    def __torch_dispatch__(
        self, func: Any, types: Any, args: Any = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        returned = func(*args, **(kwargs or {}))
        tensors = returned if isinstance(returned, tuple | list) else [returned]
        self.seen.update(t.numel() for t in tensors if isinstance(t, Tensor))
        return returned


def test_no_tensor_of_all_logits_is_ever_made() -> None:
    vocab_size, num_positions = 1_000, 64
    hidden, head = random(1, num_positions, 4).requires_grad_(), random(2, vocab_size, 4)
    head.requires_grad_()
    labels = torch.arange(num_positions)
    offsets, ids = torch.arange(num_positions + 1), torch.zeros(num_positions, dtype=torch.int64)

    def loss(logits: Tensor, rows: slice) -> Tensor:
        part, place = part_of(offsets, rows)
        return sparse_cross_entropy(
            logits, labels[rows], part, ids[place], torch.ones_like(ids[place]), 0.5
        )

    with Sizes() as sizes:
        in_chunks(loss, hidden, head, 8).sum().backward()
    assert max(sizes.seen) == 8 * vocab_size


def test_chunks_of_no_positions_are_refused() -> None:
    with pytest.raises(DistillError, match="at least 1 position in a chunk, found 0"):
        in_chunks(LOSSES["sampled 1.0"], *hidden_and_head(), 0)


def test_small_chunks_lose_nothing_of_a_half_precision_head() -> None:
    hidden, head = random(11, 2048, 8).bfloat16(), random(12, 40, 8).bfloat16()
    labels = torch.arange(2048) % 40
    grads = []
    for size in (2048, 1):
        weight = head.clone().requires_grad_()
        in_chunks(partial(_plain, labels=labels), hidden, weight, size).sum().backward()
        grads.append(weight.grad)
    torch.testing.assert_close(grads[1], grads[0], rtol=0.02, atol=1.0)


def test_chunks_under_autocast_equal_one_piece_under_autocast() -> None:
    hidden, head = random(13, 64, 8).float(), random(14, 40, 8).float()
    labels = torch.arange(64) % 40
    grads = []
    with torch.autocast("cpu", dtype=torch.bfloat16):
        for chunked in (False, True):
            weight = head.clone().requires_grad_()
            if chunked:
                loss = in_chunks(partial(_plain, labels=labels), hidden, weight, 16)
            else:
                loss = _plain(
                    torch.nn.functional.linear(hidden, weight), slice(0, 64), labels=labels
                )
            loss.sum().backward()
            grads.append(weight.grad)
    torch.testing.assert_close(grads[1], grads[0], rtol=0.01, atol=0.02)


def _plain(logits: Tensor, rows: slice, *, labels: Tensor) -> Tensor:
    return torch.nn.functional.cross_entropy(logits.float(), labels[rows], reduction="none")
