"""Capture at its limits: any R, any family of models, any chunk of logits, killed or not."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor
from transformers import (
    AutoModelForCausalLM,
    CohereConfig,
    Gemma2Config,
    GPT2Config,
    GPT2LMHeadModel,
    GraniteConfig,
    LlamaConfig,
    LlamaForCausalLM,
    MambaConfig,
    PreTrainedConfig,
    PreTrainedModel,
    RecurrentGemmaConfig,
)

from distill.capture import capture_documents
from distill.capture_config import CaptureConfig
from distill.draws import draw_counts, draw_uniforms
from distill.positions import CaptureRequest, TeacherIds
from distill.reading import to_students
from distill.targets import from_table
from distill.trimming import trim_tokenizer
from tests.capture_requests import capture_requests
from tests.tiny_teacher import VOCAB_SIZE

CONFIG = CaptureConfig(num_draws=50, seed=3, batch_size=4)
TRUE_SIZE = 300


@pytest.fixture(scope="module")
def requests_(tiny_teacher_folder: Path) -> list[CaptureRequest]:
    return capture_requests(tiny_teacher_folder, 5, 80)


def capture(
    model: PreTrainedModel,
    requests: list[CaptureRequest],
    ids: TeacherIds,
    config: CaptureConfig = CONFIG,
) -> pa.Table:
    return capture_documents(model, requests, config, ids, run_id="run", teacher_digest="teacher")


def llama(*, is_tied: bool, size: int) -> PreTrainedModel:
    return LlamaForCausalLM(
        LlamaConfig(
            vocab_size=size,
            hidden_size=16,
            intermediate_size=16,
            num_hidden_layers=1,
            num_attention_heads=2,
            tie_word_embeddings=is_tied,
            initializer_range=0.5,
        )
    )


def gpt2(size: int) -> PreTrainedModel:
    config = GPT2Config(
        vocab_size=size, n_embd=16, n_layer=1, n_head=2, n_positions=64, initializer_range=0.5
    )
    return GPT2LMHeadModel(config)


def other(config: PreTrainedConfig) -> PreTrainedModel:
    """Of another family, its weights wide enough for a cap or a scale to matter."""
    model: PreTrainedModel = AutoModelForCausalLM.from_config(config)
    for weights in model.parameters():
        torch.nn.init.normal_(weights, std=0.5)
    return model


_SIZES: dict[str, Any] = {
    "vocab_size": TRUE_SIZE,
    "hidden_size": 16,
    "intermediate_size": 16,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "num_key_value_heads": 1,
    "head_dim": 8,
}


@pytest.mark.parametrize(
    "make",
    [
        lambda: llama(is_tied=True, size=TRUE_SIZE),
        lambda: llama(is_tied=False, size=TRUE_SIZE),
        lambda: llama(is_tied=True, size=TRUE_SIZE + 20),
        lambda: gpt2(TRUE_SIZE + 20),
        lambda: other(Gemma2Config(**_SIZES, final_logit_softcapping=2.0)),
        lambda: other(GraniteConfig(**_SIZES, logits_scaling=3.0)),
        lambda: other(CohereConfig(**_SIZES, logit_scale=0.25)),
        lambda: other(RecurrentGemmaConfig(**_SIZES, lru_width=16, logits_soft_cap=2.0)),
        lambda: other(MambaConfig(vocab_size=TRUE_SIZE, hidden_size=16, num_hidden_layers=2)),
    ],
    ids=[
        "tied",
        "untied",
        "padded",
        "gpt2",
        "capped",
        "divided",
        "multiplied",
        "capped under another name",
        "no attention",
    ],
)
def test_any_causal_model_is_captured_as_its_own_forward_says(
    make: Callable[[], PreTrainedModel],
) -> None:
    torch.manual_seed(2)
    model = make().double().eval()
    ids = TeacherIds((1,), np.arange(TRUE_SIZE) % 3 == 0)
    request = CaptureRequest("doc", "story", [0, 7], list(range(40, 60)))
    [found] = from_table(capture(model, [request], ids), num_draws=50, vocab_size=TRUE_SIZE)
    with torch.no_grad():
        row = torch.tensor([[*request.context_ids, *request.text_ids]])
        logits = model(input_ids=row, use_cache=False).logits[0, 1:, :TRUE_SIZE]
    logprobs = logits.log_softmax(dim=1)
    nll = -logprobs[torch.arange(21), torch.tensor([*request.text_ids, 1])]
    np.testing.assert_allclose(found.teacher_nll, nll.numpy(), rtol=1e-3, atol=1e-6)
    draws = draw_counts(logprobs.exp(), draw_uniforms(3, "doc", 21, 50))
    assert np.array_equal(found.target_ids, draws.ids)
    assert np.array_equal(found.target_counts, draws.counts)


@pytest.mark.parametrize("num_draws", [1, 2, 255])
def test_any_number_of_draws_sums_to_it(
    num_draws: int,
    tiny_teacher: PreTrainedModel,
    tiny_ids: TeacherIds,
    requests_: list[CaptureRequest],
) -> None:
    config = CONFIG.model_copy(update={"num_draws": num_draws})
    rows = capture(tiny_teacher, requests_, tiny_ids, config)
    for document in from_table(rows, num_draws=num_draws, vocab_size=VOCAB_SIZE):
        assert int(document.target_counts.sum()) == num_draws * document.input_ids.size
    if num_draws == 255:
        sure = np.concatenate(
            [d.target_counts for d in from_table(rows, num_draws=255, vocab_size=VOCAB_SIZE)]
        )
        assert sure.max() == 255


@pytest.mark.parametrize("num_draws", [1, 255])
def test_a_sure_teacher_gives_all_draws_to_one_id(num_draws: int) -> None:
    probs = torch.zeros(3, 40, dtype=torch.float64)
    probs[:, 39] = 1.0
    draws = draw_counts(probs, draw_uniforms(1, "doc", 3, num_draws))
    assert draws.ids.tolist() == [39] * 3
    assert draws.counts.tolist() == [num_draws] * 3


def test_a_hundred_thousand_draws_are_unbiased_and_as_varied_as_they_should_be() -> None:
    generator = torch.Generator().manual_seed(5)
    probs = (torch.randn(1, 200, generator=generator, dtype=torch.float64) * 2).softmax(dim=1)
    law = probs[0].numpy()
    num_positions = 2000
    draws = draw_counts(
        probs.float().repeat(num_positions, 1), draw_uniforms(9, "doc", num_positions, 50)
    )
    counts = np.bincount(draws.ids, weights=draws.counts, minlength=200)
    expected = law * 100_000
    is_common = expected >= 5
    observed = np.append(counts[is_common], counts[~is_common].sum())
    wanted = np.append(expected[is_common], expected[~is_common].sum())
    statistic = ((observed - wanted) ** 2 / np.maximum(wanted, 1e-9)).sum()
    freedom = wanted.size - 1
    p_value = torch.special.gammaincc(torch.tensor(freedom / 2.0), torch.tensor(statistic / 2))
    assert 1e-4 < float(p_value) < 1 - 1e-4
    unique = float((1 - (1 - law) ** 50).sum())
    spread = float(draws.n_targets.std()) / np.sqrt(num_positions)
    assert abs(float(draws.n_targets.mean()) - unique) < 4 * spread


@pytest.mark.parametrize("mode", ["sampled", "top_k"])
def test_the_same_bytes_whatever_the_chunk_and_no_more_logits_than_asked_for(
    mode: str,
    tiny_teacher: PreTrainedModel,
    tiny_ids: TeacherIds,
    requests_: list[CaptureRequest],
) -> None:
    config = CaptureConfig.model_validate(
        {**CONFIG.model_dump(), "mode": mode, "k": 9 if mode == "top_k" else None}
    )
    whole = capture(tiny_teacher, requests_, tiny_ids, config)
    sizes: list[int] = []

    def note(_: torch.nn.Module, inputs: tuple[Tensor, ...], logits: Tensor) -> None:
        sizes.append(logits.numel() * 4)

    long = replace(requests_[0], doc_id="long", text_ids=list(requests_[0].text_ids) * 8)
    many = [replace(long, doc_id=f"long {i}", text_ids=long.text_ids[:500]) for i in range(4)]
    hook = tiny_teacher.get_output_embeddings().register_forward_hook(note)
    try:
        small = config.model_copy(update={"logits_mib": 1})
        assert capture(tiny_teacher, requests_, tiny_ids, small).equals(whole)
        rows = capture(tiny_teacher, many, tiny_ids, small)
    finally:
        hook.remove()
    assert len(sizes) > 4
    assert max(sizes) <= 1 << 20
    assert rows.equals(capture(tiny_teacher, many, tiny_ids, config))


def test_conditioning_by_dropped_draws_is_the_exact_conditional_in_expectation(
    tiny_teacher: PreTrainedModel,
    tiny_ids: TeacherIds,
    tiny_tokenizer_json: str,
    requests_: list[CaptureRequest],
) -> None:
    request = replace(requests_[0], text_ids=requests_[0].text_ids[:2])
    space = trim_tokenizer(
        tiny_tokenizer_json,
        vocab_size=400,
        id_counts={i: 1 for i in request.text_ids},
        forms=(),
        start_id=0,
        end_ids=(1,),
    )
    totals = np.zeros((3, space.vocab_size))
    for seed in range(60):
        config = CONFIG.model_copy(update={"seed": seed})
        [document] = from_table(
            capture(tiny_teacher, [request], tiny_ids, config), num_draws=50, vocab_size=VOCAB_SIZE
        )
        (student,) = to_students([document], space, [[space.start_id]])
        assert student is not None
        rows = np.repeat(np.arange(3), np.diff(student.offsets))
        np.add.at(totals, (rows, student.target_ids), student.target_counts)
    law = _law(tiny_teacher, request)
    is_kept = space.from_teacher >= 0
    conditional = np.zeros_like(totals)
    np.add.at(conditional.T, space.from_teacher[is_kept], law[:, is_kept].T)
    conditional /= conditional.sum(axis=1, keepdims=True)
    num_kept = totals.sum(axis=1, keepdims=True)
    spread = np.sqrt(conditional * (1 - conditional) / num_kept) + 1 / num_kept
    assert (np.abs(totals / num_kept - conditional) < 5 * spread).all()
    assert (num_kept < 60 * 50).any()


def _law(model: PreTrainedModel, request: CaptureRequest) -> NDArray[np.float64]:
    with torch.no_grad():
        row = torch.tensor([[*request.context_ids, *request.text_ids]])
        logits = model(input_ids=row, use_cache=False).logits[0]
    law: NDArray[np.float64] = logits.softmax(dim=1).numpy()
    return law
