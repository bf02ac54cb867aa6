"""Tables of what the teacher made: prompts, stories, words, verdicts and targets."""

import pyarrow as pa

from warehouse.columns import ID, RUN, Table, column

PROMPTS = Table(
    "prompts",
    "one prompt of the plan",
    2,
    True,
    ("prompt_id",),
    pa.schema(
        [
            column(
                "prompt_id", ID, "digest(prompt part, family and vocabulary digests, seed, index)"
            ),
            RUN,
            column("vocabulary", ID, "name of the controlled vocabulary"),
            column("vocabulary_digest", ID, "digest of the vocabulary's words and forms"),
            column("seed", pa.int64(), "seed of the plan"),
            column(
                "plan_index", pa.int64(), "place in the plan; plan[i] depends on (seed, i) only"
            ),
            column("verb", ID, "word of the slot `verb`, if any", nullable=True),
            column("noun", ID, "word of the slot `noun`, if any", nullable=True),
            column("adjective", ID, "word of the slot `adjective`, if any", nullable=True),
            column("features", pa.list_(pa.string()), "values of all subsets asked for, sorted"),
            column("text", pa.string(), "what the teacher was told, before its chat template"),
            column("family", ID, "name of the prompt family", nullable=True),
            column("family_digest", ID, "digest of the family's slots and wording", nullable=True),
            column(
                "words",
                pa.list_(pa.string()),
                "required words (lemmas), in the order of their slots",
                nullable=True,
            ),
            column(
                "slots",
                pa.string(),
                "JSON: what each slot of the family holds, a list of texts by slot name",
                nullable=True,
            ),
            column("sentence", pa.string(), "sentence that must stand in the text", nullable=True),
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
            column("story_id", ID, "digest(prompt_id, teacher digest, engine, sampling, attempt)"),
            RUN,
            column("prompt_id", ID, "the prompt that ordered it"),
            column("attempt", pa.int16(), "0 for the first try of its prompt"),
            column("plan_index", pa.int64(), "the prompt's place in the plan"),
            column("teacher_digest", ID, "digest of the teacher's folder"),
            column("numerics", ID, "engine, versions, dtype, device class, threads"),
            column("text", pa.string(), "the story"),
            column("doc_id", ID, "digest of the text: equal texts have equal doc_id"),
            column(
                "split_digest",
                ID,
                "digest of the required words, or of a text without any: decides held out",
            ),
            column("accepted", pa.bool_(), "true if every verdict passed"),
            column(
                "reason", pa.string(), "first verdict that failed; null if accepted", nullable=True
            ),
            column("num_words", pa.int32(), "words in the text"),
            column("num_unknown_words", pa.int32(), "words outside the vocabulary"),
            column("num_required_hit", pa.int8(), "required words present in any form"),
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
    2,
    True,
    ("story_id",),
    pa.schema(
        [
            column("story_id", ID, "the story spoken of; it is not used any more"),
            RUN,
            column("reason", pa.string(), "duplicate (equal texts) or near_duplicate"),
            column("other_story_id", ID, "the older story that it repeats"),
            column(
                "similarity",
                pa.float64(),
                "Jaccard similarity of the two texts' sets of word n-grams; null before version 2",
                nullable=True,
            ),
        ]
    ),
)

CORPUS_MEASURES = Table(
    "corpus_measures",
    "one measure of how much alike the stories of one night are",
    1,
    True,
    ("measure",),
    pa.schema(
        [
            RUN,
            column("stories_run_id", ID, "the generation run whose stories were measured"),
            column("measure", ID, "opening_3, name_share, distinct_1, self_bleu, overlap, ..."),
            column("value", pa.float64(), "as measured on the stories that no verdict refused"),
            column("n", pa.int64(), "texts, words or n-grams behind the value"),
            column("bound", pa.float64(), "the recipe's limit; null: none binds it", nullable=True),
            column("is_within", pa.bool_(), "false: the night is not trained on"),
            column("evidence", pa.string(), "the worst cases with their counts, or nothing"),
        ]
    ),
)

TARGETS = Table(
    "targets",
    "one document with what the teacher says of each next token",
    2,
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
            column(
                "n_targets",
                pa.list_(pa.uint8()),
                "unique ids drawn at each position; of a top-k capture k",
            ),
            column("target_ids", pa.list_(pa.int32()), "flat; ascending inside a position"),
            column(
                "target_counts",
                pa.list_(pa.uint8()),
                "flat; sums to R at each position; null of a top-k capture",
                nullable=True,
            ),
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
            column(
                "topk_logprob",
                pa.list_(pa.float16()),
                "flat; log p of each target id, of a top-k capture; null of a sampled one",
                nullable=True,
            ),
            column(
                "tail_logmass",
                pa.list_(pa.float16()),
                "log of the teacher's mass on all other ids at t, of a top-k capture; else null",
                nullable=True,
            ),
        ]
    ),
)

IMPORTS = Table(
    "imports",
    "one document of a corpus that was brought in from outside, accepted or not",
    1,
    True,
    ("source_file", "source_row"),
    pa.schema(
        [
            column("doc_id", ID, "digest of the text: equal texts have equal doc_id"),
            RUN,
            column("name", ID, "what the import is called in this lake"),
            column("origin", pa.string(), "where it came from, as whoever imported it says"),
            column("licence", ID, "SPDX expression of the text's licence, as that person says"),
            column("source_file", pa.string(), "file inside the source, or split of a dataset"),
            column(
                "source_row",
                pa.int64(),
                "from 1: line of a JSONL file, row of a Parquet file or split, line at which a "
                "text document begins",
            ),
            column(
                "text",
                pa.string(),
                "the document, with \\n as line end and no white space around it; U+FFFD is what "
                "is not UTF-8; of a document that is too long only the beginning is kept",
            ),
            column("num_words", pa.int32(), "words in the text"),
            column("num_bytes", pa.int64(), "UTF-8 bytes of the document"),
            column(
                "split_digest", ID, "digest of the text's words in lower case: decides held out"
            ),
            column("accepted", pa.bool_(), "true if it may be used"),
            column(
                "reason",
                pa.string(),
                "not_utf8, empty, too_long, control_character, duplicate (an earlier document of "
                "the import) or in_lake (an accepted story of the lake); null if accepted",
                nullable=True,
            ),
        ]
    ),
)
