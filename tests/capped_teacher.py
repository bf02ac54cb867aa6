"""A tiny Gemma2 of random weights: it caps its logits after the head."""

import torch
from transformers import Gemma2Config, Gemma2ForCausalLM


def make_capped_teacher(vocab_size: int) -> Gemma2ForCausalLM:
    """The same for the same size, in eval mode."""
    config = Gemma2Config(
        vocab_size=vocab_size,
        hidden_size=16,
        intermediate_size=16,
        num_hidden_layers=1,
        num_attention_heads=2,
        num_key_value_heads=2,
        head_dim=8,
        final_logit_softcapping=1.0,
        initializer_range=1.0,
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model = Gemma2ForCausalLM(config)
    model.eval()
    return model
