"""What cannot be done is said in one line with exit code 2, and leaves the lake as it is.

Wrong recipes are in test_recipes.py, Ctrl-C in test_stop.py, a full disk in
test_night_on_a_full_disk.py.
"""

import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

import pytest

from tests.flows.command import in_process, stillhouse
from tests.flows.smoke import Night, files_of, lake_digest, night_arguments

VOCABULARY = "lemma\tpart_of_speech\tforms\n"


@pytest.fixture
def data(smoke_night: Night, tmp_path: Path) -> Path:
    """A lake with one finished night, which a test may spoil."""
    return Path(shutil.copytree(smoke_night.data, tmp_path / "lake", symlinks=True))


@pytest.fixture
def teacher(tiny_teacher_folder: Path, tmp_path: Path) -> Path:
    """A teacher's folder that a test may spoil."""
    return Path(shutil.copytree(tiny_teacher_folder, tmp_path / "teacher"))


def _refusal(arguments: Sequence[str], data: Path) -> str:
    """The line on standard error of a command that must be refused and change nothing."""
    before = _kept(data)
    refused = in_process(*arguments, "--data", str(data))
    assert refused.exit_code == 2, refused.exception
    assert refused.stdout == ""
    [line] = refused.stderr.splitlines()
    assert line.startswith("stillhouse: ")
    assert _kept(data) == before
    return line.removeprefix("stillhouse: ")


def _kept(data: Path) -> dict[str, str]:
    """All of the lake but the note of who held a line last."""
    return {path: sha for path, sha in files_of(data).items() if not path.endswith(".lock")}


def _run(teacher: Path | str, *more: str) -> list[str]:
    """The command of the lake's second night."""
    return ["run", "smoke", "--set", f"teacher.model={teacher}", "--night", "2", *more]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (_run("here", "--night", "../x"), "night '../x': expected 1 to 63 letters"),
        (_run("here", "--only", "generate,distill"), "expected some of generate, capture, train"),
        (_run("here", "--set", "train.alpha"), "--set train.alpha: expected section.key=value"),
        (_run("/no/such/teacher"), "found none of these"),
        (
            _run("no-such-teacher"),
            "expected one of smollm2-135m-instruct-q4, smollm2-135m-instruct",
        ),
        (["tell", "--line", "other"], "line other: expected a champion, found none; run a night"),
        (["tell"], "name another line with --line (this lake has smoke)"),
        (["tell", "--line", "smoke", "--words", "a,,b"], "expected words without comma"),
        (["sql", "selec 1"], 'DuckDB cannot read the query: syntax error at or near "selec"'),
        (["sql", "select * from tales"], "no table or view 'tales' in this lake; there are: acc"),
        (["sql", "select nope from stories"], 'Referenced column "nope" not found'),
        (["sql", "copy stories to 'x'"], "this statement is not a SELECT; allowed is one SELECT"),
        (["sql", "select 1", "--csv", "--json"], "--csv and --json: expected one of them"),
    ],
)
def test_a_wrong_request_is_refused(arguments: list[str], said: str, data: Path) -> None:
    assert said in _refusal(arguments, data)


@pytest.mark.parametrize("name", ["no-such-teacher", "~nobody/teacher"])
def test_an_unknown_teacher_is_refused(name: str) -> None:
    refused = in_process("teacher", "show", name)
    assert refused.exit_code == 2
    [line] = refused.stderr.splitlines()
    assert f"teacher.model = {name}: expected one of smollm2-135m-instruct-q4, " in line


def _cut(file: Path) -> None:
    file.write_bytes(file.read_bytes()[:-100])


