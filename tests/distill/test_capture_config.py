"""What a recipe can ask of a capture, and what it cannot."""

from typing import Any

import pytest
from pydantic import ValidationError

from distill.capture_config import CaptureConfig

TOP_K = CaptureConfig(mode="top_k", k=12, num_draws=50, seed=3, batch_size=4)


def test_a_recipe_names_k_with_its_mode_and_no_other_law() -> None:
    sampled: dict[str, Any] = {"num_draws": 50, "seed": 3, "batch_size": 4}
    assert CaptureConfig(**sampled).identity() == sampled
    assert CaptureConfig(**sampled, logits_mib=64).identity() == sampled
    assert TOP_K.identity() == {"mode": "top_k", "k": 12, "batch_size": 4}
    refused: list[tuple[dict[str, Any], str]] = [
        ({"mode": "top_k"}, "k is missing: add it"),
        ({"k": 5}, "k = 5: expected none with mode"),
        ({"k": 256, "mode": "top_k"}, "less than or equal to 255"),
        ({"temperature": 0.7}, "temperature = 0.7: targets are the teacher's own law"),
        ({"repetition_penalty": 1.1}, "without mask, truncation or penalty"),
    ]
    for more, message in refused:
        with pytest.raises(ValidationError, match=message):
            CaptureConfig.model_validate({**sampled, **more})
    with pytest.raises(ValueError, match=r"how much of the tail's mass"):
        TOP_K.check_space("trimmed")
    TOP_K.check_space("teacher")
