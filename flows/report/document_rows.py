"""The rows of document_questions.py: one class for each question."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Document:
    """Bits per byte of two students on one held-out document, and its place among the others."""

    suite: str
    doc_id: str
    num_bytes: int
    challenger: float
    other: float
    difference: float
    place: int
    num_documents: int


@dataclass(frozen=True, slots=True)
class Spread:
    """How a suite's differences are spread: 5th percentile, median, 95th."""

    suite: str
    num_documents: int
    num_better: int
    low: float
    middle: float
    high: float


@dataclass(frozen=True, slots=True)
class End:
    """A document on which the challenger gains or loses most."""

    suite: str
    difference: float
    num_bytes: int
    beginning: str | None
