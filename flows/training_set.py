"""What both of a night's students read: the targets of its stories in their token space, brought
from the lake to a file shard by shard, so that memory holds one shard however many there are.
"""

from collections.abc import Iterator, Set
from dataclasses import dataclass
from itertools import repeat

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from distill import targets
from distill.prefix import prefix_ids
from distill.students.presets import preset_named
from distill.targets import (
    CaptureFacts,
    StudentDocument,
    check_facts,
    from_table,
    num_dropped_draws,
)
from distill.tokens import TokenSpace
from distill.training_file import TrainingDocuments, write_documents
from flows.capture_targets import capture_facts, capture_run_id
from flows.contexts import instruct_lines, training_contexts
from flows.errors import FlowsError
from flows.night import Tonight
from flows.teachers import load_tokenizer
from flows.token_spaces import read_documents, tonights_space
from flows.trained_stories import each_training_story, story_finder, training_ids
from warehouse.identity import Json, digest_each


@dataclass(frozen=True, slots=True)
class TrainingSet:
    """What both students read: documents in their token space, and what was left out of it.

    targets_runs: the runs that captured the documents, in the documents' order, each with the
    number of its documents. digest: of the documents' ids and these runs; in the instruct form,
    also of what is read before them. instruct_lines: the lines of the instruct form that stand
    before some document, sorted; None: what stands there is the line of its words.
    """

    space: TokenSpace
    documents: TrainingDocuments
    targets_runs: tuple[tuple[str, int], ...]
    digest: str
    num_left_out: int
    dropped_draw_share: float
    instruct_lines: tuple[str, ...] | None

    @property
    def targets_run_ids(self) -> Iterator[str]:
        """The run that captured each document."""
        return (run_id for run_id, num in self.targets_runs for _ in repeat(None, num))


def build_training_set(tonight: Tonight) -> TrainingSet:
    """The night's documents as its students read them.

    Raises DistillError if targets are of another teacher, tokenizer, R or shift than the recipe
    asks for.
    """
    doc_ids = training_ids(tonight)
    facts = capture_facts(tonight, load_tokenizer(tonight.teacher).vocab_size)
    counts = _id_counts(tonight, facts, doc_ids)
    texts = (story.text for story in each_training_story(tonight, doc_ids))
    reader = _Reader(tonight, doc_ids, tonights_space(tonight, facts, counts, texts), facts)
    documents = write_documents(reader.documents(), tonight.lake.root / "work")
    runs = tuple(reader.num_kept.items())
    return TrainingSet(
        reader.space,
        documents,
        runs,
        training_digest(documents, runs, with_prefixes=reader.lines is not None),
        len(doc_ids) - len(documents),
        reader.num_dropped / max(reader.num_draws, 1),
        reader.lines,
    )


def training_digest(
    documents: TrainingDocuments, runs: tuple[tuple[str, int], ...], *, with_prefixes: bool
) -> str:
    """The digest of the sorted list of each document's id and the run that captured it, and with
    the ids before it where they are asked for.
    """
    run_ids = [run_id for run_id, _ in runs]
    run_of_D = np.repeat(np.arange(len(runs)), [num for _, num in runs])

    def identity(place: int) -> list[Json]:
        made: list[Json] = [documents.doc_id(place), run_ids[run_of_D[place]]]
        return [*made, documents[place].prefix_ids.tolist()] if with_prefixes else made

    return digest_each(map(identity, documents.places_by_id()))


