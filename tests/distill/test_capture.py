"""What capture stores is what the teacher says, whatever the batches are."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
import torch
from numpy.typing import NDArray
from transformers import AutoModelForCausalLM, AutoTokenizer, Llama4TextConfig, PreTrainedModel

from distill.capture import capture_documents
from distill.capture_config import CaptureConfig
from distill.draws import draw_counts, draw_uniforms
from distill.errors import DistillError
from distill.positions import CaptureRequest, TeacherIds
from distill.targets import CapturedDocument, from_table
from tests.scaled_teacher import make_scaled_teacher
from tests.tiny_teacher import VOCAB_SIZE, make_stories
from warehouse.schemas import TARGETS

CONFIG = CaptureConfig(num_draws=50, seed=3, batch_size=4)


@pytest.fixture(scope="module")
def requests_(tiny_teacher_folder: Path) -> list[CaptureRequest]:
    tokenizer = AutoTokenizer.from_pretrained(tiny_teacher_folder)
    prompt = tokenizer("Write a story.").input_ids
    texts = make_stories(9, 77)
    return [
        CaptureRequest(
            doc_id=f"doc {i}",
            story_id=f"story {i}",
            context_ids=prompt if i % 2 else [0],
            text_ids=tokenizer(text, add_special_tokens=False).input_ids,
        )
        for i, text in enumerate(texts)
    ]


def capture(
    model: PreTrainedModel,
    requests: Sequence[CaptureRequest],
    ids: TeacherIds,
    config: CaptureConfig = CONFIG,
) -> pa.Table:
    return capture_documents(model, requests, config, ids, run_id="run", teacher_digest="teacher")


def dense_logprobs(model: PreTrainedModel, request: CaptureRequest) -> NDArray[np.float64]:
    """float64[T, V] by the model's own forward, one document, no cache."""
    row = torch.tensor([[*request.context_ids, *request.text_ids]])
    with torch.no_grad():
        logits = model(input_ids=row, use_cache=False).logits[0, len(request.context_ids) - 1 :]
    logprobs: NDArray[np.float64] = logits.double().log_softmax(dim=-1).numpy()
    return logprobs


def read(table: pa.Table) -> list[CapturedDocument]:
    return from_table(table, num_draws=CONFIG.num_draws, vocab_size=VOCAB_SIZE)


def test_rows_have_the_schema_and_the_requests_order_does_not_matter(
    tiny_teacher: PreTrainedModel, tiny_ids: TeacherIds, requests_: list[CaptureRequest]
) -> None:
    table = capture(tiny_teacher, requests_, tiny_ids)
    assert table.schema.equals(TARGETS.schema)
    assert table.column("doc_id").to_pylist() == sorted(r.doc_id for r in requests_)
    assert table.equals(capture(tiny_teacher, requests_[::-1], tiny_ids))


@pytest.mark.parametrize("batch_size", [1, 3, 9])
def test_the_same_bytes_whatever_the_batch_size_in_float64(
    batch_size: int,
    tiny_teacher: PreTrainedModel,
    tiny_ids: TeacherIds,
    requests_: list[CaptureRequest],
) -> None:
    config = CONFIG.model_copy(update={"batch_size": batch_size})
    expected = capture(tiny_teacher, requests_, tiny_ids)
    assert expected.equals(capture(tiny_teacher, requests_, tiny_ids, config))


def test_a_float32_teacher_repeats_bit_by_bit_and_another_seed_draws_others(
    tiny_teacher: PreTrainedModel, tiny_ids: TeacherIds, requests_: list[CaptureRequest]
) -> None:
    model = type(tiny_teacher)(tiny_teacher.config)
    model.load_state_dict(tiny_teacher.state_dict())
    model = model.float().eval()
    first = capture(model, requests_, tiny_ids)
    assert first.equals(capture(model, requests_, tiny_ids))
    other = capture(model, requests_, tiny_ids, CONFIG.model_copy(update={"seed": 4}))
    assert first.column("entropy").equals(other.column("entropy"))
    assert not first.column("target_ids").equals(other.column("target_ids"))


def test_numbers_equal_the_dense_reference_under_each_documents_context(
    tiny_teacher: PreTrainedModel, tiny_ids: TeacherIds, requests_: list[CaptureRequest]
) -> None:
    for request, found in zip(
        requests_, read(capture(tiny_teacher, requests_, tiny_ids)), strict=True
    ):
        logprobs = dense_logprobs(tiny_teacher, request)
        probs = np.exp(logprobs)
        labels = [*request.text_ids, 1]
        assert found.story_id == request.story_id
        assert found.num_context_tokens == len(request.context_ids)
        assert found.input_ids.tolist() == labels
        nll = -logprobs[np.arange(len(labels)), labels]
        word_start = np.log(probs @ tiny_ids.word_start_mask)
        for ours, reference in [
            (found.teacher_nll, nll),
            (found.entropy, -(probs * logprobs).sum(axis=1)),
            (found.word_start_logmass, word_start),
        ]:
            np.testing.assert_allclose(ours.astype(np.float64), reference, rtol=1e-3, atol=1e-6)
        uniforms = draw_uniforms(CONFIG.seed, request.doc_id, len(labels), CONFIG.num_draws)
        draws = draw_counts(torch.from_numpy(probs), uniforms)
        assert np.array_equal(found.target_ids, draws.ids)
        assert np.array_equal(found.target_counts, draws.counts)


