"""A model by its name, loaded to be measured: a student of the lake, a student's folder, a teacher,
or any folder that transformers reads.

Nothing that a person typed becomes SQL or a path of the lake: a line, a night and an id are looked
up among those that the lake has. Weights are safetensors, and no code of a folder is run.
"""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from flows.errors import FlowsError
from flows.hub_teachers import HUB_TEACHERS, is_hub_id
from flows.recipes import TeacherConfig
from flows.students import load_checked_student
from flows.teacher_packages import PACKAGED_TEACHERS
from flows.teachers import (
    Say,
    TeacherTokenizer,
    find_teacher,
    load_model,
    load_tokenizer,
    local_folder,
)

if TYPE_CHECKING:
    from transformers import LlamaForCausalLM, PreTrainedModel

    from distill.tokens import TokenSpace
    from warehouse.lake import Lake

MAX_WINDOW = 2048
"""Ids read at once, where a model would read more: the logits of 2,048 positions are 0.4 GB at 49k
ids, and attention's cost grows with the square. Few documents are longer.
"""

_ROLE = re.compile(r"(champion|challenger|control)(/.*)?", re.DOTALL)
_STUDENT_ID = re.compile(r"[0-9a-f]{8,32}")
_SPACE_FILE = "token_space.json"


@dataclass(frozen=True, slots=True)
class LoadedModel:
    """A loaded model and how it reads: the ids of texts, the text of ids, the symbol that stands
    before a text (and why that one, where its tokenizer does not say so) and those that may end
    one, and how many ids it reads at once (None: any number).
    """

    name: str
    kind: Literal["student", "model"]
    model_id: str
    model: "PreTrainedModel"
    encode: Callable[[Sequence[str]], list[list[int]]]
    decode: Callable[[Sequence[int]], str]
    start: str
    why_start: str
    start_id: int
    end_ids: tuple[int, ...]
    window: int | None


def load_by_name(name: str, data: Path, say: Say) -> LoadedModel:
    """The model of that name, ready to be measured; FlowsError says what a name can be."""
    from warehouse.lake import Lake

    folder = local_folder(name)
    if _ROLE.fullmatch(name):
        with Lake.open(data) as lake:
            return _student_of_lake(name, lake, _student_in_role(lake, name))
    if folder is not None:
        return _student_folder(name, folder) if _is_student(folder) else _teacher(name, say)
    if _STUDENT_ID.fullmatch(name):
        with Lake.open(data) as lake:
            return _student_of_lake(name, lake, _student_with_id(lake, name))
    if name in PACKAGED_TEACHERS or name in HUB_TEACHERS or is_hub_id(name):
        return _teacher(name, say)
    names = ", ".join((*PACKAGED_TEACHERS, *HUB_TEACHERS))
    raise FlowsError(
        f"model {name!r}: expected champion/LINE, challenger/LINE or control/LINE, a student's id "
        f"(8 or more of its signs), a folder, a teacher ({names}) or a hub id (owner/name); found "
        "none of these"
    )


def _student_in_role(lake: "Lake", name: str) -> str:
    """The student that a role of a line names; of challengers and controls that of the line's
    newest measured night, unless the name says which.
    """
    role, _, rest = name.partition("/")
    line, _, night = rest.partition("/")
    ordinals = {
        claim.night: claim.ordinal for claim in lake.manifest.nights() if claim.line == line
    }
    if not ordinals:
        lines = sorted({claim.line for claim in lake.manifest.nights()})
        known = ", ".join(f"{role}/{known}" for known in lines) or "no line yet"
        raise FlowsError(f"model {name!r}: expected one of this lake ({known}), found none such")
    if role == "champion":
        champion = None if night else lake.manifest.champion(line)
        if champion is None:
            found = "a night behind the line" if night else "none yet"
            raise FlowsError(
                f"model {name!r}: expected the champion of a line, as champion/{line}, found "
                f"{found}; name challenger/{line} or a student's id"
            )
        return champion
    rows = lake.query(
        "SELECT DISTINCT night, subject_id FROM evaluations WHERE line = ? AND role = ?",
        [line, role],
    ).to_pylist()
    students = {row["night"]: str(row["subject_id"]) for row in rows}
    chosen = night or max(students, key=lambda known: ordinals.get(known, 0), default="")
    if chosen not in students:
        nights = ", ".join(sorted(students, key=lambda known: ordinals.get(known, 0))) or "none"
        raise FlowsError(
            f"model {name!r}: expected a night of {line} that was evaluated ({nights}), found none "
            "such"
        )
    return students[chosen]


