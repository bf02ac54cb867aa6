"""The recipe's section [engine]: what writes the stories. A recipe without it writes with the
teacher's own weights, in this process.

The section never holds a key, only the name under which one is found, and no message of this file
repeats a value that may be one.
"""

import re
from collections.abc import Callable, Mapping
from typing import Annotated, Any, Literal, Self
from urllib.parse import urlsplit

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, model_validator

from datagen.config import SamplingConfig

EngineKind = Literal["transformers", "openai", "vllm"]

_ALL_IDS = 1_000_000  # the largest top_k: no vocabulary of token ids is larger
_VARIABLE = re.compile(r"[A-Z][A-Z0-9_]{0,63}")
_BLOCK = re.compile(r"[a-z0-9][a-z0-9-]{0,63}")
_HOST = re.compile(r"(?:[A-Za-z0-9_.-]+|\[[0-9A-Fa-f:.]+\])(?::\d+)?")
_PATH = re.compile(r"[A-Za-z0-9_./~%-]*")
# How services begin their keys, and a run of letters and digits that is no word of a name.
_KEY_BEGINNING = re.compile(r"(?i)bearer|(?:sk|pk|rk)[-_]|hf_[A-Za-z0-9]{10}|gh[a-z]_|akia|eyj")
_KEY_RUN = re.compile(r"(?=[A-Za-z]*\d)[A-Za-z0-9]{16,}")


def _name_of_key(pattern: re.Pattern[str], expected: str) -> Callable[[object], object]:
    def check(value: object) -> object:
        if value is None:
            return None
        if not isinstance(value, str) or looks_like_key(value) or not pattern.fullmatch(value):
            raise ValueError(
                f"expected {expected}, never the key itself; found something else (not shown: it "
                "may be a key). If a key was written here, take it out and renew it"
            )
        return value

    return check


def _model(value: object) -> object:
    if isinstance(value, str) and _has_key(value):
        raise ValueError(
            "expected the model's name on the servers, found something else (not shown: it may be "
            "a key). If a key was written here, take it out and renew it"
        )
    return value


def _base_urls(values: object) -> object:
    if not isinstance(values, list | tuple):
        raise ValueError('expected a list of addresses, as in ["http://127.0.0.1:8000/v1"]')
    urls = tuple(_base_url(value) for value in values)
    if len(set(urls)) < len(urls):
        raise ValueError("expected each address once, found one twice; leave one of them out")
    return urls


def _base_url(value: object) -> str:
    try:
        # urlsplit overlooks tabs, line ends and outer spaces; a client would not.
        text = value if isinstance(value, str) and value.isprintable() and " " not in value else ""
        parts = urlsplit(text)
        is_plain = parts.scheme in ("http", "https") and bool(_HOST.fullmatch(parts.netloc))
        _ = parts.port
    except ValueError:
        is_plain = False
    is_plain = is_plain and bool(_PATH.fullmatch(parts.path)) and not _has_key(parts.path)
    if not is_plain or parts.query or parts.fragment:
        raise ValueError(
            "expected addresses like http://127.0.0.1:8000/v1, without user, key, ? or #; found "
            "another one (not shown: it may hold a key)"
        )
    return str(value).rstrip("/")


def looks_like_key(text: str) -> bool:
    """Whether the text looks like a secret rather than like the name of one."""
    return bool(_KEY_BEGINNING.match(text) or _KEY_RUN.search(text))


def _has_key(path: str) -> bool:
    """Whether a part of it begins as keys do. Long runs are nothing against it: they are usual in
    the names of models and of what serves them.
    """
    return any(_KEY_BEGINNING.match(part) for part in path.split("/"))


