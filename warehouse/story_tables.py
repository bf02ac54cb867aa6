"""Tables of what the teacher made: prompts, stories, words, verdicts and targets."""

import pyarrow as pa

from warehouse.columns import ID, RUN, Table, column

PROMPTS = Table(
    "prompts",
    "one prompt of the plan",
    1,
    True,
    ("prompt_id",),
    pa.schema(
        [
            column("prompt_id", ID, "digest(prompt part, vocabulary digest, seed, index)"),
            RUN,
            column("vocabulary", ID, "name of the controlled vocabulary"),
            column("vocabulary_digest", ID, "digest of the vocabulary's words and forms"),
            column("seed", pa.int64(), "seed of the plan"),
            column(
                "plan_index", pa.int64(), "place in the plan; plan[i] depends on (seed, i) only"
            ),
            column("verb", ID, "required verb (lemma)"),
            column("noun", ID, "required noun (lemma)"),
            column("adjective", ID, "required adjective (lemma)"),
            column("features", pa.list_(pa.string()), "story features asked for, sorted"),
            column("text", pa.string(), "what the teacher was told, before its chat template"),
        ]
    ),
)

STORIES = Table(
    "stories",
    "one attempt at a prompt, accepted or not",
    1,
    True,
    ("story_id",),
    pa.schema(
        [
            column("story_id", ID, "digest(prompt_id, teacher digest, sampling, attempt)"),
            RUN,
            column("prompt_id", ID, "the prompt that ordered it"),
            column("attempt", pa.int16(), "0 for the first try of its prompt"),
            column("plan_index", pa.int64(), "the prompt's place in the plan"),
            column("teacher_digest", ID, "digest of the teacher's folder"),
            column("numerics", ID, "engine, versions, dtype, device class, threads"),
            column("text", pa.string(), "the story"),
            column("doc_id", ID, "digest of the text: equal texts have equal doc_id"),
            column(
                "split_digest", ID, "digest of the sorted lower-case word triple: decides held out"
            ),
            column("accepted", pa.bool_(), "true if every verdict passed"),
            column(
                "reason", pa.string(), "first verdict that failed; null if accepted", nullable=True
            ),
            column("num_words", pa.int32(), "words in the text"),
            column("num_unknown_words", pa.int32(), "words outside the vocabulary"),
            column("num_required_hit", pa.int8(), "required words present in any form, 0 to 3"),
            column(
                "num_tokens", pa.int32(), "tokens that the teacher wrote, its end symbol included"
            ),
            column("num_bytes", pa.int32(), "UTF-8 bytes of the text"),
        ]
    ),
)

WORDS = Table(
    "words",
    "one word (lower case) in the accepted stories of one shard",
    1,
    True,
    ("word",),
    pa.schema(
        [
            column("word", pa.string(), "lower-case word as written"),
            RUN,
            column("shard", pa.int32(), "shard number in the run"),
            column("in_vocabulary", pa.bool_(), "true if it is a form of the vocabulary"),
            column(
                "num_occurrences", pa.int64(), "times it occurs in the shard's accepted stories"
            ),
            column("story_ids", pa.list_(pa.string()), "accepted stories that hold it, sorted"),
        ]
    ),
)

VERDICTS = Table(
    "verdicts",
    "what a later pass, which sees other shards, says of an accepted story",
    1,
    True,
    ("story_id",),
    pa.schema(
        [
            column("story_id", ID, "the story spoken of; it is not used any more"),
            RUN,
            column("reason", pa.string(), "duplicate"),
            column("other_story_id", ID, "the older story that it repeats"),
        ]
    ),
)

TARGETS = Table(
    "targets",
    "one document with what the teacher says of each next token",
    1,
    True,
    ("doc_id",),
    pa.schema(
        [
            column("doc_id", ID, "digest of the text"),
            RUN,
            column("story_id", ID, "the story that holds the text"),
            column("teacher_digest", ID, "digest of the teacher's folder"),
            column(
                "num_context_tokens", pa.int32(), "tokens before the first target (prompt or start)"
            ),
            column(
                "input_ids",
                pa.list_(pa.int32()),
                "teacher ids of text + end; target t predicts it[t]",
            ),
            column("n_targets", pa.list_(pa.uint8()), "unique ids drawn at each position"),
            column("target_ids", pa.list_(pa.int32()), "flat; ascending inside a position"),
            column("target_counts", pa.list_(pa.uint8()), "flat; sums to R at each position"),
            column("entropy", pa.list_(pa.float16()), "nats of the teacher's distribution at t"),
            column(
                "teacher_nll",
                pa.list_(pa.float16()),
                "nats: -log p(input_ids[t]); end ids are one event",
            ),
            column(
                "word_start_logmass",
                pa.list_(pa.float16()),
                "log of the teacher's mass on ids that begin with whitespace or end the story",
            ),
        ]
    ),
)
