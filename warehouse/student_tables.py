"""Tables of what was made of it: students, their training, their scores, and the nights'
decisions.
"""

import pyarrow as pa

from warehouse.columns import ID, RUN, Table, bin_columns, column

TRAINING_DOCUMENTS = Table(
    "training_documents",
    "one document that one student was trained on",
    1,
    True,
    ("student_id", "doc_id"),
    pa.schema(
        [
            column("student_id", ID, "the student"),
            RUN,
            column("doc_id", ID, "the document"),
            column("targets_run_id", ID, "the capture run whose targets were read"),
            column("num_tokens", pa.int32(), "student tokens of the document, end symbol included"),
        ]
    ),
)

CHECKPOINTS = Table(
    "checkpoints",
    "one trained student",
    1,
    True,
    ("student_id",),
    pa.schema(
        [
            column("student_id", ID, "digest of all that the weights follow from"),
            RUN,
            column(
                "role",
                ID,
                "challenger or control (plain cross entropy, same start, documents, steps)",
            ),
            column("preset", ID, "stlm-1m, ..."),
            column("num_parameters", pa.int64(), "trained parameters, tied ones once"),
            column("token_space_digest", ID, "what its ids mean"),
            column("training_set_digest", ID, "digest of the documents and their captures"),
            column("teacher_digest", ID, "the teacher of its targets"),
            column(
                "alpha", pa.float64(), "weight of the teacher's draws; 0 is plain cross entropy"
            ),
            column("num_documents", pa.int64(), "documents trained on"),
            column(
                "num_documents_left_out", pa.int64(), "documents that hold an id the space lacks"
            ),
            column(
                "dropped_draw_share", pa.float64(), "share of draws on ids that the space lacks"
            ),
            column("num_steps", pa.int64(), "optimizer steps"),
            column("num_tokens", pa.int64(), "target tokens seen, repeats counted"),
            column("weights_digest", ID, "digest of the weights' bytes by name"),
        ]
    ),
)

TRAIN_STEPS = Table(
    "train_steps",
    "one optimizer step of one student",
    1,
    True,
    ("student_id", "step"),
    pa.schema(
        [
            column("student_id", ID, "the student"),
            RUN,
            column("step", pa.int64(), "1 for the first"),
            column("num_tokens", pa.int64(), "target tokens seen so far"),
            column("loss", pa.float64(), "nats per target token"),
            column("learning_rate", pa.float64(), "of this step"),
            column("grad_norm", pa.float64(), "L2, before clipping"),
        ]
    ),
)

STUDENT_TEXTS = Table(
    "student_texts",
    "one text that one student wrote in the on-policy phase of its training",
    1,
    True,
    ("student_id", "step", "doc_id"),
    pa.schema(
        [
            column("student_id", ID, "the student"),
            RUN,
            column("step", pa.int64(), "optimizer step, by the weights before which it wrote"),
            column("doc_id", ID, "the document whose prefix it wrote after, and in whose place"),
            column("text", pa.string(), "what it wrote"),
            column("num_tokens", pa.int32(), "student tokens of the text, its end symbol included"),
            column(
                "is_finished",
                pa.bool_(),
                "true if it came to its end symbol; else it was cut off at the document's length",
            ),
            column(
                "jsd",
                pa.float64(),
                "nats per token: its loss, the mean divergence of student and teacher over it",
            ),
        ]
    ),
)

SCORES = Table(
    "scores",
    "one held-out document as one subject scores it",
    2,
    True,
    ("doc_id",),
    pa.schema(
        [
            column("doc_id", ID, "the document"),
            RUN,
            column("subject_id", ID, "a student, a unigram model or a teacher"),
            column("subject", ID, "student, unigram, teacher or prompted_teacher"),
            column("unit", ID, "the generation run whose held-out stories these are"),
            column("nats", pa.float64(), "-log p(document's symbols and its end symbol | start)"),
            column("nats_without_end", pa.float64(), "the same without the end symbol"),
            column("num_bytes", pa.int32(), "UTF-8 bytes of the document"),
            column("num_tokens", pa.int32(), "symbols scored, end included"),
            column(
                "top1_ids",
                pa.list_(pa.int32()),
                "the subject's likeliest id at each symbol, in its own ids",
                nullable=True,
            ),
            column(
                "bin_num_tokens",
                pa.list_(pa.int32()),
                "symbols whose likeliest event has a probability in [i/15, (i+1)/15); null for "
                "the unigram model",
                nullable=True,
            ),
            column(
                "bin_num_right",
                pa.list_(pa.int32()),
                "of them, those where the likeliest event came",
                nullable=True,
            ),
            column(
                "bin_confidence_sum",
                pa.list_(pa.float64()),
                "the sum of those probabilities in each bin",
                nullable=True,
            ),
        ]
    ),
)

