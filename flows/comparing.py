"""Models side by side on the same documents: one is loaded at a time, so a large one fits."""

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from flows.errors import FlowsError
from flows.likelihood import Document, score_baseline, score_texts
from flows.likelihood_rows import ScoredModel, scored_baseline, scored_model
from flows.models_by_name import LoadedModel, load_by_name
from flows.teachers import Say


def compare(
    models: Sequence[str],
    documents: Sequence[Document],
    training: Callable[[], Iterator[str]] | None,
    data: Path,
    say: Say,
) -> list[ScoredModel]:
    """The scores of each model of that name, and behind the first one's those of the unigram model
    of the training text, if there is any, in its tokens. FlowsError for a model named twice.
    """
    twice = sorted({name for name in models if models.count(name) > 1})
    if twice:
        raise FlowsError(f"expected each MODEL once, found {', '.join(twice)} twice")
    scored: list[ScoredModel] = []
    for name in models:
        loaded = load_by_name(name, data, say)
        say(_how_it_reads(loaded))
        scored.append(scored_model(loaded, score_texts(loaded, documents)))
        if training is not None and len(scored) == 1:
            unigram = score_baseline(loaded, training(), documents)
            scored.append(scored_baseline(loaded, unigram))
    return scored


def _how_it_reads(loaded: LoadedModel) -> str:
    """What a figure follows from beside model and text, said before it comes."""
    window = "any length at once" if loaded.window is None else f"{loaded.window} ids at once"
    why = f" ({loaded.why_start})" if loaded.why_start else ""
    return f"{loaded.name}: {loaded.kind}, reads {window}, each text after {loaded.start}{why}"
