"""Our likelihoods beside lm_eval's own, and its tasks asked of a student from local files."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from transformers import AutoModelForCausalLM, PreTrainedModel

from distill.evaluation.intervals import bits_per_byte_point
from distill.evaluation.metrics import Metric
from distill.evaluation.scoring import DocumentScore, ScoreRequest, score_documents
from distill.tokens import TokenSpace, make_space
from tests.tiny_teacher import VOCAB_SIZE, make_stories

# Some of what lm_eval imports warns on its own account.
pytestmark = [pytest.mark.eval, pytest.mark.filterwarnings("default")]

BAR = 1e-4
SHARED = Path(__file__).parents[3] / "shared" / "data"
STORIES = make_stories(20, seed=11)


def harness_of(model: PreTrainedModel, space: TokenSpace) -> Any:
    pytest.importorskip("lm_eval", reason="needs the extra `eval`: make test-eval")
    from distill.evaluation.harness import harness_lm

    return harness_lm(model, space)


def lm_evals_own(folder: Path, **settings: Any) -> Any:
    """Its class for transformers, on the CPU in float32."""
    pytest.importorskip("lm_eval", reason="needs the extra `eval`: make test-eval")
    from lm_eval.models.huggingface import HFLM

    return HFLM(pretrained=str(folder), device="cpu", dtype="float32", batch_size=4, **settings)


def requests(*arguments: tuple[Any, ...]) -> Any:
    """What lm_eval hands its models."""
    from lm_eval.api.instance import Instance

    return [
        Instance(request_type="loglikelihood", doc={}, arguments=args, idx=place)
        for place, args in enumerate(arguments)
    ]


@pytest.fixture(scope="module")
def space(tiny_tokenizer_json: str) -> TokenSpace:
    ids = np.arange(VOCAB_SIZE, dtype=np.int32)
    return make_space(
        tiny_tokenizer_json,
        start_id=0,
        end_id=1,
        to_teacher=ids,
        from_teacher=ids,
        teacher_tokenizer_sha256="0" * 64,
    )


@pytest.fixture(scope="module")
def model(tiny_teacher_folder: Path) -> PreTrainedModel:
    loaded: PreTrainedModel = AutoModelForCausalLM.from_pretrained(
        tiny_teacher_folder, dtype=torch.float32
    )
    loaded.train(False)
    return loaded


def scores_of(
    model: PreTrainedModel, texts: Sequence[str], ids: Sequence[Sequence[int]], start: int, end: int
) -> list[DocumentScore]:
    asked = [
        ScoreRequest(
            str(place),
            np.array([start], np.int32),
            np.array(text_ids, np.int32),
            len(text.encode()),
        )
        for place, (text, text_ids) in enumerate(zip(texts, ids, strict=True))
    ]
    return score_documents(model, asked, end_ids=[end], num_tokens_per_batch=2048)


def assert_equal_figures(scores: Sequence[DocumentScore], theirs: Sequence[float]) -> None:
    """In bits per byte, document by document and together."""
    assert len(scores) == len(theirs) == 20
    nats = [score.nats_without_end for score in scores]
    num_bytes = [score.num_bytes for score in scores]
    for ours, other, size in zip(nats, theirs, num_bytes, strict=True):
        assert (
            abs(bits_per_byte_point([ours], [size]) - bits_per_byte_point([-other], [size])) <= BAR
        )
    together = bits_per_byte_point([-value for value in theirs], num_bytes)
    assert abs(bits_per_byte_point(nats, num_bytes) - together) <= BAR


def test_our_figure_equals_lm_evals_rolling_likelihood(
    model: PreTrainedModel, space: TokenSpace, tiny_teacher_folder: Path
) -> None:
    theirs = lm_evals_own(tiny_teacher_folder, prefix_token_id=0, add_bos_token=False)
    found = theirs.loglikelihood_rolling(requests(*((text,) for text in STORIES)))
    encoded = space.encode_batch(STORIES)
    assert all(len(ids) < 500 for ids in encoded)
    assert_equal_figures(scores_of(model, STORIES, encoded, 0, 1), found)
    bridge = harness_of(model, space).loglikelihood_rolling(
        requests(*((text,) for text in STORIES))
    )
    assert_equal_figures(scores_of(model, STORIES, encoded, 0, 1), bridge)


@pytest.mark.skipif(not SHARED.is_dir(), reason="needs ../shared/data (real stories, a real model)")
def test_our_figure_of_a_real_model_equals_lm_evals() -> None:
    folder = SHARED / "stories260k"
    lines = (SHARED / "tinystories" / "stories.jsonl").read_text().splitlines()
    theirs = lm_evals_own(folder, add_bos_token=False)
    encoded: list[list[int]] = []
    texts: list[str] = []
    for line in lines:
        text = json.loads(line)["text"]
        ids = theirs.tokenizer.encode(text, add_special_tokens=False)
        if len(ids) < 510 and len(texts) < 20:
            texts.append(text)
            encoded.append(ids)
    found = theirs.loglikelihood_rolling(requests(*((text,) for text in texts)))
    model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32).eval()
    assert_equal_figures(scores_of(model, texts, encoded, theirs.prefix_token_id, 1), found)


def test_a_continuation_has_the_likelihood_that_lm_eval_gives_it(
    model: PreTrainedModel, space: TokenSpace, tiny_teacher_folder: Path
) -> None:
    pairs = [(text[:40], text[40:80]) for text in STORIES]
    pairs += [("", STORIES[0]), (f"{STORIES[1]} ", STORIES[2]), (STORIES[3] * 9, STORIES[4])]
    theirs = lm_evals_own(tiny_teacher_folder, add_bos_token=True)
    expected = theirs.loglikelihood(requests(*pairs[:-1]))
    found = harness_of(model, space).loglikelihood(requests(*pairs))
    for (ours, is_greedy), (other, other_is_greedy) in zip(found, expected, strict=False):
        assert ours == pytest.approx(other, abs=1e-3)
        assert is_greedy == other_is_greedy
    assert np.isfinite(found[-1][0])


def test_the_likeliest_continuation_is_called_greedy(
    model: PreTrainedModel, space: TokenSpace
) -> None:
    bridge = harness_of(model, space)
    settings = {"until": ["."], "max_gen_toks": 30}
    (told,) = bridge.generate_until(requests(("Once upon a time", settings)))
    assert told
    assert "." not in told
    ((_, is_greedy),) = bridge.loglikelihood(requests(("Once upon a time", told)))
    assert is_greedy


def test_generation_is_what_lm_eval_gets_from_transformers(
    model: PreTrainedModel, space: TokenSpace, tiny_teacher_folder: Path
) -> None:
    settings = {"until": ["."], "max_gen_toks": 40, "do_sample": False}
    asked = [(text[:30], settings) for text in STORIES[:6]]
    theirs = lm_evals_own(tiny_teacher_folder, add_bos_token=True)
    expected = theirs.generate_until(requests(*asked))
    assert harness_of(model, space).generate_until(requests(*asked)) == expected


def test_a_long_context_loses_its_beginning(model: PreTrainedModel, space: TokenSpace) -> None:
    bridge = harness_of(model, space)
    settings = {"until": ["."], "max_gen_toks": 20}
    long = f"{' '.join(STORIES)} Once upon a"
    longer = f"{STORIES[7]} {long}"
    told = bridge.generate_until(requests((long, settings), (longer, settings)))
    assert told[0] == told[1] != ""
    found = bridge.loglikelihood(requests((long, " time"), (longer, " time")))
    assert found[0] == pytest.approx(found[1], abs=1e-4)


def test_a_setting_that_is_not_known_is_refused(model: PreTrainedModel, space: TokenSpace) -> None:
    with pytest.raises(ValueError, match="found num_beams"):
        harness_of(model, space).generate_until(requests(("a", {"num_beams": 4})))


TASKS: dict[str, dict[str, Any]] = {
    "story_pairs": {
        "output_type": "multiple_choice",
        "doc_to_text": "",
        "doc_to_choice": "{{[good, bad]}}",
        "doc_to_target": 0,
        "metric_list": [{"metric": "acc"}],
    },
    "story_text": {
        "output_type": "loglikelihood_rolling",
        "doc_to_text": "",
        "doc_to_target": "{{good}}",
        "metric_list": [{"metric": "bits_per_byte"}, {"metric": "word_perplexity"}],
    },
    "story_ends": {
        "output_type": "generate_until",
        "doc_to_text": "{{begin}}",
        "doc_to_target": "{{rest}}",
        "generation_kwargs": {"until": ["."], "max_gen_toks": 30, "do_sample": False},
        "metric_list": [{"metric": "exact_match"}],
    },
}


def write_tasks(folder: Path) -> None:
    """Tasks over local rows: pairs of a story and the same words shuffled, texts, beginnings."""
    rng = np.random.default_rng(0)
    rows = []
    for text in STORIES:
        words = text.split()
        bad = " ".join(str(word) for word in rng.permutation(words))
        rows.append({"good": text, "bad": bad, "begin": text[:30], "rest": text[30:60]})
    (folder / "rows.jsonl").write_text("\n".join(json.dumps(row) for row in rows))
    for name, task in TASKS.items():
        settings = {
            "task": name,
            "dataset_path": "json",
            "dataset_kwargs": {"data_files": {"test": str(folder / "rows.jsonl")}},
            "test_split": "test",
            **task,
        }
        (folder / f"{name}.yaml").write_text(json.dumps(settings))


def test_tasks_of_local_files_give_a_student_the_figures_of_its_folder(
    model: PreTrainedModel,
    space: TokenSpace,
    tiny_teacher_folder: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("HF_DATASETS_CACHE", str(tmp_path / "cache"))
    bridge = harness_of(model, space)
    theirs = lm_evals_own(tiny_teacher_folder, add_bos_token=True)
    from lm_eval import simple_evaluate
    from lm_eval.tasks import TaskManager

    from distill.evaluation.harness import task_metrics

    write_tasks(tmp_path)
    manager = TaskManager(include_path=str(tmp_path), include_defaults=False)

    def answers(subject: Any) -> dict[str, Any]:
        done = simple_evaluate(
            model=subject, tasks=list(TASKS), task_manager=manager, bootstrap_iters=0
        )
        told.append(task_metrics(done))
        return dict(done["results"])

    told: list[list[Metric]] = []
    found, expected = answers(bridge), answers(theirs)
    # With add_bos_token its rolling likelihood counts the start symbol as text, so without.
    expected["story_text"] = answers(lm_evals_own(tiny_teacher_folder, add_bos_token=False))[
        "story_text"
    ]
    assert found["story_pairs"]["acc,none"] == expected["story_pairs"]["acc,none"] == 1.0
    assert found["story_ends"] == expected["story_ends"]
    ours, other = (result["story_text"]["bits_per_byte,none"] for result in (found, expected))
    assert ours == pytest.approx(other, abs=BAR)
    scores = scores_of(model, STORIES, space.encode_batch(STORIES), 0, 1)
    nats = [score.nats_without_end for score in scores]
    assert ours == pytest.approx(
        bits_per_byte_point(nats, [score.num_bytes for score in scores]), abs=1e-6
    )
    rows = {row.metric: row for row in told[0]}
    assert set(rows) == {
        "story_pairs/acc",
        "story_text/bits_per_byte",
        "story_text/word_perplexity",
        "story_ends/exact_match",
    }
    assert rows["story_pairs/acc"].n == len(STORIES)
    assert rows["story_text/bits_per_byte"].value == ours
    low, high = rows["story_pairs/acc"].low, rows["story_pairs/acc"].high
    assert low <= rows["story_pairs/acc"].value <= high
