"""A tiny HyperCLOVA X of random weights: it multiplies its logits after the head, by a number under
the name that other families divide by.
"""

import torch
from transformers import HyperCLOVAXConfig, HyperCLOVAXForCausalLM


def make_scaled_teacher(vocab_size: int) -> HyperCLOVAXForCausalLM:
    """The same for the same size, in eval mode."""
    config = HyperCLOVAXConfig(
        vocab_size=vocab_size,
        hidden_size=16,
        intermediate_size=16,
        num_hidden_layers=1,
        num_attention_heads=2,
        num_key_value_heads=2,
        logits_scaling=3.0,
        initializer_range=1.0,
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model = HyperCLOVAXForCausalLM(config)
    model.eval()
    return model
