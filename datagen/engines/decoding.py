"""A batch of rows that come and go, decoded as fast as eager torch on a CPU allows.

Most of the time goes into matrix products, and these cost least per token when many rows share
them: so the batch is kept full. A row that has ended makes room for the next context, and every row
stands at a length of its own. Around the products three things cost more in a plain decoding loop,
and are not done here: keys and values are written into room made once (not concatenated at every
step); grouped queries attend to their shared keys as they lie (not to copies, one for each head);
what all contexts begin with is computed once.

    row    [shared ids][own ids][drawn ids][room]    its next id goes to column lengths[row]

Tensors: B rows, T tokens, H heads, K key/value heads, G = H / K, D width of a head, C columns.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, cast

import torch
from torch import Tensor
from transformers import (
    AttentionInterface,
    AttentionMaskInterface,
    Cache,
    PreTrainedConfig,
    PreTrainedModel,
)
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
    head when B rows add one token; and what sdpa leaves out: scores capped (Gemma 2, `softcap`),
    sinks, one score for each head that no value answers (gpt-oss, `s_aux` (H,)).

    query (B, H, T, D), key (B, K, S, D), value (B, K, S, W), mask bool (B, 1, T, S), true where
    attended, none where all is that stands before; returns (B, T, H, W).
    """
    rows, heads, length, width = query.shape
    softcap, sinks_H = options.get("softcap"), options.get("s_aux")
    if softcap is None and sinks_H is None and (length > 1 or attention_mask is None):
        attended, _ = sdpa_attention_forward(module, query, key, value, attention_mask, **options)
        return attended, None
    kv_heads, num_keys = key.shape[1:3]
    query_BKND = query.reshape(rows, kv_heads, -1, width) * options["scaling"]
    scores_BHTS = (query_BKND @ key.transpose(2, 3)).reshape(rows, heads, length, num_keys)
    if softcap is not None:
        scores_BHTS = torch.tanh(scores_BHTS / softcap) * softcap
    if attention_mask is None:
        ones_TS = torch.ones(length, num_keys, dtype=torch.bool, device=query.device)
        attention_mask = ones_TS.tril(num_keys - length)
    scores_BHTS = scores_BHTS.masked_fill(~attention_mask, -torch.inf)
    if sinks_H is not None:
        sinks_BHT1 = sinks_H.reshape(1, -1, 1, 1).expand(rows, -1, length, 1)
        scores_BHTS = torch.cat([scores_BHTS, sinks_BHT1], dim=-1)
    weights_BHTS = torch.softmax(scores_BHTS, dim=-1)[..., :num_keys]
    attended_BKNW = weights_BHTS.reshape(rows, kv_heads, -1, num_keys) @ value
    return attended_BKNW.reshape(rows, heads, length, -1).transpose(1, 2), None


AttentionInterface.register(ATTENTION, grouped_attention)
AttentionMaskInterface.register(ATTENTION, sdpa_mask)


@dataclass(slots=True)
class _Room:
    """Columns taken for each row, and where the rows stand: row b's next id goes to columns_B[b];
    no row has used more than the first num_used.
    """

    num_columns: int
    columns_B: Tensor
    num_used: int = 0


class RoomyLayer(DynamicLayer):
    """Keys and values of one layer, in room that is taken once for all rows."""

    _keys: Tensor
    _values: Tensor

    def __init__(self, room: _Room) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self._room = room

    def admit(self, rows_R: Tensor, read: DynamicLayer) -> None:
        """Put what was read of new contexts, R rows of keys and values, at the rows' beginning."""
        if read.keys is None or read.values is None:
            return
        self._take_room(read.keys, read.values)
        length = read.keys.shape[2]
        self._keys[rows_R, :, :length] = read.keys
        self._values[rows_R, :, :length] = read.values

    def update(
        self, key_states: Tensor, value_states: Tensor, *_: Any, **__: Any
    ) -> tuple[Tensor, Tensor]:
        """Take one token of each row in; all keys (B, K, S, D), values (B, K, S, W), as views."""
        self._take_room(key_states, value_states)
        rows_B, used = torch.arange(len(key_states), device=self.device), self._room.num_used
        self._keys[rows_B, :, self._room.columns_B] = key_states[:, :, 0]
        self._values[rows_B, :, self._room.columns_B] = value_states[:, :, 0]
        return self._keys[:, :, :used], self._values[:, :, :used]

    def get_seq_length(self) -> int:
        """Columns that any row has used, the step's own left out; some models ask."""
        return max(self._room.num_used - 1, 0)

    def keep(self, rows: Tensor) -> None:
        """Drop every row that rows does not name."""
        if self.is_initialized:
            self._keys, self._values = self._keys[rows], self._values[rows]

    def _take_room(self, keys: Tensor, values: Tensor) -> None:
        if self.is_initialized:
            return
        num_rows, num_columns = len(self._room.columns_B), self._room.num_columns
        # Zeros: a column that a row does not attend to still meets its weight of 0.
        self._keys, self._values = (
            like.new_zeros(num_rows, like.shape[1], num_columns, like.shape[3])
            for like in (keys, values)
        )
        self.dtype, self.device, self.is_initialized = keys.dtype, keys.device, True


