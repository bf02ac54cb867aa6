"""What texts cost a model, in nats: the one place where text, wherever it is from, becomes the
scores of a model that was found by its name.
"""

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

import numpy as np

from flows.errors import FlowsError
from flows.models_by_name import LoadedModel
from flows.progress import track

if TYPE_CHECKING:
    from distill.evaluation.scoring import DocumentScore, ScoreRequest

# A document's id (one of its own) and its text.
Document = tuple[str, str]
_TOKENS_PER_BATCH = {"cpu": 2048, "cuda": 8192}
_TEXTS_AT_ONCE = 1_000


def score_texts(
    loaded: LoadedModel,
    documents: Sequence[Document],
    *,
    want_top1: bool = False,
) -> "list[DocumentScore]":
    """The model's scores of the documents, in the order given, each read after the model's start
    symbol and in windows if it is long, with a progress bar.

    Raises FlowsError for a text that holds an id beyond the model's embeddings, DistillError for an
    empty text or a doc_id that comes twice.
    """
    from distill.evaluation.scoring import score_documents

    requests = requests_of(loaded, documents)
    num_tokens = sum(len(request.symbol_ids) + 1 for request in requests)
    with track(f"score {loaded.name}", num_tokens, "tokens") as bar:
        return score_documents(
            loaded.model,
            requests,
            end_ids=loaded.end_ids,
            num_tokens_per_batch=_TOKENS_PER_BATCH[loaded.model.device.type],
            want_top1=want_top1,
            max_window=loaded.window,
            on_scored=bar.advance,
        )


def score_baseline(
    loaded: LoadedModel, training_texts: Iterable[str], documents: Sequence[Document]
) -> "list[DocumentScore]":
    """The scores of the unigram model of those texts in the model's own tokens."""
    from distill.evaluation.unigram import fit_unigram, score_unigram

    end = loaded.end_ids[0]
    trained_on = [
        np.array([*ids, end], np.int32)
        for batch in _batches(training_texts)
        for ids in loaded.encode(batch)
    ]
    unigram = fit_unigram(lambda: trained_on, vocab_size_of(loaded))
    return score_unigram(unigram, requests_of(loaded, documents), end_id=end)


def requests_of(loaded: LoadedModel, documents: Sequence[Document]) -> "list[ScoreRequest]":
    """The documents as the model reads them."""
    from distill.evaluation.scoring import ScoreRequest

    encoded = [
        ids for batch in _batches(text for _, text in documents) for ids in loaded.encode(batch)
    ]
    start_ids, vocab_size = np.array([loaded.start_id], np.int32), vocab_size_of(loaded)
    requests = []
    for (doc_id, text), ids in zip(documents, encoded, strict=True):
        if ids and max(ids) >= vocab_size:
            raise FlowsError(
                f"model {loaded.name}: expected ids below {vocab_size} (its embeddings), found "
                f"{max(ids)} in document {doc_id}; its tokenizer and its weights do not belong "
                "together"
            )
        size = len(text.encode())
        requests.append(ScoreRequest(doc_id, start_ids, np.array(ids, np.int32), size))
    return requests


def vocab_size_of(loaded: LoadedModel) -> int:
    """Ids that the model has embeddings of."""
    embeddings = loaded.model.get_input_embeddings()
    return int(next(embeddings.parameters()).shape[0])


def _batches(texts: Iterable[str]) -> Iterable[list[str]]:
    batch: list[str] = []
    for text in texts:
        batch.append(text)
        if len(batch) == _TEXTS_AT_ONCE:
            yield batch
            batch = []
    if batch:
        yield batch
