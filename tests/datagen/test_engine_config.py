"""The recipe's [engine]: what is taken, what is refused, and that no refusal repeats a key."""

from typing import Any

import pytest
from pydantic import ValidationError

from datagen.config import SamplingConfig
from datagen.engine_config import EngineConfig, looks_like_key

KEYS = [
    "sk-proj-9f8e7d6c5b4a39281706",
    "hf_AbCdEfGhIjKlMnOp",
    "ghp_16C7e42F292c6912E7710c838347Ae178B4a",
    "AKIAIOSFODNN7EXAMPLE",
    "Bearer abc",
    "0123456789abcdef0123456789abcdef",
    "eyJhbGciOiJIUzI1NiJ9.e30.abc",
]
NAMES = ["OPENAI_API_KEY", "VLLM_KEY_2", "TEAM_A_TEACHER_SERVER_TOKEN", "openai-key", "team-2"]


def _config(**values: Any) -> EngineConfig:
    return EngineConfig.model_validate(values)


def _server(**values: Any) -> EngineConfig:
    return _config(kind="openai", urls=["http://127.0.0.1:8000/v1"], model="m", **values)


def _refusal(**values: Any) -> str:
    with pytest.raises(ValidationError) as refusal:
        _config(**values)
    return str(refusal.value.errors()[0]["ctx"]["error"])


@pytest.mark.parametrize("key", KEYS)
@pytest.mark.parametrize("field", ["api_key_env", "api_key_secret"])
def test_a_key_in_the_place_of_its_name_is_refused_and_not_repeated(key: str, field: str) -> None:
    assert looks_like_key(key)
    for value in (key, [key], {"a": key}):
        said = _refusal(kind="openai", urls=["http://a/v1"], model="m", **{field: value})
        assert "never the key itself" in said
        assert key not in said


@pytest.mark.parametrize("name", NAMES)
def test_names_of_keys_are_taken(name: str) -> None:
    assert not looks_like_key(name)
    field = "api_key_env" if name.isupper() else "api_key_secret"
    assert getattr(_server(**{field: name}), field) == name


@pytest.mark.parametrize(
    "url",
    [
        "http://user:sk-123@a/v1",
        "http://sk-123@a/v1",
        "https://a/v1?key=sk-123",
        "https://a/v1#sk-123",
        "ftp://a/sk-123",
        "http://a b/sk-123",
        "http://a:80\n/v1",
        "http://a/\tv1",
        "http://a:99999999/sk-123",
        "http://a/sk-123/v1",
        "http://a/v1/sk-123",
        "sk-123",
        "",
        7,
    ],
)
def test_an_address_that_may_hold_a_key_is_refused_and_not_repeated(url: object) -> None:
    for urls in ([url], ["http://a/v1", url]):
        said = _refusal(kind="openai", urls=urls, model="m")
        assert said.startswith("expected addresses like http://127.0.0.1:8000/v1")
        assert "sk-123" not in said


@pytest.mark.parametrize("model", ["sk-proj-9f8e", "our/sk-9f8e", "AKIAIOSFODNN7EXAMPLE"])
def test_a_key_in_the_place_of_the_model_is_refused_and_not_repeated(model: str) -> None:
    said = _refusal(kind="openai", urls=["http://a/v1"], model=model)
    assert "expected the model's name on the servers" in said
    assert model not in said


@pytest.mark.parametrize(
    "model", ["smollm2-1.7b", "our/Task-sk", "/srv/models/a1b2c3d4e5f6a7b8c9d0e1f2"]
)
def test_names_of_models_are_taken(model: str) -> None:
    assert _config(kind="openai", urls=["http://a/v1"], model=model).model == model


@pytest.mark.parametrize(
    "url",
    [
        "http://127.0.0.1:8000/v1",
        "https://a.example/v1/",
        "http://[::1]:8000/v1",
        "http://a",
        "https://a.example/deployments/a1b2c3d4e5f6a7b8c9d0/v1",
    ],
)
def test_plain_addresses_are_taken(url: str) -> None:
    assert _config(kind="openai", urls=[url], model="m").urls == (url.rstrip("/"),)


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"model": "m"}, "model belongs to kind = 'openai', found kind = 'transformers'"),
        ({"kind": "vllm", "urls": ["http://a/v1"]}, "urls belongs to kind = 'openai'"),
        (
            {"kind": "openai", "urls": ["http://a/v1"], "model": "m", "dtype": "bfloat16"},
            "dtype belongs to kind = 'vllm'",
        ),
        ({"kind": "openai", "model": "m"}, "kind = 'openai': expected urls, found none"),
        ({"kind": "openai", "urls": ["http://a/v1"]}, "expected model, found none"),
        ({"urls": "http://a/v1"}, "expected a list of addresses"),
        (
            {
                "kind": "openai",
                "urls": ["http://a/v1"],
                "model": "m",
                "api_key_env": "KEY",
                "api_key_secret": "key",
            },
            "expected api_key_env or api_key_secret, found both",
        ),
    ],
)
def test_keys_that_do_not_fit_the_kind_are_refused(values: dict[str, Any], said: str) -> None:
    assert said in _refusal(**values)


def test_only_what_decides_on_the_stories_is_part_of_what_was_asked_for() -> None:
    assert _config().identity() is None
    assert _config(kind="vllm").identity() == {"kind": "vllm", "dtype": "float32"}
    first = _server(api_key_env="KEY", concurrency=3)
    second = _config(kind="openai", urls=["http://b/v1", "http://c/v1"], model="m", timeout_s=5)
    assert first.identity() == second.identity() == {"kind": "openai", "model": "m"}


def _sampling(**changes: Any) -> SamplingConfig:
    values = {"temperature": 1.0, "top_k": 50, "max_new_tokens": 100, "soft_limit_tokens": 100}
    more = {"max_attempts": 1, "seed": 0, "constrain": False, "steer": 0}
    return SamplingConfig.model_validate({**values, **more, **changes})


@pytest.mark.parametrize(
    ("engine", "sampling", "said"),
    [
        (_server(), {"soft_limit_tokens": 50}, "expected sampling.max_new_tokens, 100"),
        (_server(), {"constrain": True}, "sampling.constrain = true: expected false"),
        (_server(), {"constrain": True, "steer": 1}, "set it to false .steer to 0."),
        (_server(sends_top_k=False), {}, "sampling.top_k = 50: expected 1000000"),
    ],
)
def test_sampling_that_an_engine_cannot_do_is_refused(
    engine: EngineConfig, sampling: dict[str, Any], said: str
) -> None:
    with pytest.raises(ValueError, match=said):
        engine.check_sampling(_sampling(**sampling))
    engine.check_sampling(_sampling(top_k=1_000_000))
    _config().check_sampling(_sampling(**sampling))
    for kind in ("transformers", "vllm"):
        _config(kind=kind).check_sampling(_sampling(soft_limit_tokens=20, constrain=True, steer=1))
