"""Tables of how far students are from their teachers, by how open the teacher finds a place."""

import pyarrow as pa

from warehouse.columns import ID, RUN, Table, bin_columns, column

DISTANCES = Table(
    "distances",
    "the positions of one held-out document where the teacher's entropy lies in one band, as one "
    "student and its teacher see them",
    1,
    True,
    ("doc_id", "band"),
    pa.schema(
        [
            column("doc_id", ID, "the document"),
            RUN,
            column("subject_id", ID, "the student"),
            column("teacher_digest", ID, "digest of the teacher's folder"),
            column(
                "context",
                ID,
                "prompt: the teacher reads the document under the prompt that ordered it, if one "
                "did; start: after its start symbol; a student always reads it after its own",
            ),
            column("unit", ID, "the generation run whose held-out stories these are"),
            column(
                "band",
                pa.int8(),
                "of the teacher's entropy: 1 where it is surest; band_reliability has the bounds",
            ),
            column(
                "num_positions",
                pa.int32(),
                "symbols compared, the end symbol too; none where the two read the document in "
                "other pieces or it is too long for one of them",
            ),
            column(
                "forward_kl",
                pa.float64(),
                "nats, summed: KL(teacher || student), the teacher conditioned on the student's "
                "ids",
            ),
            column("reverse_kl", pa.float64(), "nats, summed: KL(student || teacher), likewise"),
            column(
                "accepted",
                pa.float64(),
                "summed: probability that speculative sampling keeps the student's draft, the sum "
                "of min(teacher, student)",
            ),
            column(
                "kept_mass", pa.float64(), "summed: the teacher's probability of the student's ids"
            ),
            column(
                "bin_num_tokens",
                pa.list_(pa.int32()),
                "symbols whose likeliest event has a probability in [i/15, (i+1)/15) for the "
                "student",
            ),
            column(
                "bin_num_right",
                pa.list_(pa.int32()),
                "of them, those where the likeliest event came",
            ),
            column(
                "bin_confidence_sum",
                pa.list_(pa.float64()),
                "the sum of those probabilities in each bin",
            ),
        ]
    ),
)

BAND_RELIABILITY = Table(
    "band_reliability",
    "one of 15 bins of confidence of one student on one suite of one night, of the positions where "
    "the teacher's entropy lies in one band: does the student know when it does not know",
    1,
    True,
    ("role", "suite", "band", "bin"),
    pa.schema(
        [
            column("line", ID, "the recipe's name"),
            column("night", ID, "the night of the evaluation"),
            column("role", ID, "challenger, control or champion"),
            column("suite", ID, "selection or confirmation"),
            column("subject_id", ID, "the student"),
            RUN,
            column("band", pa.int8(), "of the teacher's entropy: 1 where it is surest"),
            column("min_entropy", pa.float64(), "nats, least in the band"),
            column(
                "max_entropy",
                pa.float64(),
                "nats, where the next band begins; null: nowhere",
                nullable=True,
            ),
            *bin_columns(
                "symbols compared, ends included, whose likeliest event has a probability in the "
                "bin for the student"
            ),
        ]
    ),
)
