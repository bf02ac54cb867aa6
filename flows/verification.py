"""Everything in a lake's folder against what was written: the lake's files, then its students."""

from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from distill.errors import DistillError
from flows.errors import FlowsError
from flows.students import load_checked_student, student_folder
from warehouse.errors import FileDamagedError, ManifestDamagedError
from warehouse.lake import Lake
from warehouse.schemas import CHECKPOINTS
from warehouse.verification import Defect, verify_lake


def lake_defects(root: Path) -> list[Defect]:
    """The files that verify_lake finds, and every student that is not the one of its row; none is
    looked at where the rows cannot be read, which the files tell. Raises as verify_lake. Cost:
    reads every byte once, and loads each student.
    """
    defects = verify_lake(root)
    with suppress(FileDamagedError, ManifestDamagedError), Lake.open(root) as lake:
        defects.extend(_changed_students(lake))
    return defects


def _changed_students(lake: Lake) -> Iterator[Defect]:
    ids = lake.read(CHECKPOINTS.name, columns=["student_id"]).column("student_id").to_pylist()
    for student in sorted(ids):
        try:
            load_checked_student(lake, student)
        except (DistillError, FlowsError, OSError) as exc:
            folder = student_folder(lake, student)
            yield Defect(folder, CHECKPOINTS.name, str(exc).removeprefix(f"student {folder}: "))
