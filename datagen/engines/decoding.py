"""One batch decoded, as fast as eager torch on a CPU allows.

Three things cost more than the arithmetic in a plain decoding loop, and are not done here: the keys
and values are written into room made once (not concatenated at every step); grouped queries attend
to their shared keys as they lie (not to copies, one for each head); and what all prompts of a batch
begin with is computed once. Rows that have ended leave the batch.

    prompts       [shared ids][padding][own ids]    left padding, so that every row's next token is
    in the last column positions     count real tokens only

Tensors: B rows, T tokens, H heads, K key/value heads, G = H / K, D width of a head.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, cast

import torch
from torch import Tensor
from transformers import AttentionInterface, AttentionMaskInterface, Cache, PreTrainedModel
from transformers.cache_utils import DynamicLayer
from transformers.integrations.sdpa_attention import sdpa_attention_forward
from transformers.masking_utils import sdpa_mask

ATTENTION = "stillhouse_grouped"


def grouped_attention(
    module: torch.nn.Module,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: Tensor | None,
    **options: Any,
) -> tuple[Tensor, None]:
    """softmax(q k^T * scaling + mask) v as sdpa computes it, without copying keys for each query
    head when B rows add one token.

    query (B, H, T, D), key and value (B, K, S, D), mask bool (B, 1, T, S), true where attended;
    returns (B, T, H, D).
    """
    rows, heads, length, width = query.shape
    if length > 1 or attention_mask is None:
        attended, _ = sdpa_attention_forward(module, query, key, value, attention_mask, **options)
        return attended, None
    kv_heads = key.shape[1]
    query_BKGD = query.reshape(rows, kv_heads, heads // kv_heads, width) * options["scaling"]
    scores_BKGS = query_BKGD @ key.transpose(2, 3)
    scores_BKGS = scores_BKGS.masked_fill(~attention_mask, -torch.inf)
    attended_BKGD = torch.softmax(scores_BKGS, dim=-1) @ value
    return attended_BKGD.reshape(rows, 1, heads, width), None


AttentionInterface.register(ATTENTION, grouped_attention)
AttentionMaskInterface.register(ATTENTION, sdpa_mask)


class RoomyLayer(DynamicLayer):
    """Keys and values of one layer, in room for `capacity` tokens that is taken once."""

    def __init__(self, capacity: int) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self._capacity = capacity
        self._length = 0

    def update(
        self, key_states: Tensor, value_states: Tensor, *_: Any, **__: Any
    ) -> tuple[Tensor, Tensor]:
        """Take the new tokens in; all keys and values (B, K, S, D) so far, as views."""
        rows, heads, added, width = key_states.shape
        if not self.is_initialized:
            room = (rows, heads, self._capacity, width)
            self._keys, self._values = key_states.new_empty(room), value_states.new_empty(room)
            self.dtype, self.device, self.is_initialized = key_states.dtype, key_states.device, True
        end = self._length + added
        self._keys[:, :, self._length : end] = key_states
        self._values[:, :, self._length : end] = value_states
        self._length = end
        return self._show()

    def batch_select_indices(self, indices: Tensor) -> None:
        """Keep the rows named by indices; a row named twice is copied."""
        self._keys, self._values = self._keys[indices], self._values[indices]
        self._show()

    def get_seq_length(self) -> int:
        """Tokens taken in so far."""
        return self._length

    def _show(self) -> tuple[Tensor, Tensor]:
        keys = self._keys[:, :, : self._length]
        values = self._values[:, :, : self._length]
        self.keys, self.values = keys, values
        return keys, values


@dataclass(slots=True)
class Batch:
    """The rows still being written: their cache, what they may attend to, and the position of their
    next token.
    """

    model: PreTrainedModel
    cache: Cache
    mask_BT: Tensor
    next_position_B: Tensor

    def step(self, ids_B: Tensor) -> Tensor:
        """Feed one token per row; float32 logits (B, V) of the next."""
        self.mask_BT = torch.cat([self.mask_BT, self.mask_BT.new_ones(len(ids_B), 1)], dim=1)
        logits_BV = _forward(
            self.model, ids_B[:, None], self.mask_BT, self.next_position_B[:, None], self.cache
        )
        self.next_position_B = self.next_position_B + 1
        return logits_BV

    def keep(self, indices: Tensor) -> None:
        """Drop every row that indices does not name."""
        self.cache.batch_select_indices(indices)
        self.mask_BT = self.mask_BT[indices]
        self.next_position_B = self.next_position_B[indices]


def prefill(
    model: PreTrainedModel, contexts: Sequence[Sequence[int]], max_new_tokens: int
) -> tuple[Batch, Tensor]:
    """The batch after its contexts (token ids, none empty), and float32 logits (B, V) of each row's
    first new token.
    """
    shared = _num_shared(contexts)
    longest = max(map(len, contexts))
    capacity = longest + max_new_tokens
    cache = Cache(layers=[RoomyLayer(capacity) for _ in range(model.config.num_hidden_layers)])
    device = model.device
    if shared:
        ids_1T = torch.tensor([contexts[0][:shared]], device=device)
        _forward(
            model, ids_1T, torch.ones_like(ids_1T), torch.arange(shared, device=device)[None], cache
        )
        cache.batch_select_indices(torch.zeros(len(contexts), dtype=torch.long, device=device))
    ids_BT = torch.zeros(len(contexts), longest - shared, dtype=torch.long)
    own_BT = torch.zeros_like(ids_BT)
    for row, context in enumerate(contexts):
        own = context[shared:]
        ids_BT[row, -len(own) :] = torch.tensor(own)
        own_BT[row, -len(own) :] = 1
    ids_BT, own_BT = ids_BT.to(device), own_BT.to(device)
    mask_BT = torch.cat([own_BT.new_ones(len(contexts), shared), own_BT], dim=1)
    positions_BT = shared + (own_BT.cumsum(dim=1) - 1).clamp(min=0)
    logits_BV = _forward(model, ids_BT, mask_BT, positions_BT, cache)
    return Batch(model, cache, mask_BT, positions_BT[:, -1] + 1), logits_BV


def _num_shared(contexts: Sequence[Sequence[int]]) -> int:
    """Ids that all contexts begin with, leaving each at least one of its own."""
    limit = min(map(len, contexts)) - 1
    first = contexts[0]
    for place in range(limit):
        if any(context[place] != first[place] for context in contexts):
            return place
    return limit


def _forward(
    model: PreTrainedModel, ids_BT: Tensor, mask_BT: Tensor, positions_BT: Tensor, cache: Cache
) -> Tensor:
    outputs = model(
        input_ids=ids_BT,
        attention_mask=mask_BT,
        position_ids=positions_BT,
        past_key_values=cache,
        logits_to_keep=1,
    )
    return cast(Tensor, outputs.logits[:, -1].float())
