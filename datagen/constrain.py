"""Which token ids may follow: the automaton of allowed stories, read in a tokenizer's ids.

A token is a string of bytes, so an id is allowed in a state if its bytes lead on from there, by
whichever segmentation: the teacher chooses. Where the bytes lead is the id's next state. Ids are
looked up by walking the tree of all tokens through the automaton, from all states at once.

After a word nearly all states allow the same thousands of ids (a space and a word, a sign), and few
of their own (the rest of a longer word). So a state's row is its class's common row, for ids that
begin with a common byte, and a short list of its own. 1,800 forms over 49,152 ids: some megabytes.

Arrays: S states, the last one the finished story; U columns, the ids that are allowed anywhere; C
classes; N entries of the states' own lists.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from datagen.automata import NOWHERE, Dfa
from datagen.errors import DatagenError
from datagen.surface import MAY_BEGIN_WORD, MAY_END
from datagen.token_tree import TokenTree

# Raise when the same tokens and automaton give other arrays.
AUTOMATON_VERSION = 1

# Bytes whose ways are shared by many states: ASCII signs and white space, less what joins words.
_COMMON_BYTES = [byte for byte in range(128) if not chr(byte).isalnum() and chr(byte) not in "'-"]

_CURLY = {"'": "\u2019"}

Int32 = NDArray[np.int32]
Int64 = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class TokenAutomaton:
    """A tokenizer's ids that may follow in each state, and where they lead.

    ids_U: int32, sorted. class_S: int32. common_CU: int32, the next state or NOWHERE. own_start:
    int64 (S + 1,), a state's own entries in own_columns and own_next (int32, columns sorted).
    may_begin_word_S: whether the next letter begins a word. dfa: the same states over bytes. start:
    before the first token of a story.
    """

    ids_U: Int32
    class_S: Int32
    common_CU: Int32
    own_start: Int64
    own_columns: Int32
    own_next: Int32
    may_begin_word_S: NDArray[np.bool_]
    dfa: Dfa
    start: int

    @property
    def num_states(self) -> int:
        """States, the finished story's included."""
        return len(self.class_S)

    @property
    def finished(self) -> int:
        """The state of a story that has ended; only end ids follow, and stay there."""
        return len(self.class_S) - 1

    @property
    def size_bytes(self) -> int:
        """What the arrays take in memory."""
        dfa = self.dfa.next_SA.nbytes + self.dfa.labels_S.nbytes
        own = self.own_start.nbytes + self.own_columns.nbytes + self.own_next.nbytes
        return dfa + own + self.class_S.nbytes + self.common_CU.nbytes

    def row(self, state: int) -> tuple[Int32, Int32]:
        """The ids that may follow, sorted, and the state that each leads to."""
        next_U = self.common_CU[self.class_S[state]].copy()
        own = slice(self.own_start[state], self.own_start[state + 1])
        next_U[self.own_columns[own]] = self.own_next[own]
        columns = np.flatnonzero(next_U != NOWHERE)
        return self.ids_U[columns], next_U[columns]

    def spellings(self, word: str) -> list[str]:
        """How stories may write a lower-case word: with the capitals that the file has, with one at
        its beginning, with a straight or a curly apostrophe; none if it is no form.
        """
        written = [("", 0)]
        for sign in word:
            ways = dict.fromkeys((sign, sign.title(), sign.upper(), _CURLY.get(sign, sign)))
            written = [
                (text + way, state)
                for text, before in written
                for way in ways
                if (state := self.dfa.walk(way.encode(), before)) != NOWHERE
            ]
        return [text for text, state in written if self.dfa.walk(b" ", state) != NOWHERE]

    def after(self, opening: str) -> int:
        """The state after a story's first words; DatagenError if they are not inside."""
        if not opening:
            return self.start
        state = self.dfa.walk(opening.encode())
        if state == NOWHERE:
            raise DatagenError(
                f"expected a story's opening inside the vocabulary, found {opening!r}; add its "
                "words to the vocabulary, or set sampling.constrain=false"
            )
        return state


@dataclass(frozen=True, slots=True)
class _Entries:
    """Ways by one token: from a state, an id, to a state."""

    states: Int64
    ids: Int64
    next_states: Int64


