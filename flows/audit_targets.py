"""An audit of a lake's targets: their teacher is asked again about some of the documents.

Every row is looked at for its form; a sample of documents, always the same one of a seed, for what
it says. The context that a text was read under and the text itself are taken from the lake's own
stories, prompts and imports.
"""

import heapq
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from distill.errors import DistillError
from distill.targets import CapturedDocument, CaptureFacts, check_facts, from_table
from distill.tokens import word_start_mask
from flows.errors import FlowsError
from flows.progress import track
from flows.recipes import TeacherConfig
from flows.teachers import (
    Say,
    Teacher,
    TeacherTokenizer,
    find_teacher,
    load_model,
    load_tokenizer,
    named_teachers,
)
from warehouse.identity import Json, seed_from
from warehouse.lake import Lake
from warehouse.schemas import TARGETS

if TYPE_CHECKING:
    from distill.audit import Check, DocumentAudit

_TEXTS = """
    SELECT s.story_id, s.text, p.text AS prompt
    FROM stories AS s JOIN prompts AS p ON p.prompt_id = s.prompt_id
    WHERE s.story_id IN (SELECT unnest(?::VARCHAR[]))
    UNION
    SELECT doc_id, text, '' FROM imports WHERE doc_id IN (SELECT unnest(?::VARCHAR[]))
"""


@dataclass(frozen=True, slots=True)
class Fault:
    """What is wrong with a document, or with a run."""

    where: str
    what: str


@dataclass(frozen=True, slots=True, eq=False)
class _Row:
    """A row of the table, its run, and what that promised."""

    captured: CapturedDocument
    run_id: str
    facts: CaptureFacts


@dataclass(frozen=True, slots=True, eq=False)
class _Reading:
    """A row of the sample and the ids that its text was read under."""

    row: _Row
    context_ids: list[int]


def audited_teacher(lake: Lake, model: str | None, say: Say) -> Teacher:
    """The teacher whose targets are audited: the one that is named, or of those that are pulled the
    one that the lake's targets are of. FlowsError if there is none, or the lake has several.
    """
    digests = {
        str(row["teacher_digest"])
        for row in lake.query("SELECT DISTINCT teacher_digest FROM targets").to_pylist()
    }
    if not digests:
        raise FlowsError(f"{lake.root}: expected targets to audit, found none; run a night first")
    if model is not None:
        teacher = find_teacher(model, say)
        if teacher.digest not in digests:
            raise FlowsError(
                f"--teacher {model}: expected a teacher that the targets of {lake.root} are of "
                f"({', '.join(sorted(digests))}), found {teacher.digest}"
            )
        return teacher
    pulled = [find_teacher(named.name, say) for named in named_teachers() if named.is_pulled]
    found = {teacher.digest: teacher for teacher in pulled if teacher.digest in digests}
    if len(digests) > 1 or not found:
        known = ", ".join(sorted(teacher.name for teacher in found.values())) or "none of them"
        raise FlowsError(
            f"{lake.root} has targets of {len(digests)} teacher{'s' if len(digests) > 1 else ''} "
            f"({', '.join(sorted(digests))}); pulled here: {known}; say which with --teacher, as "
            "the recipe's teacher.model does"
        )
    return next(iter(found.values()))


def audit_targets(lake: Lake, teacher: Teacher, *, num_documents: int, seed: int) -> list["Check"]:
    """The checks of the lake's targets of that teacher: the form of every row, then text, numbers
    and draws of at most num_documents documents, the same ones for the same lake and seed.
    """
    from distill.audit import judge

    reads = load_tokenizer(teacher)
    faults: list[Fault] = []
    rows = _rows(lake, teacher, reads, faults)
    sample = heapq.nsmallest(
        num_documents,
        rows,
        key=lambda row: seed_from("audit", seed, row.run_id, row.captured.doc_id),
    )
    checks = [_check_of("form of every row", faults)]
    texts = _texts(lake, [row.captured.story_id for row in sample])
    read = [_reading(row, texts, reads) for row in sample]
    strange = [fault for fault in read if isinstance(fault, Fault)]
    checks.append(_check_of(f"text of {len(sample)} documents", strange))
    readable = [reading for reading in read if isinstance(reading, _Reading)]
    audits = _asked_again(teacher, reads, readable) if readable else []
    return [*checks, *judge(audits)]


