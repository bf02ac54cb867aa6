"""What a teacher says at the positions of a batch: hidden states, then logits a bounded number of
positions at a time, then the numbers that are stored.

Legend: B documents, N target positions of a batch end to end, V token ids, D width.

The head is applied to the positions that predict text, so many at a time that their logits stay
under a limit: logits of a whole batch never exist. No attention mask is given: padding stands on
the right, where a causal model does not look.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from transformers import PreTrainedModel

from distill.errors import DistillError

_BYTES_OF_A_LOGIT = 4
_MIB = 1 << 20
# What families call the numbers that they change their head's output by.
_FACTORS = ("logit_scale", "lm_head_multiplier")
_CAPS = ("final_logit_softcapping", "logits_soft_cap")
_TOLERANCE = 1e-4  # of the largest logit; rounding moves a float32 one by some 1e-6 of it


@dataclass(frozen=True, slots=True)
class CaptureRequest:
    """A document in teacher ids: the context that the text is read under (at least one id), the
    text without end symbol.
    """

    doc_id: str
    story_id: str
    context_ids: Sequence[int]
    text_ids: Sequence[int]


@dataclass(frozen=True, slots=True, eq=False)
class TeacherIds:
    """What capture must know of the teacher's ids: those that end a story, the main one first, and
    bool[V] of those that begin with whitespace or end the story. V is the tokenizer's true size:
    the head's padded rows beyond it are cut off.
    """

    end_ids: Sequence[int]
    word_start_mask: NDArray[np.bool_]

    @property
    def vocab_size(self) -> int:
        """V."""
        return self.word_start_mask.size


@dataclass(frozen=True, slots=True, eq=False)
class Positions:
    """What the teacher says of N positions: float32 (of a float64 teacher float64), in nats.

    entropy = -sum p log p; teacher_nll = -log p[label], for an end id of all of them together;
    word_start_logmass = log of the sum of p over the mask; log_sum = logsumexp of the logits.
    """

    logits_NV: Tensor
    probs_NV: Tensor
    log_sum_N: Tensor
    entropy_N: Tensor
    teacher_nll_N: Tensor
    word_start_logmass_N: Tensor

    def with_one_end(self, ids: TeacherIds) -> Tensor:
        """The logits with the mass of all end ids under the main one, the others without any."""
        main, *others = dict.fromkeys(ids.end_ids)
        if not others:
            return self.logits_NV
        logits_NV = self.logits_NV.clone()
        logits_NV[:, main] = logits_NV[:, [main, *others]].logsumexp(dim=1)
        logits_NV[:, others] = -torch.inf
        return logits_NV


def text_labels(request: CaptureRequest, ids: TeacherIds) -> NDArray[np.int32]:
    """The ids that the document's targets predict: its text and the main end id."""
    return np.array([*request.text_ids, ids.end_ids[0]], np.int32)


def text_hidden(model: PreTrainedModel, batch: Sequence[CaptureRequest]) -> Tensor:
    """The last hidden states that predict each text's ids and its end, document after document: (N,
    D).
    """
    rows = [torch.tensor([*r.context_ids, *r.text_ids]) for r in batch]
    inputs_BT = torch.nn.utils.rnn.pad_sequence(rows, batch_first=True).to(model.device)
    hidden_BTD = model.get_decoder()(input_ids=inputs_BT, use_cache=False).last_hidden_state
    return torch.cat(
        [
            hidden_BTD[i, len(r.context_ids) - 1 : len(r.context_ids) + len(r.text_ids)]
            for i, r in enumerate(batch)
        ]
    )


@torch.no_grad()
def head_logits(model: PreTrainedModel, hidden_ND: Tensor) -> Tensor:
    """(N, V): what the head makes of hidden states, scaled (Cohere, Falcon-H1, Granite) or capped
    (Gemma) as the model's own forward does it; check_head says whether that is all it does.
    """
    logits_NV: Tensor = model.get_output_embeddings()(hidden_ND)
    for name in _FACTORS:
        if factor := _setting(model, name):
            logits_NV.mul_(factor)
    if divisor := _setting(model, "logits_scaling"):
        logits_NV.div_(divisor)
    for name in _CAPS:
        if cap := _setting(model, name):
            logits_NV.div_(cap).tanh_().mul_(cap)
    return logits_NV


