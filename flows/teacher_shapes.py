"""Whether a teacher's weights are those that its config asks for, before any is read or made."""

import math
from pathlib import Path

from distill.safe_files import TensorFacts, tensor_facts


def check_shapes(folder: Path) -> None:
    """Pass if the weights' headers can fill the model of config.json; ValueError names the first
    tensor of another shape, or how many numbers are missing.

    Tensors that are stored under other names than the model's are counted, not compared: some
    families are renamed or put together while they are loaded. A quantized one, whose numbers are
    packed, is not counted.
    """
    import torch
    from transformers import AutoConfig, AutoModelForCausalLM

    found: dict[str, TensorFacts] = {}
    for file in sorted(folder.glob("*.safetensors")):
        found |= tensor_facts(file, "its weights")
    config = AutoConfig.from_pretrained(folder, trust_remote_code=False)
    num_layers = getattr(config.get_text_config(), "num_hidden_layers", 0)
    if num_layers > len(found):
        raise ValueError(f"{num_layers} layers asked for by config.json, {len(found)} tensors")
    with torch.device("meta"):
        model = AutoModelForCausalLM.from_config(config, trust_remote_code=False)
    asked = {name: tuple(parameter.shape) for name, parameter in model.named_parameters()}
    if hasattr(config, "quantization_config"):
        return
    for name, shape in asked.items():
        if name in found and found[name].shape != shape:
            raise ValueError(
                f"{name} of shape {list(found[name].shape)}, where config.json asks for "
                f"{list(shape)}"
            )
    num_asked = sum(map(math.prod, asked.values()))
    num_found = sum(math.prod(facts.shape) for facts in found.values())
    if num_asked > num_found:
        raise ValueError(f"{num_found:,} numbers, where config.json asks for {num_asked:,}")
