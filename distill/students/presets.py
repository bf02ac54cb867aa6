"""The students' shapes, and a student's first weights.

A preset fixes everything but the vocabulary: the embedding, tied to the output layer, grows with
the token space, so a preset's name is its parameter count at `reference_vocab_size`. All are plain
LlamaForCausalLM (RoPE, SwiGLU, RMSNorm), so that vLLM, llama.cpp and the Hub load them as they are;
heads are 32 or 64 wide because vLLM's attention needs that. torch and transformers are imported
only when a student is built: recipes name presets, and reading a recipe must be cheap.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING, cast

from distill.errors import DistillError

if TYPE_CHECKING:
    import torch
    from transformers import LlamaConfig, LlamaForCausalLM

INIT_STD = 0.02


@dataclass(frozen=True, slots=True)
class Preset:
    """A student's dimensions; its name tells its parameter count at `reference_vocab_size`."""

    name: str
    hidden_size: int
    num_layers: int
    num_heads: int
    num_kv_heads: int
    intermediate_size: int
    max_position_embeddings: int
    reference_vocab_size: int

    @property
    def head_dim(self) -> int:
        """Width of one attention head."""
        return self.hidden_size // self.num_heads

    def num_parameters(self, vocab_size: int) -> int:
        """Trained parameters of a student with this many ids, the tied embedding counted once."""
        width = self.hidden_size
        attention = 2 * width * width + 2 * width * self.num_kv_heads * self.head_dim
        layer = attention + 3 * width * self.intermediate_size + 2 * width
        return vocab_size * width + self.num_layers * layer + width


PRESETS: Mapping[str, Preset] = MappingProxyType(
    {
        preset.name: preset
        for preset in (
            Preset("stlm-1m", 128, 2, 4, 4, 448, 512, 4_096),
            Preset("stlm-3m", 192, 4, 6, 6, 704, 512, 4_096),
            Preset("stlm-10m", 256, 10, 4, 4, 688, 1_024, 8_192),
            Preset("stlm-50m", 512, 12, 8, 8, 1_568, 1_024, 16_384),
            Preset("stlm-100m", 768, 12, 12, 12, 2_144, 1_024, 16_384),
        )
    }
)


def preset_named(name: str) -> Preset:
    """The preset of that name; DistillError lists the names there are."""
    if name not in PRESETS:
        raise DistillError(f"preset {name!r} does not exist; choose one of {', '.join(PRESETS)}")
    return PRESETS[name]


def build_student(
    preset_name: str, vocab_size: int, start_id: int, end_id: int, seed: int
) -> LlamaForCausalLM:
    """A float32 student whose weights depend on nothing but the arguments.

    Matrices are N(0, 0.02), those that write into the residual stream divided by sqrt(2 * layers)
    (GPT-2's rule); norms are 1. torch's global random state is left as it was.
    """
    import torch
    from transformers import LlamaForCausalLM

    _check_ids(vocab_size, start_id=start_id, end_id=end_id)
    preset = preset_named(preset_name)
    with torch.random.fork_rng(devices=[]):
        model = LlamaForCausalLM(_llama_config(preset, vocab_size, start_id, end_id))
    _fill(model, torch.Generator().manual_seed(seed), preset.num_layers)
    return model


def _check_ids(vocab_size: int, **ids: int) -> None:
    for name, value in ids.items():
        if not 0 <= value < vocab_size:
            raise DistillError(f"{name} must lie in [0, {vocab_size}), found {value}")


def _llama_config(preset: Preset, vocab_size: int, start_id: int, end_id: int) -> LlamaConfig:
    from transformers import LlamaConfig

    # No pad id: an embedding's padding row gets no gradient, and the end symbol needs one.
    return LlamaConfig(
        architectures=["LlamaForCausalLM"],
        vocab_size=vocab_size,
        hidden_size=preset.hidden_size,
        intermediate_size=preset.intermediate_size,
        num_hidden_layers=preset.num_layers,
        num_attention_heads=preset.num_heads,
        num_key_value_heads=preset.num_kv_heads,
        max_position_embeddings=preset.max_position_embeddings,
        bos_token_id=start_id,
        eos_token_id=end_id,
        pad_token_id=None,
        tie_word_embeddings=True,
        dtype="float32",
    )


def dimensions_of(config: LlamaConfig) -> Preset:
    """What the config asks for, as a preset without a name."""
    return Preset(
        "",
        config.hidden_size,
        config.num_hidden_layers,
        config.num_attention_heads,
        cast("int", config.num_key_value_heads),
        config.intermediate_size,
        config.max_position_embeddings,
        0,
    )


def strange_setting(config: LlamaConfig) -> str | None:
    """The first setting that no student has, if there is one: but for their dimensions and ids, and
    what is ours by name, all have the same.
    """
    ends = cast("tuple[int, int]", (config.bos_token_id, config.eos_token_id))
    asked = _llama_config(dimensions_of(config), config.vocab_size, *ends)
    expected, found = asked.to_dict(), config.to_dict()
    for key in sorted({*expected, *found} - {"transformers_version", "_name_or_path"}):
        if found.get(key) != expected.get(key) and not key.startswith("stillhouse_"):
            return f"{key} = {found.get(key)!r}, where students have {expected.get(key)!r}"
    return None


def _fill(model: LlamaForCausalLM, generator: torch.Generator, num_layers: int) -> None:
    import torch

    with torch.no_grad():
        for name, parameter in sorted(model.named_parameters()):
            if parameter.ndim < 2:
                parameter.fill_(1.0)
                continue
            writes_residual = name.endswith(("o_proj.weight", "down_proj.weight"))
            std = INIT_STD / math.sqrt(2 * num_layers) if writes_residual else INIT_STD
            parameter.normal_(0.0, std, generator=generator)