def token_automaton(
    dfa: Dfa, token_bytes: Sequence[bytes], end_ids: Sequence[int], *, strips_space: bool
) -> TokenAutomaton:
    """The automaton of stories in a tokenizer's ids.

    token_bytes: the bytes of each id, empty for ids that are never written. strips_space: decoding
    takes away a leading space, as SentencePiece does. From every state that the automaton keeps, a
    sequence of ids leads to the end; DatagenError if none does from the start.
    """
    dfa, start = (_with_leading_space(dfa), len(dfa.labels_S)) if strips_space else (dfa, 0)
    tree = TokenTree.of(token_bytes)
    used = [column for column in dfa.column_of[_COMMON_BYTES] if column >= 0]
    _, first_S, class_S = np.unique(
        dfa.next_SA[:, used], axis=0, return_index=True, return_inverse=True
    )
    is_common = np.isin(np.arange(256), _COMMON_BYTES)
    own = _Entries(*tree.walk(dfa, np.arange(len(class_S)), ~is_common))
    common = _Entries(*tree.walk(dfa, first_S, is_common))
    own = _with_ends(own, dfa, end_ids)
    # The finished story is in a class of its own that shares nothing.
    class_S = np.append(class_S.ravel(), len(first_S))
    common = _Entries(class_S[common.states], common.ids, common.next_states)
    own, common = _without_dead_ends(own, common, class_S)
    automaton = _packed(own, common, class_S, dfa, start)
    if not len(automaton.row(start)[0]):
        raise DatagenError(
            "expected a tokenizer that can write the vocabulary's stories, found one without the "
            "bytes for it; choose another teacher"
        )
    return automaton


def _with_leading_space(dfa: Dfa) -> Dfa:
    """One state more, where a space may stand before the story."""
    first_A = dfa.next_SA[0].copy()
    first_A[dfa.column_of[ord(" ")]] = 0
    return Dfa(
        np.vstack([dfa.next_SA, first_A]), dfa.column_of, np.append(dfa.labels_S, dfa.labels_S[0])
    )


def _with_ends(own: _Entries, dfa: Dfa, end_ids: Sequence[int]) -> _Entries:
    finished = len(dfa.labels_S)
    states = np.append(np.flatnonzero(dfa.labels_S & MAY_END), finished)
    return _Entries(
        np.concatenate([own.states, np.repeat(states, len(end_ids))]),
        np.concatenate([own.ids, np.tile(np.array(end_ids, np.int64), len(states))]),
        np.concatenate([own.next_states, np.full(len(states) * len(end_ids), finished)]),
    )


def _without_dead_ends(
    own: _Entries, common: _Entries, class_S: Int64
) -> tuple[_Entries, _Entries]:
    """Only the ways into states from which ids lead to the end."""
    is_alive_S = np.zeros(len(class_S), np.bool_)
    is_alive_S[-1] = True
    num_alive = 0
    while (found := int(is_alive_S.sum())) != num_alive:
        num_alive = found
        is_alive_C = np.zeros(class_S.max() + 1, np.bool_)
        is_alive_C[common.states[is_alive_S[common.next_states]]] = True
        is_alive_S |= is_alive_C[class_S]
        is_alive_S[own.states[is_alive_S[own.next_states]]] = True
    own_kept, common_kept = is_alive_S[own.next_states], is_alive_S[common.next_states]
    return _kept(own, own_kept), _kept(common, common_kept)


def _kept(entries: _Entries, kept: NDArray[np.bool_]) -> _Entries:
    return _Entries(entries.states[kept], entries.ids[kept], entries.next_states[kept])


def _packed(
    own: _Entries, common: _Entries, class_S: Int64, dfa: Dfa, start: int
) -> TokenAutomaton:
    ids_U = np.union1d(own.ids, common.ids)
    common_CU = np.full((class_S.max() + 1, len(ids_U)), NOWHERE, np.int32)
    common_CU[common.states, np.searchsorted(ids_U, common.ids)] = common.next_states
    columns = np.searchsorted(ids_U, own.ids)
    order = np.lexsort((columns, own.states))
    counts_S = np.bincount(own.states, minlength=len(class_S))
    return TokenAutomaton(
        ids_U=ids_U.astype(np.int32),
        class_S=class_S.astype(np.int32),
        common_CU=common_CU,
        own_start=np.concatenate([[0], np.cumsum(counts_S)]).astype(np.int64),
        own_columns=columns[order].astype(np.int32),
        own_next=own.next_states[order].astype(np.int32),
        may_begin_word_S=np.append(dfa.labels_S & MAY_BEGIN_WORD != 0, False),
        dfa=dfa,
        start=start,
    )
