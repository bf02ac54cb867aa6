"""Nights whose stories are written by servers: nothing lost, nothing twice, no key anywhere."""

import os
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from pydantic import SecretStr

from datagen.engine_config import EngineConfig
from flows.engines import read_key
from flows.errors import FlowsError
from flows.numerics import numerics_class, writer_class
from flows.recipes import identity_of, load_recipe
from tests.datagen.flaky_server import MODEL, Fault, FlakyServer, flaky_server
from tests.flows.command import Outcome, in_process, several
from tests.flows.smoke import lake_digest, night_arguments
from warehouse.lake import Lake

KEY = "sk-planted-5b1e9c7d20f34a68"
_VARIABLE = "STILLHOUSE_TEST_KEY"
_FIRST_SHARD = 12  # most attempts at the smoke recipe's first shard: 4 prompts, 3 tries


def _command(data: Path, teacher: Path, server: FlakyServer, stages: str) -> list[str]:
    settings = {
        "night.num_prompts": 24,
        "sampling.soft_limit_tokens": 280,
        "engine.kind": "openai",
        "engine.urls": f'["{server.url}"]',
        "engine.model": MODEL,
        "engine.concurrency": 8,
        "engine.timeout_s": 1.0,
        "engine.first_wait_s": 0.001,
        "engine.max_wait_s": 0.02,
        "engine.api_key_env": _VARIABLE,
    }
    options = [part for key, value in settings.items() for part in ("--set", f"{key}={value}")]
    return night_arguments(data, teacher, *options, "--only", stages)


def _rows(data: Path, query: str) -> list[dict[str, Any]]:
    with Lake.open(data) as lake:
        rows: list[dict[str, Any]] = lake.query(query).to_pylist()
    return rows


def _files_with(text: bytes, *folders: Path) -> list[Path]:
    files = (path for folder in folders for path in folder.rglob("*") if path.is_file())
    return [path for path in files if text in path.read_bytes()]


@dataclass(frozen=True, slots=True)
class Nights:
    """The same night by an honest, a flaky and a broken server (the last one's first try, and the
    second one at the honest server), and how the four commands ended.
    """

    honest: Path
    flaky: Path
    broken: Path
    outcomes: Sequence[Outcome]
    met: Counter[Fault]
    answered: int
    tokens: Counter[str]
    keys: frozenset[str]
    asked_once: int
    broken_url: str


@pytest.fixture(scope="module")
def nights(
    tiny_teacher_folder: Path,
    served: Mapping[str, str],
    tmp_path_factory: pytest.TempPathFactory,
) -> Nights:
    base = tmp_path_factory.mktemp("remote")
    honest, flaky, broken = (base / name for name in ("honest", "flaky", "broken"))
    faults = [fault for fault in Fault if fault is not Fault.DRIP]
    refusal = (401, f"Incorrect API key provided: {KEY}")
    with (
        flaky_server() as good,
        flaky_server(faults=faults, hang_s=5) as bad,
        flaky_server(refusal=refusal, refuses_from=_FIRST_SHARD) as ill,
    ):
        outcomes = several(
            [
                _command(honest, tiny_teacher_folder, good, "generate"),
                _command(flaky, tiny_teacher_folder, bad, "generate,capture"),
                _command(broken, tiny_teacher_folder, ill, "generate"),
                _command(broken, tiny_teacher_folder, good, "generate"),
            ],
            {**served, _VARIABLE: KEY},
        )
    assert [outcome.code for outcome in outcomes] == [0, 0, 2, 0], outcomes
    return Nights(
        honest,
        flaky,
        broken,
        outcomes,
        bad.met,
        sum(bad.answered.values()),
        bad.tokens,
        frozenset(headers["Authorization"] for headers in bad.headers),
        sum(times == 1 for times in good.asked.values()),
        ill.url,
    )


def _stories(data: Path) -> dict[str, str]:
    """Each story's row, by its id."""
    with Lake.open(data) as lake:
        rows = lake.read("stories").to_pylist()
    return {row["story_id"]: repr(row) for row in rows}


def test_a_night_by_a_flaky_server_is_that_of_an_honest_one(nights: Nights) -> None:
    assert len(nights.met) > 12
    assert _stories(nights.flaky) == _stories(nights.honest)
    assert lake_digest(nights.broken) == lake_digest(nights.honest)


def test_a_refused_key_ends_the_night_with_one_line_and_keeps_its_shards(nights: Nights) -> None:
    said = nights.outcomes[2].errors[-1]
    expected = f"stillhouse: server {nights.broken_url}: expected an answer of model {MODEL}, found"
    assert said.startswith(f"{expected} status 401; see to the key that engine.api_key_env")
    # The honest server wrote its own night, and of the broken one what was not committed.
    assert nights.asked_once > 0


