"""The README.md inside a student's folder: what it is, what it was made from, how to load it."""

from collections.abc import Sequence

from flows.night import Tonight

_CARD = """---
library_name: transformers
pipeline_tag: text-generation
tags: [stillhouse, distillation]
---

# {preset} of line {line}, night {night}

A super tiny language model ({role}), trained by Stillhouse on {num_documents} short stories
that the teacher `{teacher}` wrote from the controlled vocabulary `{vocabulary}`.

| what | value |
|---|---|
| student id | `{student}` |
| objective | {objective} |
| target tokens seen | {num_tokens:,} (repeats counted) |
| teacher digest | `{teacher_digest}` |

{reads}

    from transformers import AutoModelForCausalLM, AutoTokenizer
    model, tokenizer = AutoModelForCausalLM.from_pretrained("."), AutoTokenizer.from_pretrained(".")
"""

_WORDS_LINE = """\
It reads the start symbol, then perhaps a line `Words: a, b, c`, then writes a story. It knows
nothing but such stories."""

_INSTRUCT = """\
It reads the start symbol, then perhaps some of these lines, in any order, before the last one,
then writes a story. It knows nothing but such stories.

{lines}
    Text:"""


def model_card(
    tonight: Tonight,
    role: str,
    student: str,
    num_documents: int,
    instruct_lines: Sequence[str] | None,
) -> str:
    """The card's text; it holds no clock, so the same student has the same card.

    instruct_lines: those that it was trained on; None: it reads the line of its words.
    """
    recipe = tonight.recipe
    distilled = (
        f"sampled teacher targets, weight {recipe.train.alpha}, beside the text's own next token"
    )
    return _CARD.format(
        preset=recipe.train.preset,
        line=tonight.claim.line,
        night=tonight.claim.night,
        role=role,
        num_documents=num_documents,
        teacher=tonight.teacher.name,
        vocabulary=tonight.vocabulary.name,
        student=student,
        objective=distilled if role == "challenger" else "plain cross entropy",
        num_tokens=recipe.train.num_tokens,
        teacher_digest=tonight.teacher.digest,
        reads=_reads(instruct_lines),
    )


def _reads(instruct_lines: Sequence[str] | None) -> str:
    if instruct_lines is None:
        return _WORDS_LINE
    return _INSTRUCT.format(lines="\n".join(f"    {name}: ..." for name in instruct_lines))
