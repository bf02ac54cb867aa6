"""The token spaces beside the trimmed one, and the check that a space reads as its teacher does.

The teacher's whole tokenizer: student ids are the teacher's, so nothing is left out and no draw is
dropped, at the price of an embedding row for each id. An own tokenizer: a byte-level BPE trained on
the training texts, so that all rows earn their place; its ids mean nothing to a teacher, so its
students have no draws to learn from. It follows from the texts alone, in whatever order they come:
pairs are counted, and of equal counts the pair of lower ids is merged first.
"""

import itertools
import json
from collections.abc import Iterable, Sequence

import numpy as np
from numpy.typing import NDArray
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

from distill.errors import DistillError
from distill.tokens import TokenSpace, make_space, read_tokenizer, tokenizer_sha256
from distill.trimming import check_kind, start_first

OWN_START, OWN_END = "<s>", "</s>"
_TEXTS_AT_ONCE = 1_000


def teacher_space(tokenizer_json: str, *, start_id: int, end_ids: Sequence[int]) -> TokenSpace:
    """A space of all of the teacher's ids; those that end a story beside the first of end_ids stay
    ids, but what ends a story for a student is the first.

    The tokenizer is the teacher's but for what it puts first where special tokens are asked for:
    the start symbol. Raises DistillError for tokenizers that cannot be trimmed either, for gaps
    between ids, and for start or end ids that are not among them.
    """
    data = json.loads(tokenizer_json)
    check_kind(data)
    full = read_tokenizer(tokenizer_json)
    ids = sorted(full.get_vocab(with_added_tokens=True).values())
    if ids != list(range(len(ids))):
        raise DistillError(
            f"expected a tokenizer with ids 0 to {len(ids) - 1} for its whole space, found gaps up "
            f"to {ids[-1]}: take a trimmed token space"
        )
    if not end_ids or not all(0 <= id_ < len(ids) for id_ in (start_id, *end_ids)):
        raise DistillError(
            f"expected a start id and end ids in [0, {len(ids)}), found {start_id} and "
            f"{list(end_ids)}: name the teacher's"
        )
    to_teacher = np.arange(len(ids), dtype=np.int32)
    from_teacher = to_teacher.copy()
    from_teacher[list(end_ids)] = end_ids[0]
    whole = {
        **data,
        "truncation": None,
        "padding": None,
        "post_processor": start_first(str(full.id_to_token(start_id)), start_id),
    }
    return make_space(
        json.dumps(whole, ensure_ascii=False, separators=(",", ":")),
        start_id=start_id,
        end_id=end_ids[0],
        to_teacher=to_teacher,
        from_teacher=from_teacher,
        teacher_tokenizer_sha256=tokenizer_sha256(tokenizer_json),
    )


def own_space(texts: Iterable[str], *, vocab_size: int) -> TokenSpace:
    """A space of at most vocab_size ids (fewer where the texts have no more pairs to merge), which
    reads any text. Raises DistillError for a vocab_size without room for bytes and symbols.
    """
    symbols = [OWN_START, OWN_END]
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    least = len(symbols) + len(alphabet)
    if vocab_size < least:
        raise DistillError(f"expected room for {least} bytes and symbols, found {vocab_size}")
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=vocab_size,
        special_tokens=symbols,
        initial_alphabet=alphabet,
        show_progress=False,
    )
    tokenizer.train_from_iterator(texts, trainer)
    data = {**json.loads(tokenizer.to_str()), "post_processor": start_first(OWN_START, 0)}
    return make_space(
        json.dumps(data, ensure_ascii=False, separators=(",", ":")),
        start_id=0,
        end_id=1,
        to_teacher=np.full(tokenizer.get_vocab_size(), -1, np.int32),
        from_teacher=np.zeros(0, np.int32),
        teacher_tokenizer_sha256="",
    )


def check_segmentation(
    space: TokenSpace, documents: Iterable[tuple[str, str, NDArray[np.int32]]]
) -> None:
    """Pass if the space reads every document's text as the ids that it was captured in, less the
    end symbol; a document is its id, text and ids.

    What a student is trained on is then what it reads when it is measured. Raises DistillError with
    the first document that is read otherwise.
    """
    stream = iter(documents)
    while part := list(itertools.islice(stream, _TEXTS_AT_ONCE)):
        encoded = space.encode_batch([text for _, text, _ in part])
        for (doc_id, _, ids), found in zip(part, encoded, strict=True):
            if found != ids[:-1].tolist():
                pairs = zip(found, ids.tolist(), strict=False)
                alike = list(itertools.takewhile(lambda pair: pair[0] == pair[1], pairs))
                raise DistillError(
                    f"document {doc_id}: expected the token space to read it as the teacher does, "
                    f"found other ids from its token {len(alike)} on; take the whole space "
                    '(token_space.kind = "teacher"), or capture it again'
                )