def _flip(file: Path, place: int | None = None) -> None:
    """Change one bit, by default in the middle."""
    data = bytearray(file.read_bytes())
    data[len(data) // 2 if place is None else place] ^= 1
    file.write_bytes(data)


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        (lambda f: (f / "model.safetensors").rename(f / "pytorch_model.bin"), "found a pickle"),
        (lambda f: _cut(f / "model.safetensors"), "model.safetensors expected, found Safe"),
        (
            lambda f: (f / "model.safetensors").write_bytes(b"x" * 99),
            "model.safetensors expected, found Safe",
        ),
        (lambda f: (f / "tokenizer.json").unlink(), "expected tokenizer.json in"),
        (lambda f: _cut(f / "tokenizer.json"), "tokenizer.json: expected JSON, found: "),
        (lambda f: (f / "config.json").write_text("{"), "config.json: expected JSON, found: "),
    ],
    ids=["pickle only", "cut weights", "no weights", "no tokenizer", "cut tokenizer", "no config"],
)
def test_a_broken_teacher_is_refused_before_a_night_is_claimed(
    spoil: Callable[[Path], object], said: str, teacher: Path, data: Path
) -> None:
    spoil(teacher)
    line = _refusal(_run(teacher), data)
    assert said in line
    assert str(teacher) in line


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (b"", "mine.tsv: expected at least one word below the header, found none"),
        (
            b"cat\tnoun\tcat\ndog\tnoun\tdog\ncat\tnoun\tcats,cat\n",
            "mine.tsv, line 4: expected each lemma once per part of speech, found 'cat' as noun "
            "again (first in line 2)",
        ),
        (b"cat\tnoum\tcat\n", "mine.tsv, line 2: expected a part of speech (verb, noun, adj"),
        (b"cat\tnoun\n", "mine.tsv, line 2: expected 3 tab-separated columns"),
        (b"caf\xe9\tnoun\tcaf\xe9\n", "mine.tsv, line 2: expected UTF-8, found byte 0xe9 at"),
        (b"cat\tnoun\tcat\n", "found no verb and no adjective; add to its file"),
    ],
)
def test_a_wrong_vocabulary_is_refused_by_file_and_line(
    text: bytes, said: str, teacher: Path, data: Path, tmp_path: Path
) -> None:
    path = tmp_path / "mine.tsv"
    path.write_bytes(VOCABULARY.encode() + text)
    assert said in _refusal(_run(teacher, "--set", f"prompts.vocabulary={path}"), data)


@pytest.mark.parametrize("name", ["age4", "/no/such/age3.tsv"])
def test_an_unknown_vocabulary_lists_the_known_ones(name: str, teacher: Path, data: Path) -> None:
    line = _refusal(_run(teacher, "--set", f"prompts.vocabulary={name}"), data)
    assert name in line
    assert "(age3, age5)" in line


def test_a_data_folder_that_is_a_file_is_refused(teacher: Path, tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.write_text("not a lake")
    for place in (file, file / "below"):
        refused = in_process(*_run(teacher), "--data", str(place))
        assert refused.exit_code == 2
        [line] = refused.stderr.splitlines()
        assert line.startswith(f"stillhouse: {place}/work: Not a directory; name a folder there")
    assert file.read_text() == "not a lake"


@pytest.fixture
def read_only(tmp_path: Path) -> Iterator[Path]:
    """A folder on a disk that takes no writes, not even from root."""
    if not sys.platform.startswith("linux"):
        pytest.skip("needs a tmpfs, which Linux has")
    folder = tmp_path / "disk"
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "ro,size=1m", "stillhouse-test", str(folder)]
    done = subprocess.run(mount, capture_output=True, text=True, check=False)
    if done.returncode:
        pytest.skip(f"needs the right to mount a tmpfs: {done.stderr.strip()}")
    yield folder
    subprocess.run(["umount", str(folder)], check=True)


def test_a_data_folder_that_takes_no_writes_is_refused(teacher: Path, read_only: Path) -> None:
    line = _refusal(_run(teacher), read_only)
    assert line.startswith(f"{read_only}/work: Read-only file system; allow it, or choose another")


