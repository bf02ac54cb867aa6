"""Whether a model writes what it would write alone: rows that are decoded side by side must have
the logits of each row read by itself, under the attention that its family was published with.

Families differ in what their attention takes besides queries, keys and values, and some leave out
in silence what they do not know. A teacher whose stories were drawn from other logits than its own
would look sound and be none.
"""

import torch
from torch import Tensor
from transformers import PreTrainedModel

from datagen.engines.decoding import ATTENTION, Batch
from datagen.errors import EngineError

_LAYER_KINDS = {"full_attention", "sliding_attention"}
_NUM_SHARED = 3
_LENGTHS = (1, 9, 4, 6)  # of the contexts, behind what they share
_NUM_STEPS = 2
_TOLERANCE = 1e-3
"""Of the largest logit: rounding moves a float32 logit by some 1e-6 of it, a part of the attention
that is left out by more.
"""


def check_family(model: PreTrainedModel) -> None:
    """Give the model, which may be without numbers (on torch's meta device), the attention of our
    decoding; EngineError if its family has one of its own that cannot be exchanged, or layers
    without keys and values that stay as they are.
    """
    kinds = getattr(model.config.get_text_config(), "layer_types", None) or ()
    strange = sorted(set(map(str, kinds)) - _LAYER_KINDS)
    if strange:
        raise _refused(model, f"layers of {', '.join(strange)}")
    if model._is_stateful:
        raise _refused(model, "a state that is carried along")
    model.set_attn_implementation(ATTENTION)  # warns, and leaves such a family as it is
    if model.config._attn_implementation != ATTENTION:
        raise _refused(model, "an attention of its own that cannot be exchanged")


@torch.inference_mode()
def check_decoding(model: PreTrainedModel) -> None:
    """Pass if the model, whose attention is ATTENTION, decodes a small batch as it reads its rows;
    EngineError says by how much it does not, or what its code stumbles over.
    """
    rows = _rows(vocab_size=len(next(model.get_input_embeddings().parameters())))
    try:
        decoded_RSV = _decoded(model, rows)
        model.set_attn_implementation("eager")
        read_RSV = torch.stack([_read(model, row) for row in rows])
    except (MemoryError, OSError, torch.OutOfMemoryError):  # the machine's, not the family's
        raise
    except Exception as exc:  # whatever the code of its family stumbles over
        raise _refused(model, f"{type(exc).__name__}: {exc}".splitlines()[0]) from exc
    finally:
        model.set_attn_implementation(ATTENTION)
    apart = (decoded_RSV - read_RSV).abs().max().item()
    largest = read_RSV.abs().max().item()
    if not apart <= _TOLERANCE * largest:
        raise _refused(model, f"logits {apart:.3g} apart where the largest is {largest:.3g}")


def _rows(vocab_size: int) -> list[list[int]]:
    """Ids of each row: what all contexts begin with, its own, and what it is fed after it."""
    own = [range(9 * row, 9 * row + length + _NUM_STEPS - 1) for row, length in enumerate(_LENGTHS)]
    rows = [[*range(-_NUM_SHARED, 0), *row] for row in own]
    return [[(41 + 7 * place) % vocab_size for place in row] for row in rows]


def _decoded(model: PreTrainedModel, rows: list[list[int]]) -> Tensor:
    """float32 (R, S, V): what is said of the id after each of the S steps."""
    contexts = [row[: len(row) - _NUM_STEPS + 1] for row in rows]
    batch = Batch(model, contexts, num_rows=len(rows), max_new_tokens=_NUM_STEPS)
    batch.admit(range(len(rows)), contexts)
    fed = [[row[step - _NUM_STEPS] for row in rows] for step in range(_NUM_STEPS)]
    return torch.stack([batch.step(torch.tensor(ids, device=model.device)) for ids in fed], dim=1)


def _read(model: PreTrainedModel, row: list[int]) -> Tensor:
    """float32 (S, V) of one row, read at once and alone."""
    ids_1T = torch.tensor([row], device=model.device)
    logits_1TV: Tensor = model(input_ids=ids_1T, use_cache=False).logits
    return logits_1TV[0, -_NUM_STEPS:].float()


def _refused(model: PreTrainedModel, found: str) -> EngineError:
    return EngineError(
        f"the teacher's family ({model.config.model_type}): expected a model that can be decoded "
        f"in rows side by side, found {found}; choose another teacher, or another engine.kind"
    )
