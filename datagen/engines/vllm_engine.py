"""The teacher in vLLM, in this process: for machines whose GPU it keeps busier than transformers.

The only file that imports vllm (an extra of the package), and only when it is asked for. Prompts go
in as the token ids that the transformers engine would read and come out as ids, so both decode
alike but for the last bits; where two ids are as likely as each other, they may part. Every request
carries its own seed. What could make an answer depend on what came before (cached prefixes) or on a
model folder's own settings of sampling is off.

Soft limit, vocabulary and required words come into vLLM's batch through a logits processor, which
vLLM makes once with the engine: each call leaves there what follows its requests, and each request
says which of them it is.
"""

import os
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from transformers import PreTrainedTokenizerBase

from datagen.config import SamplingConfig
from datagen.engine_config import EngineConfig
from datagen.engines.base import Completion, Request, TokensWritten
from datagen.engines.following import Following, FreeFollowing, Row, VocabularyFollowing
from datagen.engines.guiding import Constraint, SentenceEnds
from datagen.errors import EngineError

# Quiet, and telling nobody.
_SETTINGS = {
    "VLLM_NO_USAGE_STATS": "1",
    "VLLM_LOGGING_LEVEL": "WARNING",
    "VLLM_CPU_KVCACHE_SPACE": "1",
    "VLLM_CPU_OMP_THREADS_BIND": "nobind",
}
# In this process, where requests are followed (in another, draws would depend on its timing too),
# and with the model runner whose logits processors see what each request has drawn: the newer one,
# vLLM's choice on GPUs, takes only processors of another kind.
_OFF = ("VLLM_ENABLE_V1_MULTIPROCESSING", "VLLM_USE_V2_MODEL_RUNNER")
_PLACE = "stillhouse_place"


@dataclass(slots=True)
class Call:
    """What follows the requests that are being written, if anything has to."""

    following: Following | None = None


@dataclass(frozen=True, slots=True)
class VllmEngine:
    """Writes with vLLM; `encode` gives the ids of a prompt as the model expects to be told it.
    `call` is what the processor in `llm` looks at, `constraint` what sampling.constrain asks for.
    """

    llm: Any
    tokenizer: PreTrainedTokenizerBase
    encode: Callable[[str], list[int]]
    end_ids: Sequence[int]
    call: Call
    constraint: Constraint | None = None
    lock: threading.Lock = field(default_factory=threading.Lock, repr=False)

    def write(
        self, requests: Sequence[Request], sampling: SamplingConfig, on_tokens: TokensWritten
    ) -> list[Completion]:
        """One completion per request. vLLM forms the batches itself, from these requests alone:
        another thread waits until they are written. DatagenError if sampling.constrain is on and
        there is no constraint, or an opening is outside the vocabulary.
        """
        from vllm import TokensPrompt  # type: ignore[import-not-found]  # an extra

        openings = [self.tokenizer.encode(r.opening, add_special_tokens=False) for r in requests]
        contexts = [
            self.encode(request.prompt) + opening
            for request, opening in zip(requests, openings, strict=True)
        ]
        following = self._following(requests, sampling)
        parameters = [
            self._parameters(request.seed, sampling, place if following else None)
            for place, request in enumerate(requests)
        ]
        with self.lock:
            if self.llm.llm_engine.has_unfinished_requests():
                raise EngineError(
                    "engine.kind = 'vllm': expected vLLM to be done with what it was asked before, "
                    "found requests of a call that broke off; start the night again"
                )
            self.call.following = following
            outputs = self.llm.generate(
                [TokensPrompt(prompt_token_ids=context) for context in contexts],
                parameters,
                use_tqdm=False,
            )
        written = [output.outputs[0] for output in outputs]
        on_tokens(sum(len(one.token_ids) for one in written))
        return [
            self._completed(opening, one, num_prompt_tokens=len(context))
            for opening, context, one in zip(openings, contexts, written, strict=True)
        ]

    def _following(self, requests: Sequence[Request], sampling: SamplingConfig) -> Following | None:
        limit = sampling.soft_limit_tokens
        if sampling.constrain:
            if self.constraint is None:
                raise EngineError(
                    "sampling.constrain = true: expected an engine made with the vocabulary's "
                    "constraint, found none; make it with one"
                )
            return VocabularyFollowing.of(self.constraint, requests, sampling)
        if limit >= sampling.max_new_tokens:
            return None
        vocab_size = self.llm.llm_engine.model_config.get_vocab_size()
        return FreeFollowing(SentenceEnds.of(self.tokenizer, vocab_size, self.end_ids), limit)

    def _parameters(self, seed: int, sampling: SamplingConfig, place: int | None) -> Any:
        from vllm import SamplingParams

        return SamplingParams(
            temperature=sampling.temperature,
            top_k=sampling.top_k,
            top_p=1.0,
            max_tokens=sampling.max_new_tokens,
            seed=seed,
            stop_token_ids=list(self.end_ids),
            detokenize=False,
            extra_args=None if place is None else {_PLACE: place},
        )

    def _completed(
        self, opening: Sequence[int], written: Any, *, num_prompt_tokens: int
    ) -> Completion:
        ids = list(written.token_ids)
        is_finished = bool(ids) and ids[-1] in self.end_ids
        text_ids = [*opening, *ids[: len(ids) - is_finished]]
        return Completion(
            text=str(self.tokenizer.decode(text_ids, skip_special_tokens=True)),
            num_tokens=len(ids),
            is_finished=is_finished,
            num_prompt_tokens=num_prompt_tokens,
        )