def test_no_key_is_left_anywhere(nights: Nights) -> None:
    assert nights.keys == {f"Bearer {KEY}"}
    assert Fault.TELLS_KEY in nights.met
    told = [line for outcome in nights.outcomes for line in (*outcome.out, *outcome.errors)]
    assert not [line for line in told if KEY[3:] in line]
    folders = (nights.honest.parent, Path(os.environ["PREFECT_HOME"]))
    assert _files_with(KEY[3:].encode(), *folders) == []


def test_tokens_add_up_and_rows_name_the_writer(nights: Nights) -> None:
    [found] = _rows(
        nights.flaky,
        "select sum(num_tokens)::int as out, count(*)::int as attempts, "
        "count(distinct story_id)::int as stories, list(distinct numerics) as classes from stories",
    )
    assert found["out"] == nights.tokens["completion_tokens"]
    assert found["attempts"] == found["stories"] == nights.answered
    assert found["classes"] == [f"openai:{MODEL}"]
    [cost] = _rows(
        nights.flaky,
        "select sum(num_prompt_tokens)::int as told, sum(num_tokens)::int as out from costs",
    )
    assert cost == {
        "told": nights.tokens["prompt_tokens"],
        "out": nights.tokens["completion_tokens"],
    }
    [captured] = _rows(nights.flaky, "select count(*)::int as n from targets")
    assert captured["n"] > 0


def _engine(**values: Any) -> EngineConfig:
    return EngineConfig.model_validate(
        {"kind": "openai", "urls": ["http://a/v1"], "model": "m", **values}
    )


def test_the_claimed_class_names_the_writer_before_the_capturing_teacher() -> None:
    teacher = load_recipe("smoke").teacher
    local = numerics_class(teacher, EngineConfig())
    assert writer_class(teacher, EngineConfig()) == local
    assert writer_class(teacher, _engine()) == "openai:m"
    assert numerics_class(teacher, _engine()) == f"openai:m; {local}"


def test_where_and_how_servers_are_asked_is_no_part_of_what_was_asked_for() -> None:
    openai = ["engine.kind=openai", "engine.model=m", "sampling.soft_limit_tokens=280"]

    def identity(*more: str) -> Mapping[str, Any]:
        return identity_of(load_recipe("smoke", [*openai, *more]))

    first = identity('engine.urls=["http://a/v1"]', "engine.api_key_env=KEY")
    assert first == identity('engine.urls=["http://b/v1", "http://c/v1"]', "engine.concurrency=3")
    assert first["engine"] == {"kind": "openai", "model": "m"}
    assert first != identity('engine.urls=["http://a/v1"]', "engine.model=n")
    assert "engine" not in identity_of(load_recipe("smoke"))


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        (["engine.kind=opnai"], "engine.kind"),
        (["engine.kind=openai"], "engine: kind = 'openai': expected urls, found none; add it"),
        (["engine.url=http://a"], "unknown key engine.url; did you mean urls?"),
        (["engine.api_key=sk-planted-1"], "unknown key engine.api_key; did you mean api_key_env?"),
        (["engine.api_key_env=sk-planted-1"], "engine.api_key_env: expected the name of an"),
        (['engine.urls=["http://sk-planted-1@a"]'], "engine.urls: expected addresses like"),
        (
            ["engine.kind=openai", 'engine.urls=["http://a"]', "engine.model=m"],
            "sampling.soft_limit_tokens = 200: expected sampling.max_new_tokens, 280",
        ),
    ],
)
def test_what_no_engine_can_do_is_refused_in_one_line(
    settings: Sequence[str], said: str, tmp_path: Path
) -> None:
    options = [part for setting in settings for part in ("--set", setting)]
    refused = in_process("run", "smoke", *options, "--data", str(tmp_path / "lake"))
    assert refused.exit_code == 2
    [line] = refused.stderr.splitlines()
    assert said in line
    assert "planted" not in line
    assert list(tmp_path.iterdir()) == []


def test_a_key_is_read_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    config = _engine(api_key_env=_VARIABLE)
    assert read_key(_engine()) is None
    with pytest.raises(FlowsError, match=f"{_VARIABLE} .*expected the key for http://a/v1, found"):
        read_key(config)
    monkeypatch.setenv(_VARIABLE, f"{KEY}\n")
    assert read_key(config) == KEY
    for value in ("sk-planted 1", "sk-planted\x07", "sk-planted\u00e9"):
        monkeypatch.setenv(_VARIABLE, value)
        with pytest.raises(FlowsError, match="expected a key of plain signs") as refusal:
            read_key(config)
        assert "planted" not in str(refusal.value)


def test_a_key_is_read_from_a_secret_block(served: Mapping[str, str]) -> None:
    from prefect.blocks.system import Secret
    from prefect.settings import PREFECT_API_URL, temporary_settings

    with temporary_settings({PREFECT_API_URL: served["PREFECT_API_URL"]}):
        Secret(value=SecretStr("sk-in-a-block")).save("team-key", overwrite=True)
        assert read_key(_engine(api_key_secret="team-key")) == "sk-in-a-block"
        with pytest.raises(FlowsError, match="expected a Prefect block of type secret, found none"):
            read_key(_engine(api_key_secret="no-such-key"))