EVALUATIONS = Table(
    "evaluations",
    "one metric of one subject on one suite",
    1,
    True,
    ("subject_id", "suite", "metric"),
    pa.schema(
        [
            column("subject_id", ID, "a student, a unigram model or a teacher"),
            RUN,
            column("line", ID, "the recipe's name"),
            column("night", ID, "the night of the evaluation"),
            column("role", ID, "challenger, control, champion, unigram, teacher, prompted_teacher"),
            column("suite", ID, "selection, confirmation, samples, canaries, or a frozen suite"),
            column("suite_digest", ID, "digest of the suite's sorted doc ids"),
            column(
                "metric", ID, "bits_per_byte, bits_per_byte_without_end, top1_agreement, ece, ..."
            ),
            column("value", pa.float64(), "point estimate"),
            column("low", pa.float64(), "2.5 % bound; -infinity where there is no interval"),
            column("high", pa.float64(), "97.5 % bound; infinity where there is no interval"),
            column("n", pa.int64(), "documents (or positions, or stories) behind the value"),
        ]
    ),
)

RELIABILITY = Table(
    "reliability",
    "one of 15 bins of confidence of one subject on one suite of one night: is it right as often "
    "as it says",
    1,
    True,
    ("role", "suite", "bin"),
    pa.schema(
        [
            column("line", ID, "the recipe's name"),
            column("night", ID, "the night of the evaluation"),
            column("role", ID, "challenger, control, champion, teacher, prompted_teacher"),
            column("suite", ID, "selection or confirmation"),
            column("subject_id", ID, "a student or a teacher"),
            RUN,
            *bin_columns(
                "symbols, ends included, whose likeliest event has a probability in the bin"
            ),
        ]
    ),
)

GENERATIONS = Table(
    "generations",
    "one story sampled from one student",
    2,
    True,
    ("student_id", "sample"),
    pa.schema(
        [
            column("student_id", ID, "the student"),
            RUN,
            column("sample", pa.int32(), "0 for the first"),
            column("words", pa.list_(pa.string()), "words that it was asked to use"),
            column("text", pa.string(), "what it wrote"),
            column("num_required_hit", pa.int8(), "of the words asked for, in any form"),
            column("num_words", pa.int32(), "words in the text"),
            column("num_unknown_words", pa.int32(), "words outside the vocabulary"),
            column(
                "num_copied_words",
                pa.int32(),
                "words of its longest run that stands in a document that the student was trained "
                "on; 0: none of 5 or more. This and what follows is null before version 2",
                nullable=True,
            ),
            column("copied_words", pa.string(), "that run, in lower case", nullable=True),
            column("copied_doc_id", ID, "the document that holds it, if any", nullable=True),
            column(
                "copied_share_8",
                pa.float64(),
                "share of its 8 word n-grams that stand in the training text; null for a shorter "
                "text",
                nullable=True,
            ),
            column("copied_share_16", pa.float64(), "the same of 16 words", nullable=True),
            column("copied_share_32", pa.float64(), "the same of 32 words", nullable=True),
        ]
    ),
)

PROMOTIONS = Table(
    "promotions",
    "one decision of one night, or one change of champion by hand",
    2,
    True,
    ("line", "night"),
    pa.schema(
        [
            column("line", ID, "the recipe's name"),
            column(
                "night",
                ID,
                "the night; by-hand/N, the line's Nth change of champion, where a person made it",
            ),
            RUN,
            column("challenger_id", ID, "the student just trained, or put there by hand"),
            column("champion_id", ID, "the student met; null for an empty place", nullable=True),
            column("promoted", pa.bool_(), "true if the challenger took the place"),
            column(
                "reason",
                ID,
                "first_student, better, not_better, not_confirmed, too_few_documents, "
                "champion_changed, gate:...; by hand: forced, put_back, rolled_back",
            ),
            column("explanation", pa.string(), "the reason with its figures, one sentence"),
            column(
                "margin", pa.float64(), "bits per byte that a difference must exceed", nullable=True
            ),
            column(
                "difference",
                pa.float64(),
                "challenger - champion on the selection set",
                nullable=True,
            ),
            column("low", pa.float64(), "2.5 % bound of the difference", nullable=True),
            column("high", pa.float64(), "97.5 % bound of the difference", nullable=True),
            column(
                "confirmation_difference",
                pa.float64(),
                "the same on the confirmation set",
                nullable=True,
            ),
            column("num_selection", pa.int64(), "documents of the selection set"),
            column("num_confirmation", pa.int64(), "documents of the confirmation set"),
            column(
                "smallest_difference",
                pa.float64(),
                "smallest gain (bits per byte) that these documents could have shown",
                nullable=True,
            ),
            column(
                "note",
                pa.string(),
                "why, as whoever changed it by hand said; null for a night's decision",
                nullable=True,
            ),
        ]
    ),
)
