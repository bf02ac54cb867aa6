"""How much memory a night's training takes by the size of its corpus, and what the building of its
training set costs.

Usage: python tests/bench/training_memory.py DATA [MILLIONS_OF_TOKENS ...]

DATA holds stories260k/ (a llama2.c teacher of 260,000 parameters) and tinystories/stories.jsonl.
Real stories, each with a number behind it so that none repeats another, are put into the lake of a
night as the stages generate and capture would, in shards of SHARD_SIZE, with 50 draws of 14 ids at
each position (made up: what is drawn costs nothing). A process of its own then builds the training
set in a trimmed space and trains stlm-1m for 20 steps of 1,024 targets. Peak memory is the greatest
resident set, of which what was there before the build (torch, the teacher's tokenizer) is told
apart.
"""

import json
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import pyarrow as pa
import torch

from datagen.generate import split_into_shards
from distill.students.presets import build_student
from distill.targets import CapturedDocument, to_table
from distill.tokens import read_tokenizer
from distill.train import train
from flows.capture_targets import capture_facts, capture_run_id
from flows.night import Tonight, open_night
from flows.recipes import Recipe, load_recipe
from flows.teachers import load_tokenizer
from flows.training_set import build_training_set
from warehouse.identity import digest, digest_bytes
from warehouse.schemas import TABLES
from warehouse.split import split_digest

SHARD_SIZE, END, TEACHER_IDS, NUM_DRAWS, NUM_UNIQUE = 1_000, 2, 512, 50, 14
TOKENS_PER_STORY, NUM_STEPS, TOKENS_PER_STEP = 270, 20, 1_024


def recipe_of(data: Path, num_tokens: int) -> Recipe:
    """A night with about that many tokens of stories."""
    settings = [
        f"teacher.model={data / 'stories260k'}",
        f"night.num_prompts={num_tokens // TOKENS_PER_STORY}",
        "night.held_out_share=0.02",
        f"shards.shard_size={SHARD_SIZE}",
        "token_space.vocab_size=500",
        f"train.num_tokens={NUM_STEPS * TOKENS_PER_STEP}",
        f"train.tokens_per_step={TOKENS_PER_STEP}",
        "train.max_batch_tokens=1024",
        "train.checkpoint_every_steps=1000",
    ]
    return load_recipe("smoke", settings)


def fill(data: Path, lake: Path, num_tokens: int) -> None:
    """Put the night's stories and their targets into the lake."""
    lines = (data / "tinystories" / "stories.jsonl").read_text("utf-8").splitlines()
    texts = [text for line in lines if len(text := json.loads(line)["text"]) < 700]
    tokenizer = read_tokenizer((data / "stories260k" / "tokenizer.json").read_text("utf-8"))
    tokenizer.encode_special_tokens = True
    recipe = recipe_of(data, num_tokens)
    with open_night(recipe, "1", lake, lambda _: None) as tonight:
        facts = capture_facts(tonight, load_tokenizer(tonight.teacher).vocab_size)
        run_id = capture_run_id(tonight, tonight.unit)
        for number, block in enumerate(split_into_shards(tonight.indices, recipe.shards)):
            stories = [f"{texts[index % len(texts)]} {index}" for index in block]
            write_stories(tonight, number, list(block), stories)
            encoded = tokenizer.encode_batch(stories, add_special_tokens=False)
            made = [
                captured(text, np.array([*row.ids, END], np.int32), index)
                for index, text, row in zip(block, stories, encoded, strict=True)
            ]
            made.sort(key=lambda document: document.doc_id)
            rows = to_table(made, run_id=run_id, teacher_digest=tonight.teacher.digest)
            tonight.lake.commit_shard(run_id, number, {"targets": rows}, facts=facts.to_json())
        verdicts = TABLES["verdicts"].schema.empty_table()
        tonight.lake.commit_shard(tonight.unit.pass_id, 0, {"verdicts": verdicts})


