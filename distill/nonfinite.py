"""Where a loss that is not finite comes from: the first document and target of a step whose loss is
infinite or no number, looked for after the fact, one document at a time.
"""

from collections.abc import Callable, Iterable, Sequence

import torch

from distill.batches import Int64Array
from distill.targets import StudentDocument

_NAMED = 5  # documents of a step that a message names
_MANY = 2**32  # more than a document has targets
NOWHERE = 2**62  # a place after all others


def first_bad_place(
    documents: Sequence[StudentDocument],
    indices: Iterable[int],
    losses: Callable[[StudentDocument], torch.Tensor],
) -> int:
    """The first document, then target, whose loss is not finite, as one number that orders them;
    NOWHERE if there is none. `losses` gives the loss of each of a document's targets.
    """
    for index in sorted(indices):
        bad = (~losses(documents[index]).isfinite()).nonzero().flatten().tolist()
        if bad:
            return index * _MANY + int(bad[0])
    return NOWHERE


def describe_place(
    place: int, documents: Sequence[StudentDocument], step_indices: Int64Array
) -> str:
    """The place in words, or where there is none, the step's documents."""
    if place == NOWHERE:
        names = ", ".join(documents[index].doc_id for index in step_indices[:_NAMED])
        rest = ", ..." if len(step_indices) > _NAMED else ""
        return f"each of its {len(step_indices)} documents ({names}{rest}) has a finite loss"
    index, target = divmod(place, _MANY)
    document = documents[index]
    return (
        f"the first such loss is in document {document.doc_id}, target {target + 1} of "
        f"{len(document.input_ids)}"
    )
