"""From the lake to training tensors: tokens per CPU-second by stage, and memory by size.

Usage: python tests/bench/loading.py DATA [NUM_TOKENS] [REPEATS]

DATA holds stories260k/ (a llama2.c teacher of 260,000 parameters) and tinystories/stories.jsonl.
NUM_STORIES real stories are captured with R = 50 and repeated under other ids, in shards of 1,024
documents as a night writes them, up to NUM_TOKENS (2,000,000). A pass reads the shards, checks
them, maps them to a trimmed space of VOCAB_SIZE ids (so draws are dropped, and documents left out),
writes them to the file that students read from, and makes the batches of an epoch's steps. Bar:
1,500,000 tokens per CPU-second, all stages together; memory must not grow with the number of shards
that went through. The digest of all documents, which a checkpoint names, is told apart.
"""

import itertools
import json
import resource
import statistics
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa
from transformers import AutoModelForCausalLM

from distill.batches import make_batches, plan_epoch
from distill.capture import capture_documents
from distill.capture_config import CaptureConfig
from distill.positions import CaptureRequest, TeacherIds
from distill.reading import to_students
from distill.targets import READ_COLUMNS, CapturedDocument, StudentDocument, from_table, to_table
from distill.tokens import TokenSpace, read_tokenizer, word_start_mask
from distill.training_file import TrainingDocuments, write_documents
from distill.trimming import trim_tokenizer
from warehouse.identity import digest
from warehouse.lake import Lake

START, END, TEACHER_IDS, NUM_DRAWS = 1, 2, 512, 50
NUM_STORIES, DOCUMENTS_PER_SHARD, VOCAB_SIZE = 300, 1_024, 500
TOKENS_PER_STEP, MAX_BATCH_TOKENS = 32_768, 16_384
STAGES = ("read", "check", "map", "write", "batch")


def captured_stories(data: Path) -> list[CapturedDocument]:
    """Real stories with the teacher's draws."""
    lines = (data / "tinystories" / "stories.jsonl").read_text("utf-8").splitlines()
    tokenizer_json = (data / "stories260k" / "tokenizer.json").read_text("utf-8")
    texts = [json.loads(line)["text"] for line in lines[:NUM_STORIES]]
    encoded = read_tokenizer(tokenizer_json).encode_batch(texts, add_special_tokens=False)
    mask = word_start_mask(tokenizer_json, vocab_size=TEACHER_IDS, end_ids=(END,))
    requests = [
        CaptureRequest(digest(text), digest(text), [START], row.ids)
        for text, row in zip(texts, encoded, strict=True)
        if len(row.ids) < 500
    ]
    rows = capture_documents(
        AutoModelForCausalLM.from_pretrained(data / "stories260k").eval(),
        requests,
        CaptureConfig(num_draws=NUM_DRAWS, seed=1, batch_size=32),
        TeacherIds((END,), mask),
        run_id="bench",
        teacher_digest="stories260k",
    )
    return from_table(rows, num_draws=NUM_DRAWS, vocab_size=TEACHER_IDS)


def fill(lake: Lake, stories: list[CapturedDocument], num_tokens: int) -> str:
    """The run that holds the stories again and again, each time under other ids."""
    run_id, total, shard = digest("loading", num_tokens), 0, 0
    while total < num_tokens:
        made: list[CapturedDocument] = []
        while len(made) < DOCUMENTS_PER_SHARD and total < num_tokens:
            place = shard * DOCUMENTS_PER_SHARD + len(made)
            story = stories[place % len(stories)]
            made.append(replace(story, doc_id=digest("document", place)))
            total += story.input_ids.size
        made.sort(key=lambda document: document.doc_id)
        table = to_table(made, run_id=run_id, teacher_digest=digest("stories260k"))
        lake.commit_shard(run_id, shard, {"targets": table})
        shard += 1
    return run_id


def load(lake: Lake, run_id: str, space: TokenSpace) -> tuple[dict[str, float], int, int]:
    """CPU-seconds of each stage, tokens that went in, and targets in the batches."""
    spent, num_in = dict.fromkeys(STAGES, 0.0), 0

    def mapped() -> Iterator[StudentDocument]:
        nonlocal num_in
        shards: Iterator[pa.Table] = lake.shards("targets", run_ids=[run_id], columns=READ_COLUMNS)
        while True:
            times = [time.process_time()]
            table = next(shards, None)
            if table is None:
                return
            times.append(time.process_time())
            captured = from_table(table, num_draws=NUM_DRAWS, vocab_size=TEACHER_IDS)
            times.append(time.process_time())
            read = to_students(captured, space, [[space.start_id]] * len(captured))
            documents = [document for document in read if document is not None]
            times.append(time.process_time())
            for stage, (begin, end) in zip(STAGES[:3], itertools.pairwise(times), strict=True):
                spent[stage] += end - begin
            num_in += sum(document.input_ids.size for document in captured)
            yield from documents

    began = time.process_time()
    documents = write_documents(mapped(), lake.root / "work")
    spent["write"] = time.process_time() - began - sum(spent.values())
    began = time.process_time()
    num_out = sum(num_batched(documents))
    spent["batch"] = time.process_time() - began
    began = time.process_time()
    assert documents.digest
    return {**spent, "digest": time.process_time() - began}, num_in, num_out


def num_batched(documents: TrainingDocuments) -> Iterator[int]:
    """The targets of each batch of an epoch of these documents."""
    for step in plan_epoch(documents.num_targets_D, TOKENS_PER_STEP, 1, 0):
        for batch in make_batches([documents[i] for i in step], MAX_BATCH_TOKENS):
            yield batch.num_tokens


def main() -> None:
    """Print the table."""
    data = Path(sys.argv[1])
    num_tokens = int(sys.argv[2]) if len(sys.argv) > 2 else 2_000_000
    repeats = int(sys.argv[3]) if len(sys.argv) > 3 else 5
    stories = captured_stories(data)
    counts = np.bincount(np.concatenate([d.input_ids for d in stories]), minlength=TEACHER_IDS)
    space = trim_tokenizer(
        (data / "stories260k" / "tokenizer.json").read_text("utf-8"),
        vocab_size=VOCAB_SIZE,
        id_counts=counts,
        forms=(),
        start_id=START,
        end_ids=(END,),
    )
    with tempfile.TemporaryDirectory() as folder, Lake.open(Path(folder), create=True) as lake:
        for size in (num_tokens // 4, num_tokens):
            run_id = fill(lake, stories, size)
            load(lake, run_id, space)  # warm
            found = [load(lake, run_id, space) for _ in range(repeats)]
            num_in, num_out = found[0][1:]
            for spent, _, _ in found:
                spent["all"] = sum(spent[stage] for stage in STAGES)
            rates = {
                stage: [num_in / spent[stage] / 1e6 for spent, _, _ in found]
                for stage in (*STAGES, "all", "digest")
            }
            peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
            print(f"{num_in:,} tokens, {num_out:,} in batches; peak memory {peak:,.0f} MB")
            for stage, values in rates.items():
                print(
                    f"| {stage} | {statistics.median(values):.2f} M tokens per CPU-second | "
                    f"{min(values):.2f} to {max(values):.2f} |"
                )


if __name__ == "__main__":
    main()