def load_vllm_engine(
    folder: Path,
    config: EngineConfig,
    *,
    device: str,
    batch_size: int,
    tokenizer: PreTrainedTokenizerBase,
    encode: Callable[[str], list[int]],
    end_ids: tuple[int, ...],
) -> VllmEngine:
    """The engine over a teacher's folder; EngineError if vLLM is not there or cannot load it."""
    _set_up()
    try:
        from vllm import LLM
    except ImportError as exc:
        raise EngineError(
            f"engine.kind = 'vllm': expected the package vllm, found: {exc}; install stillhouse "
            "with its extra: pip install 'stillhouse[vllm]'"
        ) from exc
    call = Call()
    processor = _processor(call)
    on_gpu: Mapping[str, Any] = (
        {"gpu_memory_utilization": config.memory_share} if device == "cuda" else {}
    )
    try:
        llm = LLM(
            model=str(folder),
            tokenizer=str(folder),
            trust_remote_code=False,
            load_format="safetensors",
            dtype=config.dtype,
            seed=0,
            max_num_seqs=batch_size,
            enforce_eager=device == "cpu",
            enable_prefix_caching=False,
            enable_chunked_prefill=False,  # rewinds a request's generator, which a CPU's cannot
            async_scheduling=False,  # it draws ahead of the ids that the call's following looks at
            generation_config="vllm",
            logits_processors=[processor],
            disable_log_stats=True,
            **on_gpu,
        )
    except Exception as exc:  # vLLM raises anything over a model or machine that it cannot use
        said = next(iter(str(exc).splitlines()), type(exc).__name__)
        raise EngineError(
            f"engine.kind = 'vllm': expected a model that vLLM loads in {folder}, found: {said}; "
            "see its log (VLLM_LOGGING_LEVEL=INFO), or set engine.kind = 'transformers'"
        ) from exc
    return VllmEngine(llm, tokenizer, encode, end_ids, call)


def _set_up() -> None:
    """Set vLLM's variables, before it is imported."""
    for name, value in _SETTINGS.items():
        os.environ.setdefault(name, value)
    for name in _OFF:
        if os.environ.setdefault(name, "0") != "0":
            raise EngineError(
                f"engine.kind = 'vllm': expected {name}=0 or none, as soft limit and vocabulary "
                f"reach vLLM no other way, found {os.environ[name]}; unset it"
            )


def _processor(call: Call) -> type:
    """A logits processor for vLLM's batch that does what the call's following says."""
    from vllm.v1.sample.logits_processor import (  # type: ignore[import-not-found]
        BatchUpdate,
        LogitsProcessor,
        process_dict_updates,
    )

    def row_of(parameters: Any, _: object, drawn: list[int]) -> Row | None:
        place = (parameters.extra_args or {}).get(_PLACE)
        return None if place is None else Row(place, drawn)

    class Shaping(LogitsProcessor):  # type: ignore[misc]  # vllm is not there to be checked
        """`rows`: the rows of vLLM's batch that are followed."""

        def __init__(self, vllm_config: Any, device: torch.device, is_pin_memory: bool) -> None:
            self.rows: dict[int, Row] = {}

        def is_argmax_invariant(self) -> bool:
            return False

        def update_state(self, batch_update: BatchUpdate | None) -> None:
            process_dict_updates(self.rows, batch_update, row_of)

        def apply(self, logits: torch.Tensor) -> torch.Tensor:
            if self.rows:
                assert call.following is not None
                call.following.shape(logits, self.rows)
            return logits

    return Shaping
