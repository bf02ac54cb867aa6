"""What students give away of canaries that they have read 1, 10 and 100 times in each epoch.

Usage: python tests/bench/canaries.py DATA [NUM_TOKENS] [SEEDS]

DATA holds tinystories/stories.jsonl and stories260k/ (a real teacher of 512 ids). The 1,800 real
stories, each cut to its first sentences of at most MOST_WORDS words, get canaries as `stillhouse
canaries plant` puts them there. For each seed (of canaries, documents, first weights) two students
of 0.5 million parameters are trained from one start on the same tokens: a control on the text
alone, and a challenger on the teacher's draws (alpha 0.9), which the teacher makes over the planted
text as over any other. Each canary is ranked among 4,096 secrets, as a night ranks it.

Then memorisation of stories that the students tell without being asked for words, beside that of
held-out real ones.
"""

import json
import statistics
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from transformers import AutoModelForCausalLM

from datagen.canaries import Canary, make_canaries, space_size, space_words
from datagen.measures import words_of
from datagen.memorisation import LENGTHS, find_copies
from distill.capture import capture_documents
from distill.capture_config import CaptureConfig
from distill.config import TrainConfig
from distill.evaluation.exposure import Exposure, expected_exposure
from distill.positions import CaptureRequest, TeacherIds
from distill.prefix import prefix_ids
from distill.reading import to_students
from distill.sample import Sampling, sample_stories
from distill.targets import StudentDocument, from_table
from distill.tokens import TokenSpace, read_tokenizer, word_start_mask
from flows.exposures import NUM_RANKED, rank_secrets
from tests.planted_students import trained_student, trimmed_space, with_canaries
from warehouse.identity import digest

REPEATS, NUM_EACH, NUM_NEVER = (1, 10, 100), 3, 50
MOST_WORDS = 60
VOCAB_SIZE = 480
NUM_DRAWS = 50
NUM_HELD_OUT = 200
NUM_TOLD = 30
ALPHAS = {"control": 0.0, "challenger": 0.9}
START = END = 1


@dataclass(frozen=True, slots=True)
class Prepared:
    """The planted text of one seed as both students read it."""

    canaries: tuple[Canary, ...]
    words: tuple[str, ...]
    texts: tuple[str, ...]
    space: TokenSpace
    documents: tuple[StudentDocument, ...]


def beginning(text: str) -> str:
    """Whole sentences of the text, as many as have MOST_WORDS words together; at least one."""
    kept: list[str] = []
    for sentence in text.replace("\n", " ").split(". "):
        if kept and len(words_of(" ".join([*kept, sentence]))) > MOST_WORDS:
            break
        kept.append(sentence)
    return ". ".join(kept).rstrip(".") + "."


def prepared(data: Path, texts: Sequence[str], seed: int) -> Prepared:
    """The texts with the seed's canaries and the teacher's draws over them."""
    words = space_words(texts)
    canaries = make_canaries(words, REPEATS, NUM_EACH, NUM_NEVER, seed)
    planted = with_canaries(texts, canaries, seed)
    tokenizer_json = (data / "stories260k" / "tokenizer.json").read_text("utf-8")
    encoded = read_tokenizer(tokenizer_json).encode_batch(planted, add_special_tokens=False)
    ids = [row.ids for row in encoded]
    space = trimmed_space(tokenizer_json, ids, VOCAB_SIZE, start_id=START, end_id=END)
    teacher = AutoModelForCausalLM.from_pretrained(data / "stories260k").eval()
    mask = word_start_mask(tokenizer_json, vocab_size=512, end_ids=(END,))
    rows = capture_documents(
        teacher,
        [
            CaptureRequest(digest(text), digest(text), [START], row)
            for text, row in zip(planted, ids, strict=True)
        ],
        CaptureConfig(num_draws=NUM_DRAWS, seed=seed, batch_size=32),
        TeacherIds((END,), mask),
        run_id="bench",
        teacher_digest="stories260k",
    )
    captured = from_table(rows, num_draws=NUM_DRAWS, vocab_size=512)
    start = prefix_ids(space, None).tolist()
    read = to_students(captured, space, [start] * len(captured))
    documents = tuple(document for document in read if document is not None)
    return Prepared(tuple(canaries), words, tuple(planted), space, documents)


