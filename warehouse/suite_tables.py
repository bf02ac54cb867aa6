"""Tables of frozen suites: sentences and texts that students are measured on, and how they scored.

A suite's rows never change once they are in a lake, so a figure of one night and a figure of
another stand on the same content if the digests beside them are equal.
"""

import pyarrow as pa

from warehouse.columns import ID, RUN, Table, column

_SUITE = (
    column("suite", ID, "what the suite is called in this lake"),
    column("suite_digest", ID, "digest of the sorted ids of all that is in the suite"),
    column("origin", pa.string(), "where it came from, as whoever added it says"),
    column("licence", ID, "SPDX expression of its licence, as that person says"),
)
_SET = column("set_name", ID, "the set of pairs, as BLiMP's adjunct_island")
_PHENOMENON = column("phenomenon", ID, "what the set is about, as BLiMP's island_effects")

SUITE_PAIRS = Table(
    "suite_pairs",
    "one minimal pair of a frozen suite",
    1,
    True,
    ("set_name", "place"),
    pa.schema(
        [
            column("pair_id", ID, "digest of set, phenomenon, both sentences, earlier copies"),
            RUN,
            *_SUITE,
            _SET,
            _PHENOMENON,
            column("place", pa.int32(), "place in its set as it was brought in, from 1"),
            column("sentence_good", pa.string(), "the sentence that should be the likelier one"),
            column("sentence_bad", pa.string(), "the sentence with the fault"),
        ]
    ),
)

SUITE_TEXTS = Table(
    "suite_texts",
    "one text of a frozen suite",
    1,
    True,
    ("place",),
    pa.schema(
        [
            column("doc_id", ID, "digest of the text: equal texts have equal doc_id"),
            RUN,
            *_SUITE,
            column("place", pa.int32(), "place in the suite as it was brought in, from 1"),
            column("text", pa.string(), "the text, with \\n as line end and no space around it"),
            column("num_bytes", pa.int32(), "UTF-8 bytes of the text"),
        ]
    ),
)

PAIR_SCORES = Table(
    "pair_scores",
    "one minimal pair as one subject scores its two sentences",
    1,
    True,
    ("pair_id",),
    pa.schema(
        [
            column("pair_id", ID, "the pair"),
            RUN,
            column("subject_id", ID, "a student or a teacher"),
            column("subject", ID, "student or teacher"),
            column("suite", ID, "the suite's name"),
            column("suite_digest", ID, "digest of the sorted ids of the pairs that were scored"),
            _SET,
            _PHENOMENON,
            column("nats_good", pa.float64(), "-log p(good sentence | start), without an end"),
            column("nats_bad", pa.float64(), "the same of the bad sentence"),
            column("num_symbols_good", pa.int32(), "symbols of the good sentence, as it reads it"),
            column("num_symbols_bad", pa.int32(), "symbols of the bad sentence"),
            column("num_right", pa.float64(), "1 if the good one is likelier, 0.5 for a tie, or 0"),
        ]
    ),
)