class Batch:
    """Rows that are being written; each is fed its context's last id by the step after `admit`."""

    def __init__(
        self,
        model: PreTrainedModel,
        contexts: Sequence[Sequence[int]],
        *,
        num_rows: int,
        max_new_tokens: int,
    ) -> None:
        """num_rows rows, with room for the longest of all contexts (token ids, none empty) that
        will be admitted, and for max_new_tokens, the last of which is not fed.
        """
        num_columns = max(map(len, contexts)) + max_new_tokens - 1
        self._model = model
        self._shared = list(contexts[0][: _num_shared(contexts)])
        self._prefix = self._read([self._shared], [DynamicLayer() for _ in self._depths])
        columns_B = torch.zeros(num_rows, dtype=torch.long, device=model.device)
        self._room = _Room(num_columns, columns_B)
        self._layers = [RoomyLayer(self._room) for _ in self._depths]

    def admit(self, rows: Sequence[int], contexts: Sequence[Sequence[int]]) -> None:
        """Begin a context in each of the rows, in the place of what they held."""
        rows_R = torch.tensor(rows, device=self._model.device)
        own = [list(context[len(self._shared) : -1]) for context in contexts]
        for layer, read in zip(self._layers, self._read(own, self._copies(len(rows))), strict=True):
            layer.admit(rows_R, read)
        self._room.columns_B[rows_R] = torch.tensor(
            [len(context) - 1 for context in contexts], device=rows_R.device
        )

    def step(self, ids_B: Tensor) -> Tensor:
        """Feed one id per row; float32 logits (B, V) of the next. What a row is fed after its
        context and max_new_tokens - 1 ids changes none but itself.
        """
        columns_B = self._room.columns_B
        self._room.num_used = used = int(columns_B.max()) + 1
        masks = _masks(self._model.config, columns_B, used)
        logits_BV = self._logits(ids_B[:, None], columns_B[:, None], self._layers, masks)
        self._room.columns_B = (columns_B + 1).clamp(max=self._room.num_columns - 1)
        return logits_BV

    def keep(self, rows: Tensor) -> None:
        """Drop every row that rows does not name."""
        self._room.columns_B = self._room.columns_B[rows]
        for layer in self._layers:
            layer.keep(rows)

    @property
    def _depths(self) -> range:
        return range(self._model.config.num_hidden_layers)

    def _copies(self, num_rows: int) -> list[DynamicLayer]:
        """What the shared ids left, once for each row."""
        copies = []
        for prefix in self._prefix:
            copy = DynamicLayer()
            if prefix.keys is not None and prefix.values is not None:
                shape = (num_rows, -1, -1, -1)
                copy.update(prefix.keys.expand(shape), prefix.values.expand(shape))
            copies.append(copy)
        return copies

    def _read(
        self, rows: Sequence[Sequence[int]], layers: list[DynamicLayer]
    ) -> list[DynamicLayer]:
        """The layers after the rows' ids, filled up on the right to the longest."""
        longest = max(map(len, rows))
        if longest:
            ids_RT = torch.zeros(len(rows), longest, dtype=torch.long)
            for row, ids in enumerate(rows):
                ids_RT[row, : len(ids)] = torch.tensor(ids)
            ids_RT = ids_RT.to(self._model.device)
            first = layers[0].get_seq_length()
            positions_1T = torch.arange(first, first + longest, device=ids_RT.device)[None]
            self._logits(ids_RT, positions_1T.expand(len(rows), -1), layers, None)
        return layers

    def _logits(
        self,
        ids_BT: Tensor,
        positions_BT: Tensor,
        layers: Sequence[DynamicLayer],
        mask: Tensor | dict[str, Tensor] | None,
    ) -> Tensor:
        outputs = self._model(
            input_ids=ids_BT,
            attention_mask=mask,
            position_ids=positions_BT,
            past_key_values=Cache(layers=list(layers)),
            logits_to_keep=1,
        )
        return cast(Tensor, outputs.logits[:, -1].float())


def _num_shared(contexts: Sequence[Sequence[int]]) -> int:
    """Ids that all contexts begin with, leaving each at least one of its own."""
    limit = min(map(len, contexts)) - 1
    first = contexts[0]
    for place in range(limit):
        if any(context[place] != first[place] for context in contexts):
            return place
    return limit


def _masks(config: PreTrainedConfig, columns_B: Tensor, used: int) -> Tensor | dict[str, Tensor]:
    """Which of the used columns each row attends to, bool (B, 1, 1, used); by kind of layer where
    the model has layers that see all and layers that see a window.
    """
    places = torch.arange(used, device=columns_B.device)
    seen = (places <= columns_B[:, None])[:, None, None]
    window = getattr(config, "sliding_window", None)
    kinds = set(getattr(config, "layer_types", None) or ["sliding_attention"])
    if not window or "sliding_attention" not in kinds:
        return seen
    near = seen & (places > columns_B[:, None] - window)[:, None, None]
    return near if len(kinds) == 1 else {"full_attention": seen, "sliding_attention": near}
