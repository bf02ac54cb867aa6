"""Finite automata over bytes: put together from texts and jumps, made deterministic, made small.

A Graph may have several ways on by one byte. `determinise` is the subset construction; `minimise`
merges states that accept the same continuations, by refining classes of states until no byte tells
two of a class apart (Moore; each round is a few numpy passes over the whole table).

Tables: S states, A bytes that any arc uses ("columns").
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

NOWHERE = -1
_NUM_BYTES = 256


@dataclass(frozen=True, slots=True)
class Dfa:
    """A deterministic automaton that starts in state 0.

    next_SA: int32, the state that a byte leads to, or NOWHERE. column_of: int16 (256,), a byte's
    column, or NOWHERE. labels_S: int64, bits that say what is true in a state.
    """

    next_SA: NDArray[np.int32]
    column_of: NDArray[np.int16]
    labels_S: NDArray[np.int64]

    def walk(self, data: bytes, state: int = 0) -> int:
        """The state that the bytes lead to, or NOWHERE."""
        for byte in data:
            column = self.column_of[byte]
            state = int(self.next_SA[state, column]) if column >= 0 else NOWHERE
            if state == NOWHERE:
                return NOWHERE
        return state

    def arcs(self) -> list[dict[int, int]]:
        """For each state, the state that each byte leads to."""
        bytes_A = np.flatnonzero(self.column_of >= 0)
        bytes_A = bytes_A[np.argsort(self.column_of[bytes_A])]
        arcs: list[dict[int, int]] = [{} for _ in self.labels_S]
        for state, column in np.argwhere(self.next_SA >= 0).tolist():
            arcs[state][int(bytes_A[column])] = int(self.next_SA[state, column])
        return arcs


class Graph:
    """Numbered states, arcs by a byte and jumps by nothing; state 0 is the start."""

    def __init__(self) -> None:
        self.arcs: list[dict[int, set[int]]] = []
        self.jumps: list[set[int]] = []
        self.labels: list[int] = []
        self.state()

    def state(self, label: int = 0) -> int:
        """A further state; the label's bits hold in it and wherever one can jump to it from."""
        self.arcs.append({})
        self.jumps.append(set())
        self.labels.append(label)
        return len(self.arcs) - 1

    def arc(self, source: int, text: str, target: int) -> None:
        """A way from source to target by the UTF-8 bytes of the text (not empty)."""
        *first, last = text.encode()
        for byte in first:
            middle = self.state()
            self.arcs[source].setdefault(byte, set()).add(middle)
            source = middle
        self.arcs[source].setdefault(last, set()).add(target)

    def jump(self, source: int, target: int) -> None:
        """Whoever is in source may be in target."""
        self.jumps[source].add(target)

    def add(self, dfa: Dfa) -> int:
        """A copy of the automaton, without its labels; where its state 0 is."""
        offset = len(self.arcs)
        for arcs in dfa.arcs():
            self.arcs.append({byte: {offset + target} for byte, target in arcs.items()})
            self.jumps.append(set())
            self.labels.append(0)
        return offset

    def add_trie(self, ends: Mapping[str, int]) -> int:
        """A tree of the texts (not empty), each jumping to its end state; where its root is."""
        root = self.state()
        nodes: dict[bytes, int] = {b"": root}
        for text in sorted(ends):
            data = text.encode()
            for length in range(1, len(data) + 1):
                if data[:length] not in nodes:
                    node = nodes[data[:length]] = self.state()
                    self.arcs[nodes[data[: length - 1]]].setdefault(data[length - 1], set()).add(
                        node
                    )
            self.jump(nodes[data], ends[text])
        return root


def determinise(graph: Graph) -> Dfa:
    """The deterministic automaton of what the graph accepts; a state's label has the bits of all
    the graph's states that one may be in.
    """
    start = _closure(graph, frozenset([0]))
    numbers = {start: 0}
    waiting, arcs, labels = [start], [], []
    for members in waiting:  # grows while it is read
        targets: dict[int, set[int]] = {}
        label = 0
        for member in members:
            label |= graph.labels[member]
            for byte, to in graph.arcs[member].items():
                targets.setdefault(byte, set()).update(to)
        ways = {}
        for byte, to in targets.items():
            closed = _closure(graph, frozenset(to))
            if closed not in numbers:
                numbers[closed] = len(waiting)
                waiting.append(closed)
            ways[byte] = numbers[closed]
        arcs.append(ways)
        labels.append(label)
    return _table(arcs, labels)


def minimise(dfa: Dfa) -> Dfa:
    """The smallest automaton that accepts the same texts with the same labels."""
    odd_A = np.random.default_rng(0).integers(1, 2**63, dfa.next_SA.shape[1] + 1, dtype=np.uint64)
    _, class_S = np.unique(dfa.labels_S, return_inverse=True)
    num_classes = 0
    while class_S.max() + 1 != num_classes:
        num_classes = int(class_S.max()) + 1
        to_SA = np.where(dfa.next_SA >= 0, class_S[dfa.next_SA] + 1, 0).astype(np.uint64)
        sums_S = (to_SA * odd_A[:-1]).sum(axis=1) + class_S.astype(np.uint64) * odd_A[-1]
        _, class_S = np.unique(sums_S, return_inverse=True)
    _, first_S, class_S = np.unique(class_S, return_index=True, return_inverse=True)
    order = np.argsort(first_S)  # classes by their first state, so that 0 stays the start
    place = np.empty_like(order)
    place[order] = np.arange(len(order))
    class_S, first_S = place[class_S], first_S[order]
    next_SA = np.where(dfa.next_SA >= 0, class_S[dfa.next_SA], NOWHERE)
    small_SA = next_SA[first_S]
    is_same = np.array_equal(small_SA[class_S], next_SA)
    if not (is_same and np.array_equal(dfa.labels_S[first_S][class_S], dfa.labels_S)):
        # Two sums met by chance, once in some 10**10 automata.
        raise ArithmeticError("minimise: two different states have one sum; change the sums' seed")
    return Dfa(small_SA.astype(np.int32), dfa.column_of, dfa.labels_S[first_S])


def _closure(graph: Graph, members: frozenset[int]) -> frozenset[int]:
    if not any(graph.jumps[member] for member in members):
        return members
    found, waiting = set(members), list(members)
    while waiting:
        for target in graph.jumps[waiting.pop()]:
            if target not in found:
                found.add(target)
                waiting.append(target)
    return frozenset(found)


def _table(arcs: list[dict[int, int]], labels: list[int]) -> Dfa:
    used = sorted({byte for ways in arcs for byte in ways})
    column_of = np.full(_NUM_BYTES, NOWHERE, np.int16)
    column_of[used] = np.arange(len(used))
    next_SA = np.full((len(arcs), len(used)), NOWHERE, np.int32)
    for state, ways in enumerate(arcs):
        for byte, target in ways.items():
            next_SA[state, column_of[byte]] = target
    return Dfa(next_SA, column_of, np.array(labels, np.int64))
