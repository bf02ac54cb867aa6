"""Minimal pairs against lm_eval itself: the same accuracy on the same pairs, set by set, ties
aside.
"""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

from distill.evaluation.minimal_pairs import PairScore, score_pairs
from tests.tiny_teacher import make_tiny_teacher
from warehouse.pair_files import Pair, read_pairs

lm_eval = pytest.importorskip("lm_eval", reason="needs the extra eval (lm_eval)")
pytestmark = [
    pytest.mark.eval,
    pytest.mark.filterwarnings("default"),  # theirs, and those of what they ask for
]

SHARED = Path(__file__).parents[2].parent / "shared" / "data"
OURS = Path(__file__).parents[2] / "flows" / "suites" / "first-grammar.jsonl"
# lm_eval's task `blimp`, but for where the pairs come from.
_TASK: dict[str, Any] = {
    "dataset_path": "json",
    "output_type": "multiple_choice",
    "test_split": "train",
    "doc_to_text": "",
    "doc_to_target": 0,
    "doc_to_choice": "{{[sentence_good, sentence_bad]}}",
    "num_fewshot": 0,
    "metric_list": [{"metric": "acc", "aggregation": "mean", "higher_is_better": True}],
}


@pytest.fixture(scope="module")
def tiny_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("tiny")
    make_tiny_teacher(folder)
    return folder


def _theirs(folder: Path, files: Mapping[str, Path]) -> dict[str, list[dict[str, Any]]]:
    """lm_eval's answers for each pair of each file, by the file's name."""
    models = pytest.importorskip("lm_eval.models.huggingface")
    model = models.HFLM(pretrained=str(folder), dtype="float32", batch_size=32, device="cpu")
    tasks = [
        {**_TASK, "task": name, "dataset_kwargs": {"data_files": str(file)}}
        for name, file in files.items()
    ]
    found = lm_eval.simple_evaluate(model=model, tasks=tasks, log_samples=True, bootstrap_iters=0)
    assert found is not None
    samples: dict[str, list[dict[str, Any]]] = found["samples"]
    return {name: sorted(samples[name], key=lambda row: row["doc_id"]) for name in files}


def _ours(folder: Path, pairs: list[Pair]) -> list[PairScore]:
    tokenizer = AutoTokenizer.from_pretrained(folder)
    model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32)
    start = tokenizer.bos_token_id
    return score_pairs(
        model,
        pairs,
        encode=lambda text: tokenizer.encode(text, add_special_tokens=False),
        start_ids=[tokenizer.eos_token_id if start is None else start],
        end_ids=[tokenizer.eos_token_id],
        num_tokens_per_batch=2048,
    )


def compare(folder: Path, files: Mapping[str, Path]) -> None:
    """Every pair's two scores agree, and so does the accuracy of every set but for ties, which
    lm_eval counts as right.
    """
    theirs = _theirs(folder, files)
    print()
    for name, file in files.items():
        ours = _ours(folder, read_pairs([file]))
        assert len(ours) == len(theirs[name])
        acc = 0.0
        for score, sample in zip(ours, theirs[name], strict=True):
            good, bad = (float(answer[0]) for [answer] in sample["resps"])
            assert -score.nats_good == pytest.approx(good, abs=2e-3)
            assert -score.nats_bad == pytest.approx(bad, abs=2e-3)
            if score.num_right == 0.5:
                acc += 0.5 - sample["acc"]
            else:
                # Their sums are of float32 terms: what is this close may fall on either side.
                assert sample["acc"] == score.num_right or abs(good - bad) < 1e-4
            acc += sample["acc"]
        ties = sum(score.num_right == 0.5 for score in ours)
        right = sum(score.num_right for score in ours)
        alone = sum(score.num_right_by_length for score in ours)
        print(
            f"{name}: ours {right / len(ours):.4f}, lm_eval without ties {acc / len(ours):.4f}, "
            f"length alone {alone / len(ours):.4f}, ties {ties}, n {len(ours)}"
        )
        assert right == acc


def test_a_model_made_here_scores_our_own_pairs_as_lm_eval_does(tiny_folder: Path) -> None:
    compare(tiny_folder, {"first_grammar": OURS})


def test_blimp_under_a_real_model_is_lm_evals() -> None:
    folder, blimp = SHARED / "stories260k", SHARED / "blimp"
    if not folder.is_dir() or not blimp.is_dir():
        pytest.skip(f"needs {folder} and {blimp}")
    compare(folder, {file.stem: file for file in sorted(blimp.glob("*.jsonl"))})


def test_blimp_under_a_model_of_yours_is_lm_evals() -> None:
    """By hand: STILLHOUSE_EVAL_MODEL=FOLDER, and STILLHOUSE_EVAL_SETS=a,b for some sets alone."""
    chosen, blimp = os.environ.get("STILLHOUSE_EVAL_MODEL"), SHARED / "blimp"
    if not chosen or not blimp.is_dir():
        pytest.skip(f"needs a folder in STILLHOUSE_EVAL_MODEL, and {blimp}")
    wanted = os.environ.get("STILLHOUSE_EVAL_SETS", "").split(",")
    files = {file.stem: file for file in sorted(blimp.glob("*.jsonl"))}
    compare(Path(chosen), {n: f for n, f in files.items() if wanted == [""] or n in wanted})
