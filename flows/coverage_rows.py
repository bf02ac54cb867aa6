"""The answer of `stillhouse vocabulary coverage` on standard output."""

import pyarrow as pa

from datagen.coverage import Coverage
from datagen.vocabulary import Vocabulary
from flows.corpus_words import CorpusWords
from flows.output import Format, write_rows


def write_coverage(
    coverage: Coverage, vocabulary: Vocabulary, words: CorpusWords, top: int, form: Format
) -> None:
    """Counts and shares, then the `top` most frequent words outside; as CSV those alone, as JSON
    one object.
    """
    outside = [{"word": word, "times": times} for word, times in coverage.outside[:top]]
    schema = pa.schema([("word", pa.string()), ("times", pa.int64())])
    if form == "csv":
        write_rows(pa.Table.from_pylist(outside, schema), form)
        return
    unit = "entries" if words.is_word_list else "words"
    if form == "json":
        write_rows(pa.Table.from_pylist([_object(coverage, vocabulary, unit, outside)]), form)
        return
    write_rows(pa.Table.from_pylist(_summary(coverage, vocabulary, unit)), form)
    if outside:
        write_rows(pa.Table.from_pylist(outside, schema), form)


def _summary(coverage: Coverage, vocabulary: Vocabulary, unit: str) -> list[dict[str, object]]:
    running = unit if unit == "entries" else f"running {unit}"
    return [
        {
            f"in {vocabulary.name}": kind,
            "all": num_all,
            "inside": num_inside,
            "outside": num_all - num_inside,
            "inside, %": round(100 * share, 2),
        }
        for kind, num_all, num_inside, share in (
            (running, coverage.num_running, coverage.num_running_inside, coverage.share_running),
            (
                f"distinct {unit}",
                coverage.num_distinct,
                coverage.num_distinct_inside,
                coverage.share_distinct,
            ),
        )
    ]


def _object(
    coverage: Coverage, vocabulary: Vocabulary, unit: str, outside: list[dict[str, object]]
) -> dict[str, object]:
    return {
        "vocabulary": vocabulary.name,
        "vocabulary_digest": vocabulary.digest,
        "unit": unit,
        "num_running": coverage.num_running,
        "num_running_inside": coverage.num_running_inside,
        "share_running": coverage.share_running,
        "num_distinct": coverage.num_distinct,
        "num_distinct_inside": coverage.num_distinct_inside,
        "share_distinct": coverage.share_distinct,
        "outside": outside,
    }