def test_the_end_is_one_event_of_all_end_ids(
    tiny_teacher: PreTrainedModel, tiny_ids: TeacherIds, requests_: list[CaptureRequest]
) -> None:
    full_stop = requests_[0].text_ids[-1]
    both = replace(tiny_ids, end_ids=(1, full_stop))
    found = read(capture(tiny_teacher, requests_[:1], both))[0]
    logprobs = dense_logprobs(tiny_teacher, requests_[0])
    together = -np.logaddexp(logprobs[:, 1], logprobs[:, full_stop])
    np.testing.assert_allclose(found.teacher_nll[-1], together[-1], rtol=1e-3, atol=1e-6)
    assert found.input_ids[-1] == 1


def test_rows_of_the_head_beyond_the_tokenizer_have_no_probability(
    tiny_teacher: PreTrainedModel, tiny_ids: TeacherIds
) -> None:
    request = CaptureRequest("doc", "story", [0], list(range(60, 90)))
    true_size = 280
    short = replace(tiny_ids, word_start_mask=tiny_ids.word_start_mask[:true_size])
    found = from_table(capture(tiny_teacher, [request], short), num_draws=50, vocab_size=true_size)
    logprobs = dense_logprobs(tiny_teacher, request)[:, :true_size]
    logprobs -= np.logaddexp.reduce(logprobs, axis=1, keepdims=True)
    labels = [*request.text_ids, 1]
    nll = -logprobs[np.arange(len(labels)), labels]
    np.testing.assert_allclose(found[0].teacher_nll.astype(np.float64), nll, rtol=1e-3)


def test_draws_follow_the_teacher_over_many_seeds(
    tiny_teacher: PreTrainedModel, tiny_ids: TeacherIds, requests_: list[CaptureRequest]
) -> None:
    request = replace(requests_[0], text_ids=requests_[0].text_ids[:3])
    probs = np.exp(dense_logprobs(tiny_teacher, request))
    counts = np.zeros_like(probs)
    for seed in range(100):
        config = CONFIG.model_copy(update={"seed": seed})
        found = read(capture(tiny_teacher, [request], tiny_ids, config))[0]
        rows = np.repeat(np.arange(4), found.n_targets)
        np.add.at(counts, (rows, found.target_ids), found.target_counts)
    num_draws = 100 * CONFIG.num_draws
    assert (counts.sum(axis=1) == num_draws).all()
    spread = np.sqrt(probs * (1 - probs) / num_draws) + 1 / num_draws
    assert (np.abs(counts / num_draws - probs) < 5 * spread).all()


def test_no_requests_give_no_rows(tiny_teacher: PreTrainedModel, tiny_ids: TeacherIds) -> None:
    assert capture(tiny_teacher, [], tiny_ids).num_rows == 0


def test_requests_that_cannot_be_are_refused_by_their_document(
    tiny_teacher: PreTrainedModel, tiny_ids: TeacherIds
) -> None:
    good = CaptureRequest("doc", "story", [0], [60, 61])
    for requests, message in [
        ([replace(good, context_ids=[])], "doc: found an empty context"),
        ([good, good], "doc: found it twice"),
        ([replace(good, text_ids=[VOCAB_SIZE])], "doc: found ids 0 to 512 of 512"),
        ([replace(good, text_ids=[60] * 512)], "doc: found 513 tokens for a context of 512"),
    ]:
        with pytest.raises(DistillError, match=message):
            capture(tiny_teacher, requests, tiny_ids)


def test_a_teacher_that_changes_its_logits_in_another_way_is_refused(tiny_ids: TeacherIds) -> None:
    model = make_scaled_teacher(VOCAB_SIZE)
    with pytest.raises(DistillError, match="HyperCLOVAXForCausalLM, which changes them in another"):
        capture(model, [CaptureRequest("doc", "story", [0], [60])], tiny_ids)


def test_a_teacher_whose_decoder_is_the_whole_model_is_refused(tiny_ids: TeacherIds) -> None:
    config = Llama4TextConfig(
        vocab_size=VOCAB_SIZE,
        hidden_size=16,
        intermediate_size=16,
        intermediate_size_mlp=16,
        num_hidden_layers=1,
        num_attention_heads=2,
        num_key_value_heads=2,
        head_dim=8,
        num_local_experts=2,
    )
    model = AutoModelForCausalLM.from_config(config).eval()
    with pytest.raises(DistillError, match="found Llama4ForCausalLM, which"):
        capture(model, [CaptureRequest("doc", "story", [0], [60])], tiny_ids)


def test_a_teacher_that_says_nan_is_refused(
    tiny_teacher: PreTrainedModel, tiny_ids: TeacherIds
) -> None:
    model = type(tiny_teacher)(tiny_teacher.config)
    model.load_state_dict(tiny_teacher.state_dict())
    with torch.no_grad():
        model.get_output_embeddings().weight[5] = torch.nan
    with pytest.raises(DistillError, match="found NaN"):
        capture(model.eval(), [CaptureRequest("doc", "story", [0], [60])], tiny_ids)
