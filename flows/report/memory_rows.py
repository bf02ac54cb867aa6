"""The rows of a night's page on told texts and what of them was learnt by heart; fields are named
as the SQL names its columns.
"""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class TextMeasure:
    """One measure of the texts of one author; infinite bounds: it has no interval."""

    metric: str
    role: str
    value: float
    low: float
    high: float
    n: int


@dataclass(frozen=True, slots=True)
class Copy:
    """A told story with a copied run, and the document that holds the run."""

    role: str
    sample: int
    text: str
    num_copied_words: int
    copied_words: str
    copied_doc_id: str | None
    source_text: str | None


@dataclass(frozen=True, slots=True)
class Exposure:
    """Canaries of equally many documents, as one student ranks them."""

    role: str
    num_planted: int
    num_canaries: int
    num_trained: float
    exposure: float
    low: float | None
    high: float | None
    highest: float
    num_ranked: int
