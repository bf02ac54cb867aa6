"""The teacher's tokenizer cut down to V ids, so that a small student spends its parameters on ids
that its stories use.

Kept, in this order, while there is room: one id for every byte, the start and the end symbol; the
training snapshot's ids by count; the ids of the vocabulary's forms; then the lowest-ranked merges.
An id comes with everything that any merge makes it from (some ids have several merges), so each
merge that the full tokenizer applies inside a kept id is still there, in its place: where all ids
of a text are kept, its segmentation is the teacher's. Student ids are the kept teacher ids in
order.
"""

import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from tokenizers import Tokenizer

from distill.errors import DistillError
from distill.tokens import (
    METASPACE,
    TokenSpace,
    byte_symbols,
    fallback_byte,
    make_space,
    read_tokenizer,
    tokenizer_sha256,
)

_LAST = 1 << 60


def trim_tokenizer(
    tokenizer_json: str,
    *,
    vocab_size: int,
    id_counts: Mapping[int, int] | NDArray[np.int64],
    forms: Iterable[str],
    start_id: int,
    end_ids: Sequence[int],
) -> TokenSpace:
    """A space of vocab_size ids, or of all that the teacher has but unused special symbols, if
    those are fewer.

    id_counts: how often each teacher id occurs in the training snapshot (a mapping, or an array by
    id). forms: words, each kept as written, in lower case and Capitalised, with and without a space
    before. end_ids: all ids that end a story, the main one first. The new tokenizer puts the start
    symbol first where special tokens are asked for. Raises DistillError for tokenizers other than
    BPE over bytes or with byte fallback, ids that are not in the tokenizer, and a vocab_size
    without room for bytes and symbols.
    """
    data = json.loads(tokenizer_json)
    full = read_tokenizer(tokenizer_json)
    check_kind(data)
    table = _Table(data)
    for name, id_ in [("start_id", start_id), *(("end_ids", id_) for id_ in end_ids)]:
        if id_ not in table.tokens:
            raise DistillError(f"expected {name} among the tokenizer's ids, found {id_}")
    if not end_ids:
        raise DistillError("expected at least one end id, found none: name the teacher's")
    others = set(end_ids[1:]) - {start_id}
    keeper = _Keeper(table, vocab_size, others)
    keeper.require(_byte_ids(data["model"]["vocab"]) | _unknown_id(data), "bytes")
    keeper.require({start_id, end_ids[0]}, "start and end symbol")
    keeper.offer(_by_count(id_counts))
    keeper.offer(_form_ids(full, forms))
    keeper.offer(sorted(table.ordinary, key=lambda id_: (table.rank(id_), id_)))
    return _space(data, keeper.kept, table, tokenizer_json, start_id, end_ids)


class _Table:
    """Tokens by id, and the pairs of ids whose merge yields an id."""

    def __init__(self, data: dict[str, Any]) -> None:
        vocab: dict[str, int] = data["model"]["vocab"]
        added = {token["id"]: token for token in data.get("added_tokens") or ()}
        self.tokens = {id_: token for token, id_ in vocab.items()}
        self.tokens.update({id_: token["content"] for id_, token in added.items()})
        special = {id_ for id_, token in added.items() if token["special"]}
        self.ordinary = set(self.tokens) - special
        self.merges = [_pair(merge) for merge in data["model"]["merges"]]
        self._parts: dict[int, set[int]] = {}
        self._ranks: dict[int, int] = {}
        for rank, (left, right) in enumerate(self.merges):
            result = vocab[left + right]
            self._parts.setdefault(result, set()).update((vocab[left], vocab[right]))
            self._ranks.setdefault(result, rank)

    def rank(self, id_: int) -> int:
        """The first merge that yields the id; ids that no merge yields come last."""
        return self._ranks.get(id_, _LAST)

    def closure(self, id_: int, known: set[int]) -> set[int]:
        """The id and all that it is made from by any chain of merges, less what is known (a closed
        set).
        """
        found: set[int] = set()
        waiting = [id_]
        while waiting:
            next_ = waiting.pop()
            if next_ not in known and next_ not in found:
                found.add(next_)
                waiting.extend(self._parts.get(next_, ()))
        return found


class _Keeper:
    """The growing set of kept ids; it is closed under merges and never larger than vocab_size."""

    def __init__(self, table: _Table, vocab_size: int, unwanted: set[int]) -> None:
        self.kept: set[int] = set()
        self._table = table
        self._vocab_size = vocab_size
        self._wanted = table.ordinary - unwanted

    def require(self, ids: set[int], what: str) -> None:
        for id_ in sorted(ids):
            self.kept |= self._table.closure(id_, self.kept)
        if len(self.kept) > self._vocab_size:
            raise DistillError(
                f"expected room for {what}, {len(self.kept)} ids so far, "
                f"found vocab_size {self._vocab_size}: raise it"
            )

    def offer(self, ids: Iterable[int]) -> None:
        """Keeps, in order, each id that fits together with what it is made from."""
        for id_ in ids:
            room = self._vocab_size - len(self.kept)
            if room == 0:
                return
            if id_ in self._wanted:
                needed = self._table.closure(id_, self.kept)
                if len(needed) <= room and needed <= self._wanted:
                    self.kept |= needed


