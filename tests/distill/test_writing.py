"""What a student writes in batches against plain draws of one text, without a cache, in float64."""

from collections.abc import Sequence

import numpy as np
import pytest
import torch
from transformers import LlamaForCausalLM

from distill.errors import DistillError
from distill.writing import WritingRequest, _batches, write_texts
from tests.student_documents import END, START, VOCAB_SIZE, tiny_student


def student() -> LlamaForCausalLM:
    """Its first weights said the same everywhere."""
    model = tiny_student()
    for parameter in model.parameters():
        parameter.data *= 4 if parameter.ndim >= 2 else 1
    model.eval()
    return model


def some_requests(num_requests: int) -> list[WritingRequest]:
    rng = np.random.default_rng(7)
    return [
        WritingRequest(
            np.array([START, *rng.integers(2, VOCAB_SIZE, size=index % 5)], np.int32),
            rng.random(1 + 7 * index % 29),
        )
        for index in range(num_requests)
    ]


def write(
    model: LlamaForCausalLM,
    requests: Sequence[WritingRequest],
    *,
    start_id: int = START,
    end_ids: Sequence[int] = (END,),
    temperature: float = 1.0,
    max_positions: int = 256,
) -> list[list[int]]:
    texts = write_texts(
        model,
        requests,
        start_id=start_id,
        end_ids=end_ids,
        temperature=temperature,
        max_positions=max_positions,
    )
    return [text.tolist() for text in texts]


def plainly(
    model: LlamaForCausalLM,
    request: WritingRequest,
    temperature: float,
    end_ids: Sequence[int] = (END,),
) -> list[int]:
    ids = request.prefix_ids.tolist()
    written: list[int] = []
    for uniform in request.uniforms.tolist():
        with torch.no_grad():
            logits = model(input_ids=torch.tensor([ids]), use_cache=False).logits[0, -1].tolist()
        weights = [np.exp(logit / temperature) for logit in logits]
        if START not in end_ids:
            weights[START] = 0.0
        wanted, passed, found = uniform * sum(weights), 0.0, -1
        while passed <= wanted:
            found += 1
            passed += weights[found]
        if found in end_ids:
            return [*written, end_ids[0]]
        ids.append(found)
        written.append(found)
    return written


@pytest.mark.parametrize("temperature", [0.5, 1.0, 2.0])
def test_texts_of_a_batch_are_those_of_plain_draws_one_by_one(temperature: float) -> None:
    requests = some_requests(40)
    expected = [plainly(student().double(), r, temperature) for r in requests]
    for max_positions in (1, 100, 10_000):
        found = write(student(), requests, temperature=temperature, max_positions=max_positions)
        assert found == expected
    finished = [text for text in expected if text[-1] == END]
    assert 0 < len(finished) < len(expected)
    assert any(len(text) == len(r.uniforms) for text, r in zip(expected, requests, strict=True))
    assert any(len(text) < len(r.uniforms) for text, r in zip(expected, requests, strict=True))


@pytest.mark.parametrize("end_ids", [(START,), (END, START), (START, END, 7)])
def test_all_that_ends_a_story_is_one_end_a_start_symbol_too(end_ids: Sequence[int]) -> None:
    requests = some_requests(20)
    expected = [plainly(student().double(), r, 2.0, end_ids) for r in requests]
    assert write(student(), requests, end_ids=end_ids, temperature=2.0) == expected
    assert any(text[-1] == end_ids[0] for text in expected)
    assert not any(id_ in end_ids[1:] for text in expected for id_ in text)


def test_texts_are_written_again_to_the_bit_whatever_torch_draws() -> None:
    first = write(student(), some_requests(12))
    torch.manual_seed(99)
    before = torch.get_rng_state()
    assert write(student(), some_requests(12)) == first
    assert torch.equal(torch.get_rng_state(), before)


def test_batches_hold_every_text_once_and_as_many_places_as_they_may() -> None:
    requests = some_requests(40)
    for most in (1, 60, 200, 10_000):
        batches = list(_batches(requests, most))
        assert sorted(place for batch in batches for place in batch) == list(range(40))
        for batch in batches:
            places = max(len(requests[i].prefix_ids) for i in batch) + max(
                len(requests[i].uniforms) for i in batch
            )
            assert len(batch) == 1 or len(batch) * places <= most
    assert len(list(_batches(requests, 10_000))) == 1
    assert write(student(), []) == []


def test_a_student_whose_weights_are_no_numbers_is_stopped() -> None:
    model = student()
    with torch.no_grad():
        model.get_parameter("model.norm.weight").fill_(float("nan"))
    with pytest.raises(DistillError, match="finite logits of the student as it writes"):
        write(model, some_requests(3))