def _setting(model: PreTrainedModel, name: str) -> float | None:
    value = getattr(model.config.get_text_config(), name, None)
    return value if isinstance(value, int | float) else None


def listen(
    model: PreTrainedModel,
    hidden_ND: Tensor,
    labels: NDArray[np.int32],
    ids: TeacherIds,
    *,
    logits_mib: int,
) -> Iterator[tuple[slice, Positions]]:
    """The positions in order, so many at a time that float32 logits of the true V ids take at most
    logits_mib MiB (one position at least), each time with their places among the N.
    """
    labels_N = torch.from_numpy(labels.astype(np.int64)).to(hidden_ND.device)
    num_rows = max(1, logits_mib * _MIB // (_BYTES_OF_A_LOGIT * ids.vocab_size))
    for start in range(0, labels_N.numel(), num_rows):
        places = slice(start, min(start + num_rows, labels_N.numel()))
        yield places, _positions(head_logits(model, hidden_ND[places]), labels_N[places], ids)


def as_half(nats_N: Tensor) -> NDArray[np.float16]:
    """float16 of numbers that are never negative but for rounding; beyond float16's range stands
    its largest number.
    """
    limit = float(np.finfo(np.float16).max)
    halves: NDArray[np.float16] = nats_N.clamp(0.0, limit).cpu().numpy().astype(np.float16)
    return halves


def check_head(model: PreTrainedModel, request: CaptureRequest) -> None:
    """Pass if the model says what head_logits takes it to say; DistillError where its family
    changes the head's output in another way.
    """
    inputs_BT = torch.tensor([[*request.context_ids, *request.text_ids[:8]]], device=model.device)
    whole_V = model(input_ids=inputs_BT, use_cache=False).logits[0, -1].float()
    read = model.get_decoder()(input_ids=inputs_BT, use_cache=False)
    hidden_BTD = getattr(read, "last_hidden_state", None)  # llama4's decoder is the whole model
    is_same = False
    if hidden_BTD is not None:
        ours_V = head_logits(model, hidden_BTD[:, -1])[0].float()
        largest = whole_V.abs().nan_to_num(0.0, 0.0).max().item()
        atol = _TOLERANCE * largest
        is_same = torch.allclose(whole_V, ours_V, rtol=0, atol=atol, equal_nan=True)
    if not is_same:
        raise DistillError(
            "expected a teacher whose logits are its head's output, perhaps scaled or capped, "
            f"found {type(model).__name__}, which changes them in another way: choose another one"
        )


def _positions(logits_NV: Tensor, labels_N: Tensor, ids: TeacherIds) -> Positions:
    logits_NV = logits_NV[:, : ids.vocab_size]
    logits_NV = logits_NV if logits_NV.dtype == torch.float64 else logits_NV.float()
    probs_NV = logits_NV.softmax(dim=-1)
    top_N, places_N = logits_NV.max(dim=-1)
    lse_N = top_N - probs_NV.gather(1, places_N[:, None])[:, 0].log()
    if not bool(lse_N.isfinite().all()):
        raise DistillError("expected finite logits from the teacher, found NaN: check its weights")
    end_ids = torch.tensor(list(ids.end_ids), device=logits_NV.device)
    is_end_N = torch.isin(labels_N, end_ids)
    label_logits_N = logits_NV.gather(1, labels_N[:, None])[:, 0]
    end_logits_N = logits_NV[:, end_ids].logsumexp(dim=-1)
    nll_N = lse_N - torch.where(is_end_N, end_logits_N, label_logits_N)
    finite_NV = logits_NV.clamp(min=torch.finfo(logits_NV.dtype).min)
    means_N = (probs_NV[:, None, :] @ finite_NV[:, :, None])[:, 0, 0]
    mask_V = torch.from_numpy(ids.word_start_mask).to(probs_NV)
    return Positions(
        logits_NV=logits_NV,
        probs_NV=probs_NV,
        log_sum_N=lse_N,
        entropy_N=lse_N - means_N,
        teacher_nll_N=nll_N,
        word_start_logmass_N=(probs_NV @ mask_V).log(),
    )
