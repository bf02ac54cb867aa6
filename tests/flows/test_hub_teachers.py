"""A teacher of the hub: recorded at its first pull, checked whenever it is found, used without a
network. The hub is a small one on loopback; commands run in processes of their own, as
huggingface_hub reads its settings once.
"""

import shutil
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import pytest

from flows.hub_teachers import HUB_TEACHERS, hub_folder, is_hub_id
from flows.recipes import load_recipe
from flows.teachers import describe_teacher, find_teacher, load_model
from tests.flows.command import Outcome, in_process, stillhouse
from tests.flows.small_hub import COMMIT, HUB_ID, SmallHub, small_hub
from warehouse.identity import sha256_file

PACKAGED = "smollm2-135m-instruct-q4"


@dataclass(frozen=True, slots=True)
class Place:
    """A hub that serves a teacher of bfloat16 weights, and an empty cache."""

    hub: SmallHub
    cache: Path

    @property
    def folder(self) -> Path:
        return hub_folder(HUB_ID, self.cache)

    @property
    def record(self) -> Path:
        return self.folder.with_name(f"{self.folder.name}.SHA256SUMS")

    def pull(self, model: str = HUB_ID, **environment: str) -> Outcome:
        cache = {"STILLHOUSE_CACHE": str(self.cache), "HF_HOME": str(self.cache / "hf")}
        settings: Mapping[str, str] = {**self.hub.environment(), **cache, **environment}
        return stillhouse(["teacher", "pull", model], settings)


@pytest.fixture
def place(tiny_teacher_folder: Path, tmp_path: Path) -> Iterator[Place]:
    served = Path(shutil.copytree(tiny_teacher_folder, tmp_path / "served"))
    _make_bfloat16(served / "model.safetensors")
    (served / "pytorch_model.bin").write_bytes(b"a pickle")
    (served / "README.md").write_text("a card")
    with small_hub(served) as hub:
        yield Place(hub, tmp_path / "cache")


def _make_bfloat16(weights: Path) -> None:
    import torch
    from safetensors.torch import load_file, save_file

    tensors = {name: tensor.to(torch.bfloat16) for name, tensor in load_file(weights).items()}
    save_file(tensors, weights, metadata={"format": "pt"})


def _refusal(outcome: Outcome) -> str:
    assert outcome.code == 2
    assert outcome.out == ()
    [line] = [line for line in outcome.errors if line.startswith("stillhouse: ")]
    assert line == outcome.errors[-1]
    return line


def test_the_first_pull_is_recorded_and_needs_no_network_afterwards(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    place.hub.num_failures = 1
    first = place.pull()
    assert (first.code, first.out) == (0, (str(place.folder),))
    assert "no answer from the hub: trying again in 1 s" in first.errors
    names = {file.name for file in place.folder.iterdir()}
    assert {"model.safetensors", "config.json", "tokenizer.json"} <= names
    assert names.isdisjoint({"pytorch_model.bin", "README.md", ".cache"})
    heading, *lines = place.record.read_text().splitlines()
    assert heading == f"# {HUB_ID}, commit {COMMIT}"
    assert lines == [f"{sha256_file(place.folder / name)}  {name}" for name in sorted(names)]
    assert not [request for request in place.hub.requests if "pytorch_model" in request]

    num_requests = len(place.hub.requests)
    monkeypatch.setenv("STILLHOUSE_CACHE", str(place.cache))
    teacher = find_teacher(HUB_ID, print)
    assert teacher.digest == describe_teacher("there", place.folder).digest
    model = load_model(teacher, load_recipe("smoke").teacher, can_write=True)
    assert {str(parameter.dtype) for parameter in model.parameters()} == {"torch.float32"}
    assert len(place.hub.requests) == num_requests


def test_other_bytes_are_refused_here_and_on_the_hub(place: Place) -> None:
    assert place.pull().code == 0
    record, weights = place.record.read_text(), place.folder / "model.safetensors"
    damaged = bytearray(weights.read_bytes())
    damaged[-1] ^= 1
    weights.write_bytes(damaged)
    assert "found model.safetensors changed or missing" in _refusal(place.pull())

    shutil.rmtree(place.folder)
    served = place.hub.folder / "tokenizer_config.json"
    served.write_text(served.read_text() + "\n")
    line = _refusal(place.pull())
    assert f"expected tokenizer_config.json of commit {COMMIT} with sha256" in line
    assert str(place.record) in line
    assert not place.folder.exists()

    served.write_text(served.read_text()[:-1])
    assert place.pull().code == 0
    assert place.record.read_text() == record


def test_a_hub_that_serves_other_weights_than_it_says_is_refused(place: Place) -> None:
    place.hub.listed["model.safetensors"] = "ab" * 32
    assert f"with sha256 {'ab' * 32}; the hub served" in _refusal(place.pull())
    assert not place.folder.exists()
    assert not place.record.exists()


def test_a_model_without_safetensors_is_refused_before_it_is_fetched(place: Place) -> None:
    (place.hub.folder / "model.safetensors").unlink()
    assert "expected *.safetensors on the hub, found" in _refusal(place.pull())
    assert not [request for request in place.hub.requests if "/resolve/" in request]


def test_a_hub_without_the_model_and_one_that_is_not_there(place: Place) -> None:
    assert "HTTP 404); check the id" in _refusal(place.pull("someone/other"))
    nobody = {"HF_ENDPOINT": "http://127.0.0.1:9"}
    line = _refusal(place.pull(**nobody))
    assert "no answer (" in line
    assert f"use {PACKAGED}" in line


@pytest.mark.parametrize("teacher", [HUB_ID, *HUB_TEACHERS])
def test_a_hub_teacher_without_a_network_names_the_package_route(
    teacher: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("STILLHOUSE_CACHE", str(tmp_path))
    refused = in_process("teacher", "pull", teacher)
    assert refused.exit_code == 2
    line = refused.stderr.splitlines()[-1]
    assert line.startswith("stillhouse: ")
    assert f"HF_HUB_OFFLINE set; unset it, or use {PACKAGED}" in line


def test_every_named_teacher_is_listed(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("STILLHOUSE_CACHE", str(tmp_path))
    [named] = HUB_TEACHERS.values()
    hub_folder(named.hub_id, tmp_path).mkdir(parents=True)
    told = {line.split()[0]: line for line in in_process("teacher", "list").stdout.splitlines()}
    assert told.keys() == {PACKAGED, named.name}
    assert told[PACKAGED].endswith("(not pulled)")
    assert told[named.name].endswith("(pulled)")


@pytest.mark.parametrize(
    ("model", "is_one"),
    [
        ("HuggingFaceTB/SmolLM2-135M-Instruct", True),
        ("a/b", True),
        ("a/b/c", False),
        ("../b", False),
        ("a/..", False),
        ("a/b..c", False),
        ("a--b/c", False),
        ("/a/b", False),
        ("a/b\n", False),
        ("a/" + "b" * 96, False),
        ("-a/b", False),
    ],
)
def test_only_owner_and_name_are_a_hub_id(model: str, is_one: bool) -> None:
    assert is_hub_id(model) is is_one