@pytest.mark.parametrize(
    ("table", "place", "arguments"),
    [
        ("stories", 400, ["sql", "select * from stories"]),
        ("stories", -30, ["sql", "select count(*) from stories"]),
        ("checkpoints", -30, ["tell", "--line", "smoke"]),
        ("promotions", 400, ["run"]),
        ("promotions", -30, ["run"]),
    ],
)
def test_a_flipped_bit_is_met_by_what_reads_it_and_named(
    table: str, place: int, arguments: list[str], smoke_night: Night, data: Path
) -> None:
    digest = lake_digest(data)
    for file in (data / "lake" / table).rglob("*.parquet"):
        _flip(file, place)
    if arguments == ["run"]:
        *arguments, _, _ = night_arguments(data, smoke_night.teacher)
    line = _refusal(arguments, data)
    assert f"{data}/lake/{table}/" in line
    assert "is damaged: " in line
    assert "restore it from a backup (`stillhouse lake verify` lists" in line
    verified = in_process("lake", "verify", "--data", str(data))
    assert verified.exit_code == 1
    assert all(f"{data}/lake/{table}/" in named for named in verified.stdout.splitlines())
    assert lake_digest(data) == digest


@pytest.mark.kill
def test_a_night_that_meets_a_flipped_bit_stops_and_writes_nothing(
    smoke_night: Night, served: Mapping[str, str], data: Path
) -> None:
    file = sorted((data / "lake" / "stories").rglob("*.parquet"))[1]
    _flip(file, -30)
    before = _kept(data)
    night = night_arguments(data, smoke_night.teacher, "--only", "capture")
    outcome = stillhouse(night, served)
    assert outcome.code == 2
    assert outcome.errors[-1].startswith(f"stillhouse: {file} is damaged: ")
    assert _kept(data) == before


@pytest.mark.parametrize("arguments", [["sql", "select 1"], ["tell", "--line", "smoke"], ["run"]])
@pytest.mark.parametrize(
    "spoil", [lambda file: _flip(file, 100), lambda file: file.write_bytes(b"no database")]
)
def test_a_damaged_manifest_is_named(
    spoil: Callable[[Path], object], arguments: list[str], teacher: Path, data: Path
) -> None:
    manifest = data / "manifest.sqlite"
    spoil(manifest)
    line = _refusal(arguments if arguments != ["run"] else _run(teacher), data)
    assert line.startswith(f"{manifest} is damaged: ")
    assert line.endswith("restore it from a backup (the Parquet files are not touched)")
    verified = in_process("lake", "verify", "--data", str(data))
    assert verified.exit_code == 1
    assert verified.stdout.startswith(f"{manifest}: ")


@pytest.mark.parametrize(
    "arguments", [["sql", "select 1"], ["lake", "verify"], ["lake", "publish"], ["run"]]
)
def test_a_lake_of_a_newer_version_is_refused(
    arguments: list[str], teacher: Path, data: Path
) -> None:
    with sqlite3.connect(data / "manifest.sqlite") as connection:
        connection.execute("update lake_format set format = 7")
    line = _refusal(arguments if arguments != ["run"] else _run(teacher), data)
    assert line.startswith(f"lake {data}: has format 7, written by a newer stillhouse; this one")
    assert line.endswith("use a newer stillhouse")


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        (lambda f: _flip(f / "model.safetensors", -1), "expected weights of digest"),
        (lambda f: _cut(f / "model.safetensors"), "model.safetensors expected, found Safeten"),
        (lambda f: (f / "token_space.json").unlink(), "expected token_space.json and tokenizer"),
        (lambda f: (f / "config.json").write_text("{"), "config.json of a student expected"),
    ],
    ids=["flipped weights", "cut weights", "no token space", "cut config"],
)
def test_a_student_that_is_not_as_it_was_trained_tells_no_story(
    spoil: Callable[[Path], object], said: str, data: Path
) -> None:
    # The link still points into the lake that this one is a copy of.
    spoil(data / "models" / (data / "champion" / "smoke").resolve().name)
    line = _refusal(["tell", "--line", "smoke"], data)
    assert said in line
    assert str(data / "models") in line
