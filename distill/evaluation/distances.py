"""How far a student's law of the next symbol is from its teacher's, from the full logits of both.

Legend: N positions, T ids of the teacher, S ids of the student, E events that both know.

An event is an id of the student; all ids that end a story for the teacher are one event on both
sides. With p the teacher's law over its own events, q the student's over E, kept = sum_E p and
p' = p / kept (a trimmed student is not blamed for ids that it cannot say, so the Kullback-Leibler
divergences hold it against the teacher conditioned on its ids, and `kept_mass` says how much of the
teacher that is):

    forward_kl  sum_E p' ln(p' / q)   nats: what the student misses of the teacher
    reverse_kl  sum_E q ln(q / p')    nats: what the student says beside it
    accepted    sum_E min(p, q)       1 less the total variation of p and q: the probability that
                                      speculative sampling keeps the student's draft (Leviathan et
                                      al. 2023, arXiv 2211.17192, corollary 3.6). It is against the
                                      whole teacher, who corrects a draft, so at most kept
    entropy     -sum_T p ln p         nats: how open the teacher finds the place

Logits are float32 and everything after them float64. Rows of a head beyond the tokenizer count as
ids of the teacher, as they do in bits per byte. The teacher's law, the largest thing here, is made
once for all students: CHUNK_BYTES of it at a time.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from distill.errors import DistillError
from distill.evaluation.agreement import TeacherMap
from distill.evaluation.intervals import FloatArray
from distill.evaluation.reliability import Reliability, reliability

CHUNK_BYTES = 64 << 20
BAND_EDGES = (0.5, 1.5, 2.5)
"""Nats of the teacher's entropy that part the bands: as open as 1.6, 4.5 and 12 equally likely ways
on. Of the symbols of real children's stories they hold 37, 25, 24 and 15 % for a teacher of 260,000
parameters that knows no other text, and 10, 27, 27 and 36 % for SmolLM2 135M under a prompt: every
band a tenth or more. Other edges are other distances: raise flows.distances.DISTANCE_VERSION.
"""

NUM_BANDS = len(BAND_EDGES) + 1


@dataclass(frozen=True, slots=True, eq=False)
class SharedEvents:
    """The events of one student: int64[E] ids in its own numbers and in the teacher's, and what
    ends a story on each side, the id that stands for the event first.
    """

    student_ids: npt.NDArray[np.int64]
    teacher_ids: npt.NDArray[np.int64]
    student_end_ids: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class TeacherLaw:
    """float64[N, T] log probabilities with all end ids as the first of them (the others' columns
    hold nothing), and float64[N] nats of entropy.
    """

    logprob_NT: Tensor
    entropy_N: Tensor


@dataclass(frozen=True, slots=True)
class PositionDistances:
    """float64[N] of each figure, and of the student alone: how likely it finds its likeliest event
    and whether that came.
    """

    forward_kl: FloatArray
    reverse_kl: FloatArray
    accepted: FloatArray
    kept_mass: FloatArray
    entropy: FloatArray
    confidence: FloatArray
    is_right: npt.NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class BandDistance:
    """Sums over the positions of one document where the teacher's entropy lies in one band."""

    num_positions: int
    forward_kl: float
    reverse_kl: float
    accepted: float
    kept_mass: float
    reliability: Reliability


@dataclass(frozen=True, slots=True)
class DocumentDistance:
    """One document by band, lowest entropy first; no position in any band: the two read it in other
    pieces, or it is too long for one of them.
    """

    doc_id: str
    bands: tuple[BandDistance, ...]

    @property
    def num_positions(self) -> int:
        """Positions that were compared, the end symbol's included."""
        return sum(band.num_positions for band in self.bands)


def band_bounds() -> list[tuple[float, float | None]]:
    """Least entropy of each band, and where the next one begins; None: nowhere."""
    return list(zip((0.0, *BAND_EDGES), (*BAND_EDGES, None), strict=True))


def shared_events(space: TeacherMap, teacher_end_ids: Sequence[int]) -> SharedEvents:
    """The events of a token space whose teacher ends a story with any of these ids.

    A student's id of a symbol that ends a story for the teacher (its start symbol, where the
    teacher uses one for both) is a part of the end event. DistillError if two ids of the student
    are one id of the teacher.
    """
    ends_too = np.flatnonzero(np.isin(space.to_teacher, list(teacher_end_ids))).tolist()
    student_end_ids = tuple(dict.fromkeys([space.end_id, *ends_too]))
    teacher_ids = space.to_teacher.astype(np.int64)
    teacher_ids[space.end_id] = teacher_end_ids[0]
    student_ids = np.setdiff1d(np.arange(len(teacher_ids)), student_end_ids[1:])
    teacher_ids = teacher_ids[student_ids]
    if len(np.unique(teacher_ids)) != len(teacher_ids):
        raise DistillError(
            "expected a token space with an id of the teacher's for each of its own, found one "
            "that stands for two; train the student again"
        )
    return SharedEvents(student_ids, teacher_ids, student_end_ids)