class _Reader:
    """One pass over the targets of tonight's stories, and what is counted on the way."""

    def __init__(
        self,
        tonight: Tonight,
        doc_ids: Set[str],
        space: TokenSpace,
        facts: CaptureFacts,
    ) -> None:
        self.tonight, self.space, self.facts, self.left = tonight, space, facts, set(doc_ids)
        self.find = story_finder(each_training_story(tonight, doc_ids))
        self.limit = preset_named(tonight.recipe.train.preset).max_position_embeddings
        self.context_of = training_contexts(tonight)
        self.lines = instruct_lines(tonight, [])
        self.num_kept: dict[str, int] = {}
        self.num_draws = self.num_dropped = 0

    def documents(self) -> Iterator[StudentDocument]:
        """The documents that fit, in the order of the lake."""
        for run_id in _checked_runs(self.tonight, self.facts):
            for rows in self.tonight.lake.shards(
                "targets", run_ids=[run_id], columns=targets.READ_COLUMNS
            ):
                kept = self._read(rows)
                del rows  # the next shard is read without this one in memory
                self._count(run_id, kept)
                yield from kept

    def _read(self, rows: pa.Table) -> list[StudentDocument]:
        facts = self.facts
        captured = [
            document
            for document in from_table(
                rows, num_draws=facts.num_draws, vocab_size=facts.vocab_size, k=facts.k
            )
            if _is_taken(document.doc_id, self.left)
        ]
        stories = [self.find(document.doc_id) for document in captured]
        contexts = {story.doc_id: self.context_of(story) for story in stories}
        prefixes = [prefix_ids(self.space, context).tolist() for context in contexts.values()]
        texts = {story.doc_id: story.text for story in stories}
        read = read_documents(captured, self.space, prefixes, texts)
        kept = [document for document in read if document is not None and self._fits(document)]
        if self.lines is not None:
            lines = instruct_lines(self.tonight, [contexts[d.doc_id] for d in kept])
            self.lines = tuple(sorted({*self.lines, *(lines or ())}))
        return kept

    def _fits(self, document: StudentDocument) -> bool:
        return len(document.prefix_ids) + len(document.input_ids) <= self.limit

    def _count(self, run_id: str, kept: list[StudentDocument]) -> None:
        self.num_kept[run_id] = self.num_kept.get(run_id, 0) + len(kept)
        if not self.space.is_own:
            num_draws = self.facts.num_draws
            self.num_draws += num_draws * sum(len(document.input_ids) for document in kept)
            self.num_dropped += sum(num_dropped_draws(document, num_draws) for document in kept)


def _id_counts(tonight: Tonight, facts: CaptureFacts, doc_ids: Set[str]) -> NDArray[np.int64]:
    """How often the stories have each of the teacher's ids; FlowsError if not all of them were
    captured.
    """
    counts, left = np.zeros(facts.vocab_size, np.int64), set(doc_ids)
    runs = list(_checked_runs(tonight, facts))
    for rows in tonight.lake.shards("targets", run_ids=runs, columns=["doc_id", "input_ids"]):
        is_new = [_is_taken(doc_id, left) for doc_id in rows.column("doc_id").to_pylist()]
        ids = (
            rows.filter(pa.array(is_new, pa.bool_())).column("input_ids").combine_chunks().flatten()
        )
        found = np.asarray(ids.drop_null())
        # Others are refused when the documents are read.
        sound = found[(found >= 0) & (found < facts.vocab_size)]
        counts += np.bincount(sound, minlength=facts.vocab_size)
    if left or not doc_ids:
        raise FlowsError(
            f"{tonight.label}: expected targets of {len(doc_ids)} accepted stories to train on, "
            f"found {len(doc_ids) - len(left)}; "
            "run the stages generate and capture first"
        )
    return counts


def _is_taken(doc_id: str, left: set[str]) -> bool:
    """Whether the document is among those left; it is no more."""
    is_left = doc_id in left
    left.discard(doc_id)
    return is_left


def _checked_runs(tonight: Tonight, facts: CaptureFacts) -> Iterator[str]:
    """The runs that captured tonight's units; one that promises something else is refused."""
    for unit in tonight.units:
        run_id = capture_run_id(tonight, unit)
        if found := tonight.lake.facts("targets", run_id):
            check_facts(found, facts, f"run {run_id}")
        yield run_id
