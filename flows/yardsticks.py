"""What models are measured on by hand: texts of files, held-out stories of a line, frozen suites of
the lake. Each is a list of documents that every model scores, and what one model's scores come to:
the figures, under the names, that nights keep in `evaluations`.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from flows.likelihood import Document
from flows.measured_texts import Texts, first_documents, stories_of_line, texts_of_files
from flows.suites import opened_suite
from flows.teachers import Say
from warehouse.identity import digest
from warehouse.suites import Suite, first_pairs, pairs_digest

if TYPE_CHECKING:
    from distill.evaluation.metrics import Metric
    from distill.evaluation.scoring import DocumentScore
    from warehouse.lake import Lake
    from warehouse.pair_files import Pair

SEED = 0


@dataclass(frozen=True, slots=True)
class Wanted:
    """What was asked for: files (with their column), a line's held-out stories, suites by name, and
    how many documents of each (pairs of each set) at most.
    """

    files: Sequence[str]
    text_column: str
    held_out: str | None
    suites: Sequence[str]
    limit: int | None


@dataclass(frozen=True, slots=True)
class Yardstick:
    """Documents under a name, with a digest of what they are, and the figures of a model's scores
    of them. `is_text`: they are texts, whose bits per byte two models can be compared in.
    `training` gives the text that their line's students are trained on (None: nothing says which).
    """

    name: str
    digest: str
    documents: tuple[Document, ...]
    metrics: "Callable[[Sequence[DocumentScore]], list[Metric]]"
    is_text: bool
    training: Callable[[], Iterator[str]] | None = None


@contextmanager
def open_yardsticks(wanted: Wanted, data: Path, say: Say) -> Iterator[list[Yardstick]]:
    """All that was asked for, in that order, while the block runs; FlowsError for a line or a suite
    that the lake does not have, ExchangeError for a file that cannot be read.
    """
    from warehouse.lake import Lake

    found = []
    if wanted.files:
        found.append(_of_texts(texts_of_files(wanted.files, wanted.text_column), wanted, say))
    needs_lake = wanted.held_out is not None or wanted.suites
    with Lake.open(data) if needs_lake else nullcontext() as lake:
        if lake is not None and wanted.held_out is not None:
            stories = stories_of_line(lake, wanted.held_out)
            found.append(_of_texts(stories.held_out(), wanted, say, stories.training))
        if lake is not None:
            found += [_of_suite(lake, name, wanted, say) for name in dict.fromkeys(wanted.suites)]
        yield found


def _of_texts(
    texts: Texts, wanted: Wanted, say: Say, training: Callable[[], Iterator[str]] | None = None
) -> Yardstick:
    chosen = first_documents(texts, wanted.limit)
    for reason, num in chosen.left_out.items():
        say(f"left out, {reason}: {num}")
    say(f"{len(chosen.documents)} documents of {chosen.origin}")
    content = digest([doc_id for doc_id, _ in chosen.documents])
    return Yardstick(chosen.origin, content, chosen.documents, _of_scores, True, training)


def _of_suite(lake: "Lake", name: str, wanted: Wanted, say: Say) -> Yardstick:
    opened = opened_suite(lake, name)
    if opened.suite.kind == "pairs":
        return _of_pairs(opened.suite, first_pairs(opened.pairs, wanted.limit), say)
    documents = tuple(sorted((text.doc_id, text.text) for text in opened.texts))
    return _of_texts(Texts(name, documents, {}), wanted, say)


def _of_pairs(suite: Suite, pairs: "Sequence[Pair]", say: Say) -> Yardstick:
    from distill.evaluation.minimal_pairs import minimal_pair_metrics, paired, sentences_of

    def metrics(scores: "Sequence[DocumentScore]") -> "list[Metric]":
        return minimal_pair_metrics(paired(pairs, {score.doc_id: score for score in scores}))

    say(f"{len(pairs)} pairs of {suite.name}")
    sentences = tuple(sentences_of(pairs).items())
    return Yardstick(suite.name, pairs_digest(pairs), sentences, metrics, is_text=False)


def _of_scores(scores: "Sequence[DocumentScore]") -> "list[Metric]":
    from distill.evaluation.metrics import text_metrics

    return text_metrics(scores, seed=SEED)