def _rows(
    lake: Lake, teacher: Teacher, reads: TeacherTokenizer, faults: list[Fault]
) -> Iterator[_Row]:
    """The rows of the teacher's runs, one shard after the other; what is wrong with the others goes
    to `faults`.
    """
    runs = lake.query(
        "SELECT DISTINCT run_id FROM targets WHERE teacher_digest = ? ORDER BY ALL",
        [teacher.digest],
    )
    for run_id in runs.column("run_id").to_pylist():
        found = lake.facts(TARGETS.name, run_id)
        try:
            facts = _promised(found, teacher, reads)
            check_facts(found, facts, f"run {run_id}")
        except DistillError as exc:
            faults.append(Fault(run_id, str(exc)))
            continue
        for rows in lake.shards(TARGETS.name, run_ids=[run_id]):
            try:
                documents = from_table(
                    rows, num_draws=facts.num_draws, vocab_size=facts.vocab_size, k=facts.k
                )
            except DistillError as exc:
                faults.append(Fault(run_id, str(exc)))
                continue
            yield from (_Row(document, run_id, facts) for document in documents)


def _promised(found: Mapping[str, Json], teacher: Teacher, reads: TeacherTokenizer) -> CaptureFacts:
    """What a run of this teacher must promise; R or k and the context are its own choice."""
    num_draws, k, context = (found.get(name) for name in ("num_draws", "k", "context"))
    return CaptureFacts(
        num_draws=num_draws if isinstance(num_draws, int) else 0,
        teacher_digest=teacher.digest,
        tokenizer_sha256=teacher.tokenizer_sha256,
        vocab_size=reads.vocab_size,
        context=str(context) if context in ("prompt", "start") else "prompt or start",
        mode="sampled" if k is None else "top_k",
        k=k if isinstance(k, int) else None,
    )


def _texts(lake: Lake, story_ids: Sequence[str]) -> dict[str, tuple[str, str]]:
    """By story_id, the text and what its teacher was told ("": nothing)."""
    rows = lake.query(_TEXTS, [story_ids, story_ids]).to_pylist()
    return {row["story_id"]: (row["text"], row["prompt"]) for row in rows}


def _reading(
    row: _Row, texts: Mapping[str, tuple[str, str]], reads: TeacherTokenizer
) -> "_Reading | Fault":
    """The row beside its text as the lake has it; a Fault if there is none or it is another."""
    captured = row.captured
    if captured.story_id not in texts:
        return Fault(captured.doc_id, f"expected story {captured.story_id} in the lake, found none")
    text, prompt = texts[captured.story_id]
    context_ids = reads.context_ids(prompt if row.facts.context == "prompt" else "")
    labels = [*reads.text_ids(text), reads.end_ids[0]]
    if captured.input_ids.tolist() != labels:
        return Fault(captured.doc_id, "expected the ids of its story's text, found others")
    if captured.num_context_tokens != len(context_ids):
        return Fault(
            captured.doc_id,
            f"expected a context of {len(context_ids)} tokens, as its {row.facts.context} has, "
            f"found {captured.num_context_tokens}",
        )
    return _Reading(row, context_ids)


def _asked_again(
    teacher: Teacher, reads: TeacherTokenizer, readings: Sequence[_Reading]
) -> list["DocumentAudit"]:
    from distill.audit import audit_document
    from distill.positions import TeacherIds

    tokenizer_json = (teacher.folder / "tokenizer.json").read_text(encoding="utf-8")
    mask = word_start_mask(tokenizer_json, vocab_size=reads.vocab_size, end_ids=reads.end_ids)
    ids = TeacherIds(reads.end_ids, mask)
    model = load_model(teacher, _how_to_run(teacher), can_write=False)
    audits = []
    with track("audit", len(readings), "documents") as bar:
        for reading in readings:
            captured, num_draws = reading.row.captured, reading.row.facts.num_draws
            audits.append(
                audit_document(model, captured, reading.context_ids, ids, num_draws=num_draws)
            )
            bar.count_tokens(captured.input_ids.size)
            bar.advance()
    return audits


def _check_of(check: str, faults: Sequence[Fault]) -> "Check":
    from distill.audit import Check

    return Check(
        check=check,
        found=faults[0].what if faults else "nothing wrong",
        allowed="nothing wrong",
        is_good=not faults,
        document=faults[0].where if faults else "",
        value=float(len(faults)),
        limit=0.0,
    )


def _how_to_run(teacher: Teacher) -> TeacherConfig:
    """On a GPU where torch sees one: what it moves is allowed for."""
    import torch

    device: Literal["cpu", "cuda"] = "cuda" if torch.cuda.is_available() else "cpu"
    return TeacherConfig(
        model=teacher.name, batch_size=1, threads=torch.get_num_threads(), device=device
    )
