"""Whether a model is causal: what it says of a place follows from what stands before it alone.

transformers loads an encoder (BERT) under the name of a causal model as well. It reads the symbols
that it is asked for, so its bits per byte would be near 0 and mean nothing.
"""

import torch
from transformers import PreTrainedModel

from distill.errors import DistillError

_NUM_IDS = 16
_TOLERANCE = 1e-3
"""Of the largest logit: rounding moves a float32 logit by some 1e-6 of it, a symbol that is seen by
a good part of it.
"""


def check_causal(model: PreTrainedModel, name: str) -> None:
    """Pass if another last id leaves the logits of every earlier place as they were; else, and if
    the model gives no logits at all, raises DistillError.
    """
    embeddings: torch.nn.Module = model.get_input_embeddings()
    vocab_size = int(next(embeddings.parameters()).shape[0])
    ids_BT = torch.arange(_NUM_IDS).remainder(vocab_size).repeat(2, 1)
    ids_BT[1, -1] = vocab_size - 1
    try:
        with torch.inference_mode():
            logits_BTV = model(input_ids=ids_BT.to(model.device), use_cache=False).logits
    except Exception as exc:  # whatever the code of its family stumbles over
        raise DistillError(
            f"model {name}: expected one that reads ids and gives logits, found "
            f"{type(exc).__name__}: {exc}; name another model"
        ) from exc
    before_BTV = logits_BTV[:, :-1].double()
    moved = (before_BTV[0] - before_BTV[1]).abs().max().item()
    if not moved <= _TOLERANCE * before_BTV.abs().max().item():
        raise DistillError(
            f"model {name}: expected a causal language model, found one whose logits at a place "
            f"follow from later symbols too (moved by {moved:.3g}), so its figures mean nothing; "
            "name another model"
        )
