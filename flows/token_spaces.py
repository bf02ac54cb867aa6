"""Tonight's token space, as the recipe asks for it, and how documents are read in it."""

from collections.abc import Iterable, Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from distill.reading import hard_labels, to_students
from distill.spaces import check_segmentation, own_space, teacher_space
from distill.targets import CapturedDocument, CaptureFacts, StudentDocument, check_space
from distill.tokens import TokenSpace
from distill.training_file import TrainingDocuments
from distill.trimming import trim_tokenizer
from flows.night import Tonight
from flows.teachers import load_tokenizer
from flows.trained_stories import each_training_story, story_finder


def tonights_space(
    tonight: Tonight,
    facts: CaptureFacts,
    id_counts: NDArray[np.int64],
    texts: Iterable[str],
) -> TokenSpace:
    """The space of tonight's students: id_counts say how often the training texts have each of the
    teacher's ids.

    Raises DistillError for a tokenizer that is not the one that targets were captured with.
    """
    config, reads = tonight.recipe.token_space, load_tokenizer(tonight.teacher)
    tokenizer_json = (tonight.teacher.folder / "tokenizer.json").read_text(encoding="utf-8")
    if config.kind == "teacher":
        space = teacher_space(tokenizer_json, start_id=reads.start_id, end_ids=reads.end_ids)
    elif config.vocab_size is None:  # the recipe's own check lets no such thing through
        raise AssertionError(f"a token space of kind {config.kind} without a size")
    elif config.kind == "own":
        return own_space(texts, vocab_size=config.vocab_size)
    else:
        space = trim_tokenizer(
            tokenizer_json,
            vocab_size=config.vocab_size,
            id_counts=id_counts,
            forms=sorted(tonight.vocabulary.forms),
            start_id=reads.start_id,
            end_ids=reads.end_ids,
        )
    check_space(space, facts)
    return space


def read_documents(
    captured: Sequence[CapturedDocument],
    space: TokenSpace,
    prefix_ids: Sequence[Sequence[int]],
    texts: Mapping[str, str],
) -> list[StudentDocument | None]:
    """The documents in the space's ids with the teacher's draws, or in an own space their texts
    alone; None where the space lacks an id.
    """
    if not space.is_own:
        return to_students(captured, space, prefix_ids)
    return [
        hard_labels(document.doc_id, space, texts[document.doc_id], prefix)
        for document, prefix in zip(captured, prefix_ids, strict=True)
    ]


def check_reading(tonight: Tonight, space: TokenSpace, documents: TrainingDocuments) -> None:
    """Pass if the space's tokenizer reads the texts of all documents as the teacher's did."""
    doc_ids = set(documents.doc_ids)
    find = story_finder(each_training_story(tonight, doc_ids))
    check_segmentation(space, ((d.doc_id, find(d.doc_id).text, d.input_ids) for d in documents))
