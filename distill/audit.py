"""Stored targets against what the teacher says when it is asked again.

Numbers (nll, entropy, log masses) must agree within float16's rounding and what another numerics
class moves; draws cannot be asked for again, so they are tested (draw_fit.py), all together and
each document by itself. An honest capture fails either test about once in 100,000 audits. Kept ids
of a top-k capture must be the likeliest but for ties, with their log probabilities and the tail's.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import reduce
from operator import add

import numpy as np
import torch
from numpy.typing import NDArray
from transformers import PreTrainedModel

from distill.draw_fit import BandCounts, count_bands, g_test
from distill.positions import CaptureRequest, Positions, TeacherIds, as_half, listen, text_hidden
from distill.targets import CapturedDocument
from distill.top_k import TopK, as_logs, keep_top

LEVEL = 1e-5
# float16 is off by 0.05 % at most, float32 of another machine by some 1e-4 nats; another
# temperature, position or teacher by far more.
_ABSOLUTE_NATS, _RELATIVE = 2e-3, 1e-3
_LOGITS_MIB = 64


@dataclass(frozen=True, slots=True)
class Difference:
    """The worst of a document's differences between a stored number and the teacher's, by the
    share of what is allowed there; both in nats.
    """

    nats: float
    allowed: float

    @property
    def share(self) -> float:
        """Above 1: more than allowed."""
        return self.nats / self.allowed


@dataclass(frozen=True, slots=True, eq=False)
class DocumentAudit:
    """What a look at one document found; bands are None of kept ids."""

    doc_id: str
    num_positions: int
    differences: Mapping[str, Difference]
    bands: BandCounts | None


@dataclass(frozen=True, slots=True)
class Check:
    """One line of the verdict: what was looked at, what was found and allowed, in words and as
    numbers, and the document in which it was worst.
    """

    check: str
    found: str
    allowed: str
    is_good: bool
    document: str
    value: float
    limit: float


def audit_document(
    model: PreTrainedModel,
    captured: CapturedDocument,
    context_ids: Sequence[int],
    ids: TeacherIds,
    *,
    num_draws: int,
) -> DocumentAudit:
    """The stored row beside what the teacher says of the stored ids under that context; num_draws
    (R) is 0 of a top-k capture.
    """
    text_ids = captured.input_ids[:-1].tolist()
    request = CaptureRequest(captured.doc_id, captured.story_id, context_ids, text_ids)
    bands = BandCounts.none() if num_draws else None
    worst: dict[str, Difference] = {}
    with torch.inference_mode():
        hidden_ND = text_hidden(model, [request])
        heard = listen(model, hidden_ND, captured.input_ids, ids, logits_mib=_LOGITS_MIB)
        for places, positions in heard:
            if bands is not None:
                bands += _bands(captured, places, positions, num_draws)
            for name, found in _differences(captured, places, positions, ids):
                worst[name] = max(worst.get(name, found), found, key=lambda d: d.share)
    return DocumentAudit(captured.doc_id, captured.input_ids.size, worst, bands)


def judge(audits: Sequence[DocumentAudit]) -> list[Check]:
    """A check for each number, one for all draws together and one for the worst document's; none of
    no documents.
    """
    if not audits:
        return []
    names = dict.fromkeys(name for audit in audits for name in audit.differences)
    checks = [_worst_difference(audits, name) for name in names]
    drawn = [(audit.doc_id, audit.bands) for audit in audits if audit.bands is not None]
    return [*checks, *(_fits(drawn) if drawn else [])]


def _fits(drawn: Sequence[tuple[str, BandCounts]]) -> list[Check]:
    together = g_test(reduce(add, (bands for _, bands in drawn)))
    p_values = [g_test(bands).p_value for _, bands in drawn]
    place = int(np.argmin(p_values))
    worst = min(1.0, p_values[place] * len(drawn))
    return [
        _fit(
            f"draws, all together (G {together.g:.1f}, {together.degrees_of_freedom:.1f} degrees)",
            together.p_value,
            "",
        ),
        _fit(f"draws, the worst of {len(drawn)} documents", worst, drawn[place][0]),
    ]


def _fit(check: str, p_value: float, document: str) -> Check:
    return Check(
        check=check,
        found=f"p = {p_value:.2g}",
        allowed=f"p >= {LEVEL:.0e}",
        is_good=p_value >= LEVEL,
        document=document,
        value=p_value,
        limit=LEVEL,
    )


def _worst_difference(audits: Sequence[DocumentAudit], name: str) -> Check:
    having = [audit for audit in audits if name in audit.differences]
    worst = max(having, key=lambda audit: audit.differences[name].share)
    difference = worst.differences[name]
    return Check(
        check=f"{name}, largest difference",
        found=f"{difference.nats:.2g} nats",
        allowed=f"<= {difference.allowed:.2g} nats",
        is_good=difference.share <= 1,
        document=worst.doc_id,
        value=difference.nats,
        limit=difference.allowed,
    )


def _bands(
    captured: CapturedDocument, places: slice, positions: Positions, num_draws: int
) -> BandCounts:
    ends = np.append(0, np.cumsum(captured.n_targets, dtype=np.int64))
    drawn = slice(int(ends[places.start]), int(ends[places.stop]))
    rows = np.repeat(np.arange(places.stop - places.start), captured.n_targets[places])
    device = positions.probs_NV.device
    return count_bands(
        positions.probs_NV,
        torch.from_numpy(rows).to(device),
        torch.from_numpy(captured.target_ids[drawn].astype(np.int64)).to(device),
        torch.from_numpy(captured.target_counts[drawn].astype(np.int64)).to(device),
        num_draws,
    )


def _differences(
    captured: CapturedDocument, places: slice, positions: Positions, ids: TeacherIds
) -> Iterator[tuple[str, Difference]]:
    said = {
        "teacher_nll": as_half(positions.teacher_nll_N),
        "entropy": as_half(positions.entropy_N),
        "word_start_logmass": -as_half(-positions.word_start_logmass_N),
    }
    for name, now in said.items():
        yield name, _largest(getattr(captured, name)[places], now)
    if captured.tail_logmass.size:
        k = int(captured.n_targets[0])
        top = keep_top(positions, k, ids)
        now_Nk = positions.with_one_end(ids).gather(1, _ids_Nk(captured, places, top))
        stored_Nk = captured.topk_logprob.reshape(-1, k)[places]
        logprobs_Nk = as_logs(now_Nk - positions.log_sum_N[:, None])
        yield "topk_logprob", _largest(stored_Nk.flatten(), logprobs_Nk.flatten())
        yield "tail_logmass", _largest(captured.tail_logmass[places], as_logs(top.tail_logmass_N))
        # Sorted: what is kept in the place of a likelier id shows, and a tie does not.
        likeliest_Nk = np.sort(as_logs(top.logprobs_Nk), axis=1)
        kept_Nk = np.sort(logprobs_Nk, axis=1)
        yield "log probability of the likeliest", _largest(kept_Nk.ravel(), likeliest_Nk.ravel())


def _ids_Nk(captured: CapturedDocument, places: slice, top: TopK) -> torch.Tensor:
    ids_Nk = captured.target_ids.reshape(-1, top.ids_Nk.shape[1])[places].astype(np.int64)
    return torch.from_numpy(ids_Nk).to(top.ids_Nk.device)


def _largest(stored: NDArray[np.float16], now: NDArray[np.float16]) -> Difference:
    before, after = stored.astype(np.float64), now.astype(np.float64)
    with np.errstate(invalid="ignore"):  # both may be -inf
        nats = np.where(before == after, 0.0, np.abs(before - after))
    allowed = _ABSOLUTE_NATS + _RELATIVE * np.where(np.isfinite(after), np.abs(after), 0.0)
    place = int(np.argmax(np.nan_to_num(nats / allowed, nan=np.inf)))
    return Difference(float(np.nan_to_num(nats[place], nan=np.inf)), float(allowed[place]))
