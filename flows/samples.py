"""Stories that tonight's students tell."""

from typing import Any

from datagen.instruct import Ask
from datagen.measures import required_hits, unknown_words, words_of
from flows.bench import Bench
from flows.contexts import asking
from flows.corpus import held_out_stories
from flows.night import Tonight
from flows.students import load_checked_student


def told_stories(tonight: Tonight, bench: Bench, role: str, run_id: str) -> list[dict[str, Any]]:
    """Stories that a student tells when asked for the words of held-out stories, in the form that
    it was trained on, with what they hold.
    """
    from distill.prefix import instruct_lines_of
    from distill.sample import Sampling, sample_stories

    subject = bench.subject(role)
    assert subject is not None
    config = tonight.recipe.evaluate
    stories = held_out_stories(tonight, tonight.unit)[: config.num_samples]
    model, space = load_checked_student(tonight.lake, subject.subject_id)
    lines = instruct_lines_of(model.config)
    samples = sample_stories(
        model,
        space,
        [asking(lines, Ask(story.words)) for story in stories],
        seed=config.seed,
        sampling=Sampling(config.temperature, config.max_new_tokens, config.top_k),
    )
    rows = []
    for place, (story, sample) in enumerate(zip(stories, samples, strict=True)):
        told = words_of(sample.text)
        spec = tonight.plan[story.plan_index]
        rows.append(
            {
                "student_id": subject.subject_id,
                "run_id": run_id,
                "sample": place,
                "words": list(story.words),
                "text": sample.text,
                "num_required_hit": required_hits(told, spec, tonight.vocabulary),
                "num_words": len(told),
                "num_unknown_words": len(unknown_words(told, tonight.vocabulary)),
            }
        )
    return rows
