"""Whether a teacher's weights are those that its config asks for: before any is read or made, by
their headers, and their numbers once they are loaded.
"""

import math
import re
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

from distill.safe_files import TensorFacts, tensor_facts, weight_files

if TYPE_CHECKING:
    from transformers import PreTrainedModel

_NUMBERS = ("F", "BF")


_SIZES = (
    "num_hidden_layers",
    "num_attention_heads",
    "hidden_size",
    "vocab_size",
    "max_position_embeddings",
)
_LAYER = re.compile(r"(?<=\.)\d+(?=\.)")


def check_shapes(folder: Path, num_ids: int) -> "PreTrainedModel":
    """The model of config.json, without numbers (on torch's meta device), if the weights' headers
    can fill it and it knows the tokenizer's num_ids; ValueError names the first tensor of another
    shape or kind, a layer too many, or how many numbers are missing.

    Tensors that are stored under other names than the model's are counted, not compared: some
    families are renamed or put together while they are loaded. A quantized one, whose numbers are
    packed, is not counted.
    """
    import torch
    from transformers import AutoConfig, AutoModelForCausalLM

    found: dict[str, TensorFacts] = {}
    for file in weight_files(folder, "its weights"):
        found |= tensor_facts(file, "its weights")
    config = AutoConfig.from_pretrained(folder, trust_remote_code=False)
    sizes = {name: getattr(config.get_text_config(), name, 1) for name in _SIZES}
    for name, size in sizes.items():
        if isinstance(size, int) and size < 1:
            raise ValueError(f"{name} = {size} in config.json, where at least 1 is expected")
    num_layers = sizes["num_hidden_layers"]
    if num_layers > len(found):
        raise ValueError(f"{num_layers} layers asked for by config.json, {len(found)} tensors")
    with torch.device("meta"):
        model: PreTrainedModel = AutoModelForCausalLM.from_config(config, trust_remote_code=False)
    num_known = len(next(model.get_input_embeddings().parameters()))
    if num_ids > num_known:
        raise ValueError(f"a tokenizer of {num_ids:,} ids for a model that knows {num_known:,}")
    asked = {name: tuple(parameter.shape) for name, parameter in model.named_parameters()}
    if hasattr(config, "quantization_config"):
        return model
    for name, shape in asked.items():
        if name in found and found[name].shape != shape:
            raise ValueError(
                f"{name} of shape {list(found[name].shape)}, where config.json asks for "
                f"{list(shape)}"
            )
        if name in found and not found[name].dtype.startswith(_NUMBERS):
            raise ValueError(f"{name} of {found[name].dtype}, where real numbers are expected")
    surplus = _layer_too_many(found, model)
    if surplus is not None:
        raise ValueError(f"{surplus}, a layer more than the {num_layers} of config.json")
    num_asked = sum(map(math.prod, asked.values()))
    num_found = sum(math.prod(facts.shape) for facts in found.values())
    if num_asked > num_found:
        raise ValueError(f"{num_found:,} numbers, where config.json asks for {num_asked:,}")
    return model


def check_numbers(model: "PreTrainedModel", missing: Iterable[str]) -> None:
    """Pass if the loaded model has all its numbers; ValueError names weights that are missing
    (transformers draws them by chance, and warns), or that hold NaN or infinity.
    """
    from distill.students.weights import not_finite

    absent = sorted(missing)
    if absent:
        raise ValueError(f"no weights of {', '.join(absent[:3])}")
    if name := not_finite(model):
        raise ValueError(f"numbers in {name} that are none (NaN or infinite)")


def _layer_too_many(names: Iterable[str], model: "PreTrainedModel") -> str | None:
    """A tensor that is like one of the model's layers, but of none that it has; extra heads that
    its family leaves out by name are no layers.
    """
    known = set(model.state_dict())
    alike = {_LAYER.sub("0", name) for name in known}
    left_out = [re.compile(p) for p in model._keys_to_ignore_on_load_unexpected or ()]
    for name in sorted({*names} - known):
        if _LAYER.sub("0", name) in alike and not any(p.search(name) for p in left_out):
            return name
    return None
