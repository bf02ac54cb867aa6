"""Figures of texts: what tonight's students tell, beside the teacher's held-out stories and the
night's corpus, all by the same measures.

Memorisation is measured on the teacher's held-out stories as well, which no student has read: that
is what anybody copies of the training text by writing like it, and what a student's share must be
compared with.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from itertools import islice
from typing import TYPE_CHECKING, Any

from datagen.measures import words_of
from datagen.memorisation import LENGTHS, Copied, find_copies
from datagen.plan import PromptSpec
from datagen.text_measures import TextMeasure, measure_copies, measure_texts
from flows.bench import Bench
from flows.corpus import CorpusStory, accepted_stories, held_out_stories
from flows.night import Tonight
from flows.subjects import TEACHER
from flows.trained_stories import each_training_story
from warehouse.identity import digest

if TYPE_CHECKING:
    from distill.evaluation.metrics import Metric

SAMPLES, CORPUS = "samples", "corpus"
# Teacher's stories that are measured, in the order of their digests: enough for intervals of two
# percentage points.
MOST_STORIES = 2_000
_STORIES_AT_ONCE = 2_000


@dataclass(frozen=True, slots=True)
class TextGroup:
    """Texts of one author with what they were asked for, and what of them was copied from the
    students' training text; None for the corpus, of which that text is a part.
    """

    role: str
    subject_id: str
    texts: tuple[str, ...]
    asked: tuple[PromptSpec, ...]
    copies: tuple[Copied, ...] | None


def text_groups(
    tonight: Tonight, bench: Bench, told: Mapping[str, Sequence[Mapping[str, Any]]]
) -> list[TextGroup]:
    """Whose texts are measured: what each student told (rows of generations, by role), the
    teacher's stories that were held out tonight, and tonight's accepted stories.
    """
    held_out = held_out_stories(tonight, tonight.unit)
    asked = tuple(tonight.plan[story.plan_index] for story in held_out)
    groups = [_written(tonight, TEACHER, tonight.teacher.digest, _some(held_out))]
    for role, rows in told.items():
        subject = bench.subject(role)
        assert subject is not None
        texts = tuple(row["text"] for row in rows)
        groups.append(TextGroup(role, subject.subject_id, texts, asked[: len(rows)], None))
    every = [text for group in groups for text in group.texts]
    copies = iter(find_copies(every, _training_text(tonight, bench)))
    groups = [replace(group, copies=tuple(next(copies) for _ in group.texts)) for group in groups]
    own = _some(accepted_stories(tonight, tonight.unit))
    return [*groups, _written(tonight, CORPUS, tonight.unit.pass_id, own)]


def mark_copies(told: Mapping[str, Sequence[dict[str, Any]]], groups: Sequence[TextGroup]) -> None:
    """Add to each row of generations what of its text was copied."""
    for group in groups:
        if group.role not in told:
            continue
        for row, copy in zip(told[group.role], group.copies or (), strict=True):
            run = words_of(row["text"])[copy.start : copy.start + copy.num_words]
            row["num_copied_words"] = copy.num_words
            row["copied_words"] = " ".join(run)
            row["copied_doc_id"] = copy.doc_id
            for length in LENGTHS:
                row[f"copied_share_{length}"] = copy.share(length)


def text_figures(tonight: Tonight, groups: Sequence[TextGroup]) -> list[dict[str, Any]]:
    """Every measure of every group's texts, as rows of evaluations.

    Distinct n-grams and compression are measured on as many words, self-BLEU on as many texts, as
    the smallest group has.
    """
    diversity = tonight.recipe.diversity
    sizes = [[num for text in group.texts if (num := len(words_of(text)))] for group in groups]
    few = {
        "num_words": min([diversity.num_words, *(sum(size) for size in sizes if size)]),
        "num_sampled": min([diversity.num_sampled, *(len(size) for size in sizes if size)]),
    }
    config = diversity.model_copy(update=few)
    figures = []
    for group in groups:
        measures = measure_texts(group.texts, group.asked, tonight.vocabulary, config)
        measures += measure_copies(group.copies or ())
        about = {
            "subject_id": group.subject_id,
            "role": group.role,
            "suite": SAMPLES,
            "suite_digest": digest([list(spec.words) for spec in group.asked]),
        }
        figures += [{**about, **asdict(_metric(tonight, measure))} for measure in measures]
    return figures


def _metric(tonight: Tonight, measure: TextMeasure) -> "Metric":
    """The measure with Wilson's interval for shares, a bootstrap over texts for ratios, and none
    for what belongs to all texts together.
    """
    from distill.evaluation.metrics import mean_ratio, share, without_interval

    config = tonight.recipe.evaluate
    if measure.bottoms:
        return mean_ratio(
            measure.name,
            measure.tops,
            measure.bottoms,
            seed=config.seed,
            num_resamples=config.num_resamples,
        )
    if measure.tops:
        return share(measure.name, measure.tops)
    return without_interval(measure.name, measure.value, measure.n)


def _some(stories: Sequence[CorpusStory]) -> list[CorpusStory]:
    return sorted(stories, key=lambda story: story.doc_id)[:MOST_STORIES]


def _written(
    tonight: Tonight, role: str, subject_id: str, stories: Sequence[CorpusStory]
) -> TextGroup:
    return TextGroup(
        role,
        subject_id,
        tuple(story.text for story in stories),
        tuple(tonight.plan[story.plan_index] for story in stories),
        None,
    )


def _training_text(tonight: Tonight, bench: Bench) -> Iterator[list[tuple[str, str]]]:
    """The texts that tonight's students were trained on, some at a time."""
    stories = each_training_story(tonight, bench.training_set.documents.doc_ids)
    while part := [(story.doc_id, story.text) for story in islice(stories, _STORIES_AT_ONCE)]:
        yield part
