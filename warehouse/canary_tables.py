"""Tables of the canaries: secrets that were planted into imports, and how far students give them
away.
"""

import pyarrow as pa

from warehouse.columns import ID, RUN, Table, column

CANARIES = Table(
    "canaries",
    "one random secret, planted into documents of an import or, to compare with, into none",
    1,
    True,
    ("canary_id",),
    pa.schema(
        [
            column("canary_id", ID, "digest of the import's run and the secret"),
            RUN,
            column("name", ID, "the import that holds it"),
            column("sentence", pa.string(), "what stands at the beginning of its documents"),
            column("secret", pa.list_(pa.string()), "the random words in the sentence"),
            column("words", pa.list_(pa.string()), "the words that every secret is drawn from"),
            column("space_size", pa.int64(), "|R|: how many secrets there are"),
            column("seed", pa.int64(), "that the secrets were drawn with"),
            column("num_planted", pa.int64(), "documents that hold it; 0: never planted"),
            column("doc_ids", pa.list_(pa.string()), "these documents, sorted"),
        ]
    ),
)

EXPOSURES = Table(
    "exposures",
    "one canary as one student ranks it among secrets that nobody planted",
    1,
    True,
    ("student_id", "canary_id"),
    pa.schema(
        [
            column("student_id", ID, "the student"),
            RUN,
            column("line", ID, "the recipe's name"),
            column("night", ID, "the night of the evaluation"),
            column("role", ID, "challenger or control"),
            column("canary_id", ID, "the canary"),
            column("num_planted", pa.int64(), "documents of the import that hold it"),
            column("num_trained", pa.int64(), "documents with it that the student was trained on"),
            column("nats", pa.float64(), "-log p(the canary's sentence | start)"),
            column(
                "rank", pa.float64(), "its place by nats, 1 for the likeliest; a tie counts 1/2"
            ),
            column("num_ranked", pa.int64(), "secrets that were ranked, itself counted"),
            column(
                "exposure",
                pa.float64(),
                "bits: log2(num_ranked) - log2(rank); 1.44 is expected of a secret never seen",
            ),
        ]
    ),
)