def _student_with_id(lake: "Lake", beginning: str) -> str:
    from warehouse.schemas import CHECKPOINTS

    ids = lake.read(CHECKPOINTS.name, columns=["student_id"]).column("student_id").to_pylist()
    found: list[str] = sorted({student for student in ids if student.startswith(beginning)})
    if len(found) != 1:
        what = f"{len(found)} ({', '.join(found[:3])})" if found else "none"
        raise FlowsError(
            f"model {beginning!r}: expected one student of {lake.root} whose id begins so, found "
            f'{what}; see `stillhouse sql "select student_id, role from checkpoints"`'
        )
    return found[0]


def _student_of_lake(name: str, lake: "Lake", student: str) -> LoadedModel:
    return _reads_by_space(name, student, *load_checked_student(lake, student))


def _is_student(folder: Path) -> bool:
    return (folder / _SPACE_FILE).is_file()


def _student_folder(name: str, folder: Path) -> LoadedModel:
    from distill.students.save import load_student
    from distill.students.weights import weights_digest

    model, space = load_student(folder)
    return _reads_by_space(name, weights_digest(model), model, space)


def _reads_by_space(
    name: str, model_id: str, model: "LlamaForCausalLM", space: "TokenSpace"
) -> LoadedModel:
    from distill.evaluation.scoring import window_length
    from distill.tokens import read_tokenizer
    from flows.numerics import use_device

    use_device(model, _how_to_run(name))
    start = read_tokenizer(space.tokenizer_json).id_to_token(space.start_id)
    return LoadedModel(
        name=name,
        kind="student",
        model_id=model_id,
        model=model,
        encode=space.encode_batch,
        decode=space.decode,
        start=str(start),
        why_start="",
        start_id=space.start_id,
        end_ids=(space.end_id,),
        window=window_length(model, MAX_WINDOW),
    )


def _teacher(name: str, say: Say) -> LoadedModel:
    from distill.evaluation.causality import check_causal
    from distill.evaluation.scoring import window_length

    teacher = find_teacher(name, say)
    reads = load_tokenizer(teacher)
    model = load_model(teacher, _how_to_run(name), can_write=False)
    check_causal(model, name)

    def encode(texts: Sequence[str]) -> list[list[int]]:
        """A symbol's name inside a text is plain text, as students read it."""
        return [
            list(
                reads.tokenizer.encode(
                    text, add_special_tokens=False, split_special_tokens=True, verbose=False
                )
            )
            for text in texts
        ]

    return LoadedModel(
        name=name,
        kind="model",
        model_id=teacher.digest,
        model=model,
        encode=encode,
        decode=lambda ids: str(reads.tokenizer.decode(list(ids), skip_special_tokens=True)),
        start=str(reads.tokenizer.convert_ids_to_tokens(reads.start_id)),
        why_start=_why_start(reads),
        start_id=reads.start_id,
        end_ids=reads.end_ids,
        window=window_length(model, MAX_WINDOW),
    )


def _why_start(reads: TeacherTokenizer) -> str:
    named = reads.tokenizer.bos_token
    if reads.tokenizer.bos_token_id == reads.start_id:
        return ""
    if named is None:
        return "its tokenizer names no start symbol; this is what it ends a text with"
    return f"its tokenizer names {named}, but this stands between the texts that it was trained on"


def _how_to_run(name: str) -> TeacherConfig:
    """On a GPU where torch sees one: unlike a night's, these figures enter no digest."""
    import torch

    device: Literal["cpu", "cuda"] = "cuda" if torch.cuda.is_available() else "cpu"
    return TeacherConfig(model=name, batch_size=1, threads=torch.get_num_threads(), device=device)
