"""A student's weights as a digest, so that two trainings can be compared without keeping both; and
whether weights are numbers at all.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np

from warehouse.identity import Json, digest, digest_bytes

if TYPE_CHECKING:
    import torch


def weights_digest(model: torch.nn.Module) -> str:
    """The digest of every parameter's bytes, shape and dtype by name, tied ones once."""
    return tensors_digest({name: tensor.detach() for name, tensor in model.named_parameters()})


def not_finite(model: torch.nn.Module) -> str | None:
    """The name of the first parameter that holds NaN or infinity."""
    for name, tensor in model.named_parameters():
        if tensor.numel() and not all(end.isfinite() for end in tensor.detach().aminmax()):
            return name
    return None


def tensors_digest(tensors: Mapping[str, torch.Tensor]) -> str:
    """The digest of the tensors' bytes, shapes and dtypes by name."""
    facts: dict[str, Json] = {
        name: [str(tensor.dtype), list(tensor.shape), _bytes_digest(tensor)]
        for name, tensor in tensors.items()
    }
    return digest(facts)


def _bytes_digest(tensor: torch.Tensor) -> str:
    array = np.ascontiguousarray(tensor.detach().cpu().numpy())
    return digest_bytes(array.tobytes())
