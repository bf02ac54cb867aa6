"""The k likeliest ids of each position with the mass of all others: exact about what it leaves out.

Legend: N positions, V token ids, k kept ids.

The tail's log mass is a logsumexp over the other logits, never 1 - sum, which loses it to rounding
where it is small. All end ids are one event, which stands under the main one: a student has one end
symbol, and its mass must not lie half in the bucket. Log probabilities are stored as float16, whose
error e is at most 2^-11 of a log probability: the law that is read back (exp, put to sum 1 with its
tail) is then off by about E[e^2] / 2 nats of KL, 1e-6 at E[log^2 p] = 10; R = 50 draws are off by
some tenths. float32 would take twice the bytes for nothing that a student can see.
"""

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from distill.errors import DistillError
from distill.positions import Positions, TeacherIds


@dataclass(frozen=True, slots=True, eq=False)
class TopK:
    """int64 ids that ascend at each position, their log probabilities, and the log of the mass on
    all other ids (-inf: there is none); of the positions' dtype.
    """

    ids_Nk: Tensor
    logprobs_Nk: Tensor
    tail_logmass_N: Tensor


def keep_top(positions: Positions, k: int, ids: TeacherIds) -> TopK:
    """The k likeliest events of each position: ids, where the main end id stands for all end ids.

    Raises DistillError if the teacher has fewer events.
    """
    num_events = positions.logits_NV.shape[1] - len(set(ids.end_ids)) + 1
    if k > num_events:
        raise DistillError(
            f"capture.k = {k}: expected at most {num_events}, the ids of the teacher (all that end "
            "a story are one); lower it"
        )
    logits_NV = positions.with_one_end(ids)
    ids_Nk = logits_NV.topk(k, dim=1).indices.sort(dim=1).values
    rest_NV = logits_NV.scatter(1, ids_Nk, -torch.inf)
    log_sum_N1 = positions.log_sum_N[:, None]
    return TopK(
        ids_Nk=ids_Nk,
        logprobs_Nk=logits_NV.gather(1, ids_Nk) - log_sum_N1,
        tail_logmass_N=(rest_NV.logsumexp(dim=1, keepdim=True) - log_sum_N1)[:, 0],
    )


def as_logs(logs: Tensor) -> NDArray[np.float16]:
    """float16 of logs of probabilities, never above 0; -inf below float16's range."""
    with np.errstate(over="ignore"):
        halves: NDArray[np.float16] = logs.clamp(max=0.0).cpu().numpy().astype(np.float16)
    return halves
