"""All tokens of a tokenizer as a tree of bytes, walked through an automaton from many states at
once, one byte of all of them in each numpy pass.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from datagen.automata import Dfa

Int64 = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class TokenTree:
    """Nodes in the order of their depth, node 0 the root.

    child_start (nodes + 1,): a node's children stand together, by child_byte. id_start (nodes + 1,)
    into ids: the ids whose bytes end at a node.
    """

    child_start: Int64
    child_byte: Int64
    id_start: Int64
    ids: Int64

    @classmethod
    def of(cls, token_bytes: Sequence[bytes]) -> "TokenTree":
        """The tree of the tokens; an empty one is in no tree."""
        ids_of: dict[bytes, list[int]] = {}
        for id_, data in enumerate(token_bytes):
            if data:
                ids_of.setdefault(data, []).append(id_)
        nodes = {data[:length] for data in ids_of for length in range(len(data) + 1)} | {b""}
        ordered = sorted(nodes, key=lambda data: (len(data), data))
        place = {data: number for number, data in enumerate(ordered)}
        parents = np.array([place[data[:-1]] for data in ordered[1:]], np.int64)
        num_children = np.bincount(parents, minlength=len(ordered))
        num_ids = np.array([len(ids_of.get(data, ())) for data in ordered], np.int64)
        return cls(
            # A node's children are the nodes from child_start + 1 on: the root is nobody's child.
            child_start=np.concatenate([[0], np.cumsum(num_children)]),
            child_byte=np.array([data[-1] for data in ordered[1:]], np.int64),
            id_start=np.concatenate([[0], np.cumsum(num_ids)]),
            ids=np.array([id_ for data in ordered for id_ in ids_of.get(data, ())], np.int64),
        )

    def walk(
        self, dfa: Dfa, states: Int64, is_first_byte: NDArray[np.bool_]
    ) -> tuple[Int64, Int64, Int64]:
        """All ways by one token from the states: from, id, to; three arrays of one length.

        is_first_byte: bool (256,), the bytes that a token may begin with.
        """
        origins, places = states.astype(np.int64), states.astype(np.int64)
        nodes = np.zeros(len(states), np.int64)
        found: list[tuple[Int64, Int64, Int64]] = []
        while len(nodes):
            rows, children = _ranges(self.child_start, nodes)
            bytes_ = self.child_byte[children]
            columns = dfa.column_of[bytes_]
            places = np.where(columns >= 0, dfa.next_SA[places[rows], columns], -1)
            kept = places >= 0
            if not found:
                kept &= is_first_byte[bytes_]
            origins, places, nodes = origins[rows][kept], places[kept], children[kept] + 1
            rows, id_places = _ranges(self.id_start, nodes)
            found.append((origins[rows], self.ids[id_places], places[rows].astype(np.int64)))
        return tuple(np.concatenate(part) for part in zip(*found, strict=True))


def _ranges(start: Int64, nodes: Int64) -> tuple[Int64, Int64]:
    """For each node the numbers start[node] to start[node + 1], and which of the nodes it was."""
    counts = start[nodes + 1] - start[nodes]
    rows = np.repeat(np.arange(len(nodes)), counts)
    within = np.arange(len(rows)) - np.repeat(np.cumsum(counts) - counts, counts)
    return rows, start[nodes][rows] + within