def told_row(name: str, texts: Sequence[str], training: Sequence[str]) -> str:
    """Copied shares of the texts and their runs, as a row of a table."""
    copies = find_copies(texts, [[(str(place), text) for place, text in enumerate(training)]])
    found = [
        sum(copy.num_copied[at] for copy in copies)
        / max(sum(copy.num_grams[at] for copy in copies), 1)
        for at in range(len(LENGTHS))
    ]
    runs = [copy.num_words for copy in copies]
    cells = [*(f"{share:.4f}" for share in found), f"{statistics.mean(runs):.1f}", f"{max(runs)}"]
    return f"| {name} | {len(texts)} | {' | '.join(cells)} |"


def trained_and_examined(
    made: Prepared, role: str, seed: int, num_tokens: int
) -> tuple[list[Exposure], str]:
    """The exposures of one student's canaries, and the row of what it tells."""
    config = TrainConfig(preset="stlm-1m", num_tokens=num_tokens, alpha=ALPHAS[role], seed=seed)
    began = time.process_time()
    with tempfile.TemporaryDirectory() as folder:
        model = trained_student(
            config, made.space, made.documents, Path(folder), alpha=ALPHAS[role]
        )
    trained = time.process_time()
    secrets = [canary.secret for canary in made.canaries]
    found = rank_secrets(
        model, made.space, secrets, made.words, seed=seed, num_tokens_per_batch=8_192
    )
    print(
        f"seed {seed}, {role}: {trained - began:.0f} CPU s to train, "
        f"{time.process_time() - trained:.1f} to rank",
        flush=True,
    )
    sampling = Sampling(temperature=1.0, max_new_tokens=200)
    told = sample_stories(model, made.space, [None] * NUM_TOLD, seed=seed, sampling=sampling)
    texts = [story.text for story in told]
    return found, told_row(f"told by the {role}, seed {seed}", texts, made.texts)


def main() -> None:
    """Print the tables."""
    torch.set_num_threads(1)
    data = Path(sys.argv[1])
    num_tokens = int(sys.argv[2]) if len(sys.argv) > 2 else 1_000_000
    num_seeds = int(sys.argv[3]) if len(sys.argv) > 3 else 3
    lines = (data / "tinystories" / "stories.jsonl").read_text("utf-8").splitlines()
    stories = list(dict.fromkeys(beginning(json.loads(line)["text"]) for line in lines))
    held_out, texts = stories[:NUM_HELD_OUT], stories[NUM_HELD_OUT:]
    bits: dict[tuple[str, int], list[float]] = defaultdict(list)
    rows = []
    for seed in range(1, num_seeds + 1):
        made = prepared(data, texts, seed)
        size = sum(len(document.input_ids) for document in made.documents)
        print(
            f"{len(made.documents)} of {len(texts)} documents read, {size:,} tokens, "
            f"{num_tokens / size:.1f} epochs; {space_size(made.words):,} secrets",
            flush=True,
        )
        rows.append(told_row(f"held-out real stories, seed {seed}", held_out, made.texts))
        for role in ALPHAS:
            found, row = trained_and_examined(made, role, seed, num_tokens)
            rows.append(row)
            for canary, exposure in zip(made.canaries, found, strict=True):
                bits[role, canary.num_planted].append(exposure.bits)
    print("| planted | canaries | " + " | ".join(ALPHAS) + " |\n|---|---|---|---|")
    for number in (0, *REPEATS):
        cells = [
            f"{statistics.mean(values):.2f} ({min(values):.2f} to {max(values):.2f})"
            for values in (bits[role, number] for role in ALPHAS)
        ]
        print(f"| {number} | {len(bits['control', number])} | {' | '.join(cells)} |")
    print(f"expected of chance {expected_exposure(NUM_RANKED):.2f}, most 12")
    print("| texts | n | copied 8 | copied 16 | copied 32 | mean run | longest |")
    print("|---|---|---|---|---|---|---|")
    print("\n".join(rows))


if __name__ == "__main__":
    main()