def teacher_law(logits_NT: Tensor, end_ids: Sequence[int]) -> TeacherLaw:
    """The teacher's law at N positions."""
    logprob_NT = _logprob(logits_NT, end_ids)
    probability_NT = logprob_NT.exp()
    logprob_NT[:, list(end_ids[1:])] = 0.0  # their probability is 0, and 0 ln 0 counts as 0
    return TeacherLaw(logprob_NT, -(probability_NT * logprob_NT).sum(dim=1))


def position_distances(
    teacher: TeacherLaw, student_logits_NS: Tensor, labels_N: Tensor, events: SharedEvents
) -> PositionDistances:
    """The student against the teacher at N positions; labels are the student's ids of what came.

    DistillError for logits that are not finite.
    """
    device = student_logits_NS.device
    student_ids_E = torch.from_numpy(events.student_ids).to(device)
    teacher_ids_E = torch.from_numpy(events.teacher_ids).to(device)
    log_q_NE = _logprob(student_logits_NS, events.student_end_ids)[:, student_ids_E]
    log_p_NE = teacher.logprob_NT[:, teacher_ids_E]
    q_NE, p_NE = log_q_NE.exp(), log_p_NE.exp()
    log_kept_N = log_p_NE.logsumexp(dim=1)
    gap_NE = log_p_NE - log_kept_N[:, None] - log_q_NE
    top_logprob_N, place_N = log_q_NE.max(dim=1)
    kept_N = log_kept_N.exp()
    found = {
        "forward_kl": ((p_NE * gap_NE).sum(dim=1) / kept_N).clamp(min=0.0),
        "reverse_kl": (-(q_NE * gap_NE).sum(dim=1)).clamp(min=0.0),
        "accepted": torch.minimum(p_NE, q_NE).sum(dim=1).clamp(max=1.0),
        "kept_mass": kept_N.clamp(max=1.0),
        "entropy": teacher.entropy_N.clamp(min=0.0),
        "confidence": top_logprob_N.clamp(max=0.0).exp(),
    }
    arrays = {name: values_N.cpu().numpy() for name, values_N in found.items()}
    if not all(np.isfinite(values).all() for values in arrays.values()):
        raise DistillError(
            "expected finite logits of teacher and student, found others: check their weights"
        )
    return PositionDistances(**arrays, is_right=(student_ids_E[place_N] == labels_N).cpu().numpy())


def document_distance(doc_id: str, pieces: Sequence[PositionDistances]) -> DocumentDistance:
    """A document's sums by band, from its positions in their order; none for no pieces."""
    entropy = _joined(pieces, "entropy")
    place = np.searchsorted(BAND_EDGES, entropy, side="right")
    return DocumentDistance(
        doc_id, tuple(_band(pieces, place == band) for band in range(NUM_BANDS))
    )


def _band(pieces: Sequence[PositionDistances], is_in: npt.NDArray[np.bool_]) -> BandDistance:
    names = ("forward_kl", "reverse_kl", "accepted", "kept_mass")
    is_right = _joined(pieces, "is_right").astype(np.bool_)
    return BandDistance(
        num_positions=int(is_in.sum()),
        **{name: float(_joined(pieces, name)[is_in].sum()) for name in names},
        reliability=reliability(_joined(pieces, "confidence")[is_in], is_right[is_in]),
    )


def _joined(pieces: Sequence[PositionDistances], name: str) -> FloatArray:
    return np.concatenate([np.zeros(0), *(getattr(piece, name) for piece in pieces)])


def _logprob(logits_NV: Tensor, end_ids: Sequence[int]) -> Tensor:
    """float64[N, V] log probabilities: all end ids as the first, the others -inf."""
    z_NV = logits_NV.to(torch.float64, copy=True)
    if len(end_ids) > 1:
        end_N = z_NV[:, list(end_ids)].logsumexp(dim=1)
        z_NV[:, list(end_ids)] = -torch.inf
        z_NV[:, end_ids[0]] = end_N
    return z_NV.sub_(z_NV.logsumexp(dim=1, keepdim=True))