def _space(
    data: dict[str, Any],
    kept: set[int],
    table: _Table,
    tokenizer_json: str,
    start_id: int,
    end_ids: Sequence[int],
) -> TokenSpace:
    to_teacher = np.array(sorted(kept), np.int32)
    from_teacher = np.full(max(table.tokens) + 1, -1, np.int32)
    from_teacher[to_teacher] = np.arange(to_teacher.size, dtype=np.int32)
    new_start, new_end = int(from_teacher[start_id]), int(from_teacher[end_ids[0]])
    trimmed = _trimmed_json(data, from_teacher, table, start_id, new_start)
    from_teacher[list(end_ids)] = new_end
    return make_space(
        trimmed,
        start_id=new_start,
        end_id=new_end,
        to_teacher=to_teacher,
        from_teacher=from_teacher,
        teacher_tokenizer_sha256=tokenizer_sha256(tokenizer_json),
    )


def _trimmed_json(
    data: dict[str, Any],
    from_teacher: NDArray[np.int32],
    table: _Table,
    start_id: int,
    new_start: int,
) -> str:
    new_ids = from_teacher.tolist()
    old = data["model"]["vocab"]
    vocab = {token: new_ids[id_] for token, id_ in old.items() if new_ids[id_] >= 0}
    merges = [
        [left, right]
        for left, right in table.merges
        if left in vocab and right in vocab and left + right in vocab
    ]
    added = [
        {**token, "id": new_ids[token["id"]]}
        for token in data.get("added_tokens") or ()
        if new_ids[token["id"]] >= 0
    ]
    start = table.tokens[start_id]
    model = {**data["model"], "vocab": vocab, "merges": merges}
    trimmed = {
        **data,
        "truncation": None,
        "padding": None,
        "added_tokens": added,
        "post_processor": start_first(start, new_start),
        "model": model,
    }
    return json.dumps(trimmed, ensure_ascii=False, separators=(",", ":"))


def start_first(start: str, start_id: int) -> dict[str, Any]:
    """The post-processor of a tokenizer.json that puts the start symbol before a text."""
    first = {"SpecialToken": {"id": start, "type_id": 0}}
    text = {"Sequence": {"id": "A", "type_id": 0}}
    second = {"Sequence": {"id": "B", "type_id": 1}}
    return {
        "type": "TemplateProcessing",
        "single": [first, text],
        "pair": [first, text, second],
        "special_tokens": {start: {"id": start, "ids": [start_id], "tokens": [start]}},
    }


def check_kind(data: dict[str, Any]) -> None:
    """Raises DistillError for a tokenizer.json that is no BPE over bytes or with byte fallback."""
    model = data["model"]
    kind = model.get("type", "BPE" if "merges" in model else "unknown")
    found = None
    if kind != "BPE":
        found = kind
    elif model.get("continuing_subword_prefix") or model.get("dropout"):
        found = "BPE with continuing_subword_prefix or dropout"
    elif not model.get("byte_fallback") and '"ByteLevel"' not in json.dumps(data.get("decoder")):
        found = "BPE over characters without byte fallback"
    if found:
        raise DistillError(
            f"expected a BPE tokenizer over bytes or with byte fallback, found {found}: "
            "choose another teacher, or a student of bytes"
        )


def _pair(merge: str | Sequence[str]) -> tuple[str, str]:
    left, right = merge.split(" ", 1) if isinstance(merge, str) else merge
    return left, right


def _byte_ids(vocab: Mapping[str, int]) -> set[int]:
    symbols = byte_symbols()
    if any(fallback_byte(token) is not None for token in vocab):
        # Without a lone metaspace a space would fall back to that symbol's bytes, which no
        # decoder turns into a space.
        return {
            id_
            for token, id_ in vocab.items()
            if token == METASPACE or fallback_byte(token) is not None
        }
    return {id_ for token, id_ in vocab.items() if token in symbols}


def _unknown_id(data: dict[str, Any]) -> set[int]:
    unknown = data["model"].get("unk_token")
    vocab = data["model"]["vocab"]
    return {vocab[unknown]} if unknown in vocab else set()


def _by_count(id_counts: Mapping[int, int] | NDArray[np.int64]) -> list[int]:
    if isinstance(id_counts, np.ndarray):
        id_counts = {int(id_): int(id_counts[id_]) for id_ in np.flatnonzero(id_counts)}
    return sorted(id_counts, key=lambda id_: (-id_counts[id_], id_))


def _form_ids(full: Tokenizer, forms: Iterable[str]) -> list[int]:
    words = sorted({word for form in forms for word in (form, form.lower(), form.capitalize())})
    texts = [text for word in words for text in (word, f" {word}")]
    encodings = full.encode_batch(texts, add_special_tokens=False)
    return list(dict.fromkeys(id_ for encoding in encodings for id_ in encoding.ids))
