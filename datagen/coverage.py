"""How much of a corpus stands in a vocabulary: of its running words, and of its distinct ones."""

from collections.abc import Mapping
from dataclasses import dataclass

from datagen.measures import unknown_words
from datagen.vocabulary import Vocabulary


@dataclass(frozen=True, slots=True)
class Coverage:
    """Counts of a corpus, and what stands outside: (word, times), the most frequent first."""

    num_running: int
    num_running_inside: int
    num_distinct: int
    num_distinct_inside: int
    outside: tuple[tuple[str, int], ...]

    @property
    def share_running(self) -> float:
        """Of the running words, those inside: 0 to 1; 1 for a corpus without words."""
        return self.num_running_inside / self.num_running if self.num_running else 1.0

    @property
    def share_distinct(self) -> float:
        """Of the distinct words, those inside: 0 to 1; 1 for a corpus without words."""
        return self.num_distinct_inside / self.num_distinct if self.num_distinct else 1.0


def coverage_of(counts: Mapping[str, int], vocabulary: Vocabulary) -> Coverage:
    """The coverage of a corpus whose words (measures.words_of) stand in it so many times.

    An entry of several words, joined by spaces ("ice cream"), is inside if each of them is.
    """
    outside = {
        entry: times for entry, times in counts.items() if unknown_words(entry.split(), vocabulary)
    }
    num_running = sum(counts.values())
    return Coverage(
        num_running=num_running,
        num_running_inside=num_running - sum(outside.values()),
        num_distinct=len(counts),
        num_distinct_inside=len(counts) - len(outside),
        outside=tuple(sorted(outside.items(), key=lambda item: (-item[1], item[0]))),
    )
