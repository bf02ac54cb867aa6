"""The token automaton as tensors: what each row of a batch may write next, without a loop over ids.

A model that writes under it needs logits of the allowed ids alone (SmolLM2 and 1,800 forms: 7,000
of 49,000), so its last layer is cut to those rows: constrained writing is not slower than free
writing. Everything below is in columns, places among the allowed ids.

Tensors: B rows, U columns, S states, C classes, N entries of the states' own lists.
"""

import copy
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from transformers import PreTrainedModel

from datagen.constrain import TokenAutomaton
from datagen.errors import EngineError


@dataclass(frozen=True, slots=True)
class TokenMask:
    """An automaton's arrays on a device. own_keys: state * U + column of each entry, sorted."""

    class_S: Tensor
    common_next_CU: Tensor
    is_common_CU: Tensor
    own_start: Tensor
    own_columns: Tensor
    own_keys: Tensor
    own_next: Tensor

    @classmethod
    def of(cls, automaton: TokenAutomaton, device: torch.device) -> "TokenMask":
        """The automaton's tensors."""
        own_start = torch.from_numpy(automaton.own_start)
        own_columns = torch.from_numpy(automaton.own_columns).long()
        states = torch.repeat_interleave(torch.arange(automaton.num_states), own_start.diff())
        common_next_CU = torch.from_numpy(automaton.common_CU)
        return cls(
            class_S=torch.from_numpy(automaton.class_S).long().to(device),
            common_next_CU=common_next_CU.to(device),
            is_common_CU=(common_next_CU >= 0).to(device),
            own_start=own_start.to(device),
            own_columns=own_columns.to(device),
            own_keys=(states * common_next_CU.shape[1] + own_columns).to(device),
            own_next=torch.from_numpy(automaton.own_next).to(device),
        )

    def shut(self, logits_BU: Tensor, states_B: Tensor) -> None:
        """Make the logits of columns that may not follow -inf, in place. states_B: int64."""
        allowed_BU = self.is_common_CU[self.class_S[states_B]]
        starts_B = self.own_start[states_B]
        counts_B = self.own_start[states_B + 1] - starts_B
        rows = torch.repeat_interleave(counts_B)
        within = torch.arange(len(rows), device=rows.device) - (counts_B.cumsum(0) - counts_B)[rows]
        allowed_BU[rows, self.own_columns[starts_B[rows] + within]] = True
        logits_BU.masked_fill_(~allowed_BU, -torch.inf)

    def advance(self, states_B: Tensor, columns_B: Tensor) -> Tensor:
        """The states that the columns lead to, int64; each must be allowed where it is taken."""
        keys_B = states_B * self.common_next_CU.shape[1] + columns_B
        places_B = torch.searchsorted(self.own_keys, keys_B).clamp(max=len(self.own_keys) - 1)
        common_B = self.common_next_CU[self.class_S[states_B], columns_B]
        is_own_B = self.own_keys[places_B] == keys_B
        return torch.where(is_own_B, self.own_next[places_B], common_B).long()


def narrowed(model: PreTrainedModel, ids_U: Tensor) -> PreTrainedModel:
    """The same model, sharing all weights but the last layer's, whose logits are those of ids_U.

    EngineError if its last layer is not one matrix over the ids.
    """
    head = model.get_output_embeddings()
    name = next((name for name, part in model.named_children() if part is head), None)
    if not isinstance(head, nn.Linear) or name is None:
        raise EngineError(
            f"expected a model whose last layer is a matrix over token ids, found {type(head)}; "
            "set sampling.constrain=false or choose another teacher"
        )
    narrow = nn.Linear(head.in_features, len(ids_U), head.bias is not None, device="meta")
    ids_U = ids_U.to(head.weight.device)
    narrow.weight = nn.Parameter(head.weight[ids_U].detach(), requires_grad=False)
    if head.bias is not None:
        narrow.bias = nn.Parameter(head.bias[ids_U].detach(), requires_grad=False)
    view = copy.copy(model)
    view._modules = {**model._modules, name: narrow}
    return view
