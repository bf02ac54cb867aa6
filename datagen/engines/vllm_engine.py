"""The teacher in vLLM, in this process: for machines whose GPU it keeps busier than transformers.

The only file that imports vllm (an extra of the package), and only when it is asked for. Prompts go
in as the token ids that the transformers engine would read and come out as ids, so both decode
alike but for the last bits; where two ids are as likely as each other, they may part. Every request
carries its own seed. What could make an answer depend on what came before (cached prefixes) or on a
model folder's own settings of sampling is off.
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
from datagen.engines.guiding import END_BONUS, SentenceEnds
from datagen.errors import EngineError

# In this process (one more would make draws depend on its timing), quiet, and telling nobody.
_SETTINGS = {
    "VLLM_ENABLE_V1_MULTIPROCESSING": "0",
    "VLLM_NO_USAGE_STATS": "1",
    "VLLM_LOGGING_LEVEL": "WARNING",
    "VLLM_CPU_KVCACHE_SPACE": "1",
    "VLLM_CPU_OMP_THREADS_BIND": "nobind",
}
_SOFT_LIMIT = "stillhouse_soft_limit_tokens"


@dataclass(frozen=True, slots=True)
class VllmEngine:
    """Writes with vLLM; `encode` gives the ids of a prompt as the model expects to be told it."""

    llm: Any
    tokenizer: PreTrainedTokenizerBase
    encode: Callable[[str], list[int]]
    end_ids: Sequence[int]
    lock: threading.Lock = field(default_factory=threading.Lock, repr=False)

    def write(
        self, requests: Sequence[Request], sampling: SamplingConfig, on_tokens: TokensWritten
    ) -> list[Completion]:
        """One completion per request. vLLM forms the batches itself, from these requests alone:
        another thread waits until they are written.
        """
        from vllm import TokensPrompt  # type: ignore[import-not-found]  # an extra

        openings = [self.tokenizer.encode(r.opening, add_special_tokens=False) for r in requests]
        contexts = [
            self.encode(request.prompt) + opening
            for request, opening in zip(requests, openings, strict=True)
        ]
        with self.lock:
            outputs = self.llm.generate(
                [TokensPrompt(prompt_token_ids=context) for context in contexts],
                [self._parameters(request.seed, sampling) for request in requests],
                use_tqdm=False,
            )
        written = [output.outputs[0] for output in outputs]
        on_tokens(sum(len(one.token_ids) for one in written))
        return [
            self._completed(opening, one, num_prompt_tokens=len(context))
            for opening, context, one in zip(openings, contexts, written, strict=True)
        ]

    def _parameters(self, seed: int, sampling: SamplingConfig) -> Any:
        from vllm import SamplingParams

        has_limit = sampling.soft_limit_tokens < sampling.max_new_tokens
        return SamplingParams(
            temperature=sampling.temperature,
            top_k=sampling.top_k,
            top_p=1.0,
            max_tokens=sampling.max_new_tokens,
            seed=seed,
            stop_token_ids=list(self.end_ids),
            detokenize=False,
            extra_args={_SOFT_LIMIT: sampling.soft_limit_tokens} if has_limit else None,
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
    for name, value in _SETTINGS.items():
        os.environ.setdefault(name, value)
    try:
        from vllm import LLM
    except ImportError as exc:
        raise EngineError(
            f"engine.kind = 'vllm': expected the package vllm, found: {exc}; install stillhouse "
            "with its extra: pip install 'stillhouse[vllm]'"
        ) from exc
    ends = SentenceEnds.of(tokenizer, len(tokenizer), end_ids)
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
            async_scheduling=False,  # it draws ahead of the ids that the soft limit looks at
            generation_config="vllm",
            logits_processors=[_inviting(ends)],
            disable_log_stats=True,
            **on_gpu,
        )
    except Exception as exc:  # vLLM raises anything over a model or machine that it cannot use
        said = next(iter(str(exc).splitlines()), type(exc).__name__)
        raise EngineError(
            f"engine.kind = 'vllm': expected a model that vLLM loads in {folder}, found: {said}; "
            "see its log (VLLM_LOGGING_LEVEL=INFO), or set engine.kind = 'transformers'"
        ) from exc
    return VllmEngine(llm, tokenizer, encode, end_ids)


def _inviting(ends: SentenceEnds) -> type:
    """A logits processor that invites the end after a sentence, past the soft limit, as the
    transformers engine does.
    """
    from vllm.v1.sample.logits_processor import (  # type: ignore[import-not-found]
        BatchUpdate,
        LogitsProcessor,
        process_dict_updates,
    )

    def row_of(parameters: Any, _: object, drawn: list[int]) -> tuple[int, list[int]] | None:
        limit = (parameters.extra_args or {}).get(_SOFT_LIMIT)
        return None if limit is None else (limit, drawn)

    class Inviting(LogitsProcessor):  # type: ignore[misc]  # vllm is not there to be checked
        """`rows`: the soft limit of each row of vLLM's batch, and what it has drawn so far."""

        def __init__(self, vllm_config: Any, device: torch.device, is_pin_memory: bool) -> None:
            self.rows: dict[int, tuple[int, list[int]]] = {}

        def is_argmax_invariant(self) -> bool:
            return False

        def update_state(self, batch_update: BatchUpdate | None) -> None:
            process_dict_updates(self.rows, batch_update, row_of)

        def apply(self, logits: torch.Tensor) -> torch.Tensor:
            for row, (limit, drawn) in self.rows.items():
                num_past = len(drawn) - limit
                if num_past > 0 and ends.is_sentence_end_V[drawn[-1]]:
                    logits[row, ends.end_id] += END_BONUS * num_past
            return logits

    return Inviting