class EngineConfig(BaseModel):
    """What writes the stories. `openai` asks any server that speaks the OpenAI API, or several,
    `vllm` runs vLLM in this process; targets are captured from [teacher]'s weights all the same.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    kind: EngineKind = Field(
        default="transformers",
        description="transformers: the teacher's weights in this process; openai: servers that "
        "hold the same model, whose stories nobody can repeat to the byte; vllm: vLLM in this "
        "process",
    )
    urls: Annotated[tuple[str, ...], BeforeValidator(_base_urls)] = Field(
        default=(),
        description="openai: base addresses of the servers, as http://127.0.0.1:8000/v1; with "
        "several, requests go round and a failing one is left out for a while",
    )
    model: Annotated[str | None, BeforeValidator(_model)] = Field(
        default=None,
        min_length=1,
        max_length=256,
        description="openai: the model's name on the servers; part of what was asked for",
    )
    concurrency: int = Field(
        default=16,
        ge=1,
        le=4096,
        description="openai: requests under way at once over all servers, for each of "
        "shards.workers; more keep a large server busy, too many end in its refusals",
    )
    timeout_s: float = Field(
        default=120,
        gt=0,
        le=3600,
        description="openai: seconds that one answer may take; less gives a hanging server up "
        "sooner, too little also a slow one",
    )
    max_retries: int = Field(
        default=8,
        ge=0,
        le=100,
        description="openai: times that one request is asked again before the night stops; with "
        "the waits below, 8 last over a minute and a half",
    )
    first_wait_s: float = Field(
        default=0.5,
        gt=0,
        le=60,
        description="openai: seconds before a request is asked again for the first time; doubled "
        "each time",
    )
    max_wait_s: float = Field(
        default=30,
        gt=0,
        le=3600,
        description="openai: longest wait in seconds, also where a server asks for a longer one",
    )
    sends_top_k: bool = Field(
        default=True,
        description="openai: false for servers that know no top_k; sampling.top_k is then "
        f"{_ALL_IDS}, which cuts nothing",
    )
    api_key_env: Annotated[
        str | None,
        BeforeValidator(
            _name_of_key(_VARIABLE, "the name of an environment variable, as OPENAI_API_KEY")
        ),
    ] = Field(
        default=None,
        description="openai: name of the environment variable that holds the key; the key itself "
        "is never written down",
    )
    api_key_secret: Annotated[
        str | None,
        BeforeValidator(_name_of_key(_BLOCK, "the name of a Prefect secret block, as openai-key")),
    ] = Field(
        default=None, description="openai: name of the Prefect secret block that holds the key"
    )
    dtype: Literal["float32", "bfloat16", "float16"] = Field(
        default="float32",
        description="vllm: type of weights and arithmetic; the 16-bit ones are faster on a GPU, "
        "much slower on most CPUs, and write other stories",
    )
    memory_share: float = Field(
        default=0.5,
        gt=0,
        lt=1,
        description="vllm: share of the GPU's memory that vLLM takes; the rest must hold the "
        "teacher that targets are captured with",
    )

    @property
    def decodes_here(self) -> bool:
        """Whether the teacher's stories are decoded by datagen.engines.decoding."""
        return self.kind == "transformers"

    @model_validator(mode="after")
    def _keys_fit_the_kind(self) -> Self:
        """An ignored setting would be a silent one."""
        given = {
            name
            for name, field in type(self).model_fields.items()
            if getattr(self, name) != field.default
        }
        foreign = sorted(given - {"kind"} - _KEYS_OF[self.kind])
        if foreign:
            kinds = [kind for kind, keys in _KEYS_OF.items() if foreign[0] in keys]
            raise ValueError(
                f"{foreign[0]} belongs to kind = {kinds[0]!r}, found kind = {self.kind!r}: take "
                "the key out or change the kind"
            )
        if self.kind == "openai":
            for name in ("urls", "model"):
                if not getattr(self, name):
                    raise ValueError(f"kind = 'openai': expected {name}, found none; add it")
        if self.api_key_env and self.api_key_secret:
            raise ValueError(
                "expected api_key_env or api_key_secret, found both; take one of them out"
            )
        return self

    def identity(self) -> Mapping[str, Any] | None:
        """The part that decides which stories are written, as JSON values; None for the teacher
        itself. Where a server stands, how it is reached and how often it is asked are no part.
        """
        if self.kind == "transformers":
            return None
        return {
            "kind": self.kind,
            **({"model": self.model} if self.model else {"dtype": self.dtype}),
        }

    def check_sampling(self, sampling: SamplingConfig) -> None:
        """Pass unless the sampling asks for what the engine cannot do; ValueError says which key
        to change.
        """
        if self.kind != "openai":
            return
        if sampling.constrain:
            raise ValueError(
                "sampling.constrain = true: expected false, as a server cannot be kept to the "
                f"vocabulary, found engine.kind = {self.kind!r}; set it to false (steer to 0), or "
                "write with 'transformers' or 'vllm'"
            )
        limit = sampling.max_new_tokens
        if sampling.soft_limit_tokens != limit:
            raise ValueError(
                f"sampling.soft_limit_tokens = {sampling.soft_limit_tokens}: expected "
                f"sampling.max_new_tokens, {limit} (no soft limit), as a server cannot be told of "
                f"one; set it to {limit}"
            )
        if not self.sends_top_k and sampling.top_k != _ALL_IDS:
            raise ValueError(
                f"sampling.top_k = {sampling.top_k}: expected {_ALL_IDS} (no cut), as "
                f"engine.sends_top_k = false; set it to {_ALL_IDS}"
            )


_KEYS_OF: Mapping[EngineKind, frozenset[str]] = {
    "transformers": frozenset(),
    "openai": frozenset(EngineConfig.model_fields) - {"kind", "dtype", "memory_share"},
    "vllm": frozenset({"dtype", "memory_share"}),
}