def write_stories(tonight: Tonight, number: int, block: list[int], texts: list[str]) -> None:
    """A shard of accepted stories with their prompts."""
    run_id, prompts, stories = tonight.unit.run_id, [], []
    for index, text in zip(block, texts, strict=True):
        spec = tonight.plan[index]
        words = list(spec.words)
        made = {"run_id": run_id, "prompt_id": digest("prompt", index), "plan_index": index}
        prompts.append(
            {
                **made,
                "vocabulary": tonight.recipe.prompts.vocabulary,
                "vocabulary_digest": tonight.vocabulary.digest,
                "seed": 1,
                "features": [],
                "text": f"Write a short story for a small child with {', '.join(words)}. " * 3,
                "family": "story",
                "family_digest": tonight.plan.family.digest,
                "words": words,
                "slots": json.dumps({"verb": words[:1], "noun": words[1:2]}),
            }
        )
        stories.append(
            {
                **made,
                "story_id": digest("story", index),
                "attempt": 0,
                "teacher_digest": tonight.teacher.digest,
                "numerics": tonight.claim.numerics,
                "text": text,
                "doc_id": digest_bytes(text.encode()),
                "split_digest": split_digest([*words, str(index)]),
                "accepted": True,
                "num_words": len(text.split()),
                "num_unknown_words": 0,
                "num_required_hit": 3,
                "num_tokens": 200,
                "num_bytes": len(text.encode()),
            }
        )
    tables = {"prompts": prompts, "stories": stories}
    rows = {
        name: pa.Table.from_pylist(made, schema=TABLES[name].schema)
        for name, made in tables.items()
    }
    tonight.lake.commit_shard(run_id, number, rows)


def captured(
    text: str, input_ids: np.ndarray[tuple[int], np.dtype[np.int32]], seed: int
) -> CapturedDocument:
    """The text's document with made-up draws."""
    rng, size = np.random.default_rng(seed), len(input_ids)
    firsts = rng.integers(3, TEACHER_IDS - 8 * NUM_UNIQUE, (size, 1))
    ids = firsts + np.cumsum(rng.integers(1, 8, (size, NUM_UNIQUE)), axis=1)
    counts = np.full((size, NUM_UNIQUE), 2, np.uint8)
    counts[:, 3] = NUM_DRAWS - 2 * (NUM_UNIQUE - 1)
    none = np.zeros(size, np.float16)
    return CapturedDocument(
        digest_bytes(text.encode()),
        digest("story", seed),
        1,
        input_ids,
        np.full(size, NUM_UNIQUE, np.uint8),
        ids.astype(np.int32).reshape(-1),
        counts.reshape(-1),
        none,
        none,
        none,
    )


def peak_mb() -> float:
    """The process's greatest resident set so far."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def measure(data: Path, lake: Path, num_tokens: int) -> None:
    """Print a row: build, 20 steps, and what they took."""
    torch.set_num_threads(1)
    with open_night(recipe_of(data, num_tokens), "1", lake, lambda _: None) as tonight:
        load_tokenizer(tonight.teacher)
        before_mb = peak_mb()
        began_s = time.process_time()
        found = build_training_set(tonight)
        build_s, built_mb = time.process_time() - began_s, peak_mb()
        space, config = found.space, tonight.recipe.train
        model = build_student(config.preset, space.vocab_size, space.start_id, space.end_id, 1)
        with tempfile.TemporaryDirectory(dir=lake) as folder:
            began_s = time.process_time()
            result = train(config, model, found.documents, Path(folder), seed=1, alpha=0.9)
            train_s, trained_mb = time.process_time() - began_s, peak_mb()
        total = sum(len(document.input_ids) for document in found.documents)
    print(
        f"| {total:,} | {len(found.documents):,} | {before_mb:,.0f} | {built_mb:,.0f} | "
        f"{trained_mb:,.0f} | {build_s:.2f} | {total / build_s / 1e6:.2f} | {train_s:.2f} | "
        f"{len(result.steps)} | {result.weights_digest[:8]} | {found.digest[:8]} |",
        flush=True,
    )


def main(data: Path, millions: list[float]) -> None:
    """Print the table, each row from a process of its own."""
    print(
        "| tokens | documents | before MB | built MB | trained MB | build CPU-s |"
        " M tokens per CPU-s | 20 steps CPU-s | steps | weights | set |"
    )
    for size in millions:
        with tempfile.TemporaryDirectory() as folder:
            for what in ("fill", "measure"):
                command = [sys.executable, __file__, what, str(data), folder, str(int(size * 1e6))]
                subprocess.run(command, check=True)


if __name__ == "__main__":
    if sys.argv[1] in ("fill", "measure"):
        run = fill if sys.argv[1] == "fill" else measure
        run(Path(sys.argv[2]), Path(sys.argv[3]), int(sys.argv[4]))
    else:
        main(Path(sys.argv[1]), [float(size) for size in sys.argv[2:]] or [0.25, 1, 4])
