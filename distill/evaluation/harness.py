"""A model as lm_eval sees one, so that its tasks can be asked of it: the only file that knows that
library (the extra `eval`).

    tasks = read_tasks([Path("my_task.yaml")])
    answer_tasks(harness_lm(model, space), tasks, limit=None)

What every request is read after: the start symbol, as in training; lm_eval's own class for
transformers puts it there only before an empty context, unless it is told add_bos_token=True. A
context that does not fit loses its beginning. loglikelihood_rolling is bits per byte's numerator
without the end symbol, in our windows: equal to lm_eval's where the text fits one; where it does
not, lm_eval predicts the first symbol of each further window from a single one.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from statistics import NormalDist
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray
from transformers import PreTrainedModel

from distill.errors import DistillError
from distill.evaluation.metrics import Metric
from distill.evaluation.scoring import DocumentScore, ScoreRequest, score_documents, window_length
from distill.sample import Sampling, StorySpace, sample_stories
from warehouse.identity import seed_from

MAX_NEW_TOKENS = 256
"""Of a task that does not say max_gen_toks; lm_eval's own default."""

_NORMAL_97_5 = NormalDist().inv_cdf(0.975)
_KNOWN = {"until", "do_sample", "temperature", "top_k", "max_gen_toks"}


class Request(Protocol):
    """What is used of lm_eval's Instance."""

    @property
    def args(self) -> tuple[Any, ...]:
        """What the method is asked for."""


def harness_lm(
    model: PreTrainedModel,
    space: StorySpace,
    *,
    end_ids: Sequence[int] = (),
    max_window: int | None = None,
    num_tokens_per_batch: int = 2048,
    seed: int = 0,
) -> Any:
    """The model and its token space as an object that simple_evaluate takes as its model.

    `end_ids`: all that may end a text, where there are more than the space's; `max_window`: ids
    read at once, where the model would read more; `seed`: of tasks that ask for draws. DistillError
    if lm_eval is not installed.
    """
    try:
        from lm_eval.api.model import LM
    except ImportError as exc:
        raise _absent() from exc

    class HarnessLM(Answers, LM):  # type: ignore[misc, unused-ignore]
        """lm_eval asks whether it is one of its models."""

        def __init__(self) -> None:
            LM.__init__(self)
            Answers.__init__(
                self,
                model,
                space,
                end_ids=end_ids or (space.end_id,),
                max_window=max_window,
                num_tokens_per_batch=num_tokens_per_batch,
                seed=seed,
            )

    return HarnessLM()


def read_tasks(files: Sequence[Path]) -> list[Any]:
    """The tasks of these YAML files with their data, which lm_eval fetches if they are not local.

    Raises DistillError if lm_eval is not installed, for a file that is no task of it, and for two
    of one name. Python functions that a task names are run.
    """
    try:
        from lm_eval.tasks import TaskManager
    except ImportError as exc:
        raise _absent() from exc
    manager = TaskManager(include_defaults=False)
    tasks = dict(_read_task(manager, file) for file in files)
    if len(tasks) < len(files):
        raise DistillError(
            f"expected tasks of different names, found {len(files)} files with {', '.join(tasks)}; "
            "give each a name of its own"
        )
    return list(tasks.values())


def _read_task(manager: Any, file: Path) -> tuple[str, Any]:
    """The name of the file's task, and the task."""
    if not file.is_file():
        raise DistillError(f"task {file}: expected a YAML file, found none there")
    try:
        loaded = manager.load([str(file)])
    except Exception as exc:  # whatever its YAML, its data and its functions raise
        raise DistillError(
            f"task {file}: expected a task that lm_eval reads, with local data, found: "
            f"{type(exc).__name__}: {exc}; see lm_eval's guide to task files"
        ) from exc
    if loaded["groups"]:
        raise DistillError(f"task {file}: expected one task, found a group; name its tasks' files")
    [(name, task)] = loaded["tasks"].items()
    return name, task


def answer_tasks(lm: Any, tasks: Sequence[Any], limit: int | None) -> list[Metric]:
    """What the model's answers come to; `limit`: the first so many items of each task at most."""
    from lm_eval import simple_evaluate

    answered = simple_evaluate(model=lm, tasks=list(tasks), limit=limit, log_samples=False)
    return task_metrics(answered)


def task_metrics(answered: Mapping[str, Any]) -> list[Metric]:
    """What simple_evaluate returned, as the rows that all other figures have: named task/metric,
    with 95 % bounds from lm_eval's standard error (infinite where it states none).
    """
    metrics = []
    for task, values in sorted(answered["results"].items()):
        n = int(answered["n-samples"][task]["effective"])
        for key, value in values.items():
            name, comma, chosen = key.partition(",")
            if not comma or name.endswith("_stderr") or not isinstance(value, int | float):
                continue
            spread = values.get(f"{name}_stderr,{chosen}")
            half = _NORMAL_97_5 * spread if isinstance(spread, int | float) else math.inf
            label = f"{task}/{name}" if chosen == "none" else f"{task}/{key}"
            metrics.append(Metric(label, float(value), value - half, value + half, n))
    return metrics


class Answers:
    """What a model says to the three kinds of request that lm_eval has."""

    def __init__(
        self,
        model: PreTrainedModel,
        space: StorySpace,
        *,
        end_ids: Sequence[int],
        max_window: int | None,
        num_tokens_per_batch: int,
        seed: int,
    ) -> None:
        self._model, self._space, self._end_ids = model, space, tuple(end_ids)
        self._num_tokens_per_batch, self._seed = num_tokens_per_batch, seed
        self._num_positions = window_length(model, max_window)

    def loglikelihood(self, requests: Sequence[Request]) -> list[tuple[float, bool]]:
        """For each (context, continuation): log p(continuation | start, context), and whether each
        of its symbols is the likeliest in its place.
        """
        pairs = [self._pair(*request.args) for request in requests]
        scores = self._scores([(self._context(*pair), pair[1]) for pair in pairs])
        answers = []
        for (_, symbols), score in zip(pairs, scores, strict=True):
            assert score.top1_ids is not None
            is_greedy = bool(np.array_equal(score.top1_ids[:-1], symbols))
            answers.append((-score.nats_without_end, is_greedy))
        return answers

    def loglikelihood_rolling(self, requests: Sequence[Request]) -> list[float]:
        """For each (text,): log p(text | start), in windows if it is long, without its end."""
        start = np.array([self._space.start_id], np.int32)
        texts = [np.array(self._space.encode(request.args[0]), np.int32) for request in requests]
        return [-score.nats_without_end for score in self._scores([(start, ids) for ids in texts])]

    def generate_until(self, requests: Sequence[Request]) -> list[str]:
        """For each (context, settings): what the model writes on, up to the first of the strings
        under `until`, an end symbol or max_gen_toks.

        DistillError for a setting that it does not know.
        """
        return [
            self._written(*request.args, seed=seed_from(self._seed, index))
            for index, request in enumerate(requests)
        ]

    def _pair(self, context: str, continuation: str) -> tuple[NDArray[np.int32], NDArray[np.int32]]:
        """Ids of both, as lm_eval cuts them, so that figures are its own: white space at the
        context's end goes with the continuation, which has the ids of the whole less as many as the
        context has alone.
        """
        kept = context.rstrip()
        before = np.array(self._space.encode(kept) if kept else [], np.int32)
        whole = np.array(self._space.encode(context + continuation), np.int32)
        return before, whole[len(before) :]

    def _context(self, context: NDArray[np.int32], symbols: NDArray[np.int32]) -> NDArray[np.int32]:
        """The start symbol and as much of the context's end as fits beside the continuation; half a
        window at least.
        """
        if self._num_positions is not None:
            room = max(self._num_positions - len(symbols), self._num_positions // 2) - 1
            context = context[max(0, len(context) - room) :]
        return np.append(np.array([self._space.start_id], np.int32), context)

    def _scores(
        self, asked: Sequence[tuple[NDArray[np.int32], NDArray[np.int32]]]
    ) -> list[DocumentScore]:
        requests = [
            # A request's bytes enter no figure of lm_eval's.
            ScoreRequest(doc_id=str(place), start_ids=start_ids, symbol_ids=symbols, num_bytes=1)
            for place, (start_ids, symbols) in enumerate(asked)
        ]
        return score_documents(
            self._model,
            requests,
            end_ids=self._end_ids,
            num_tokens_per_batch=self._num_tokens_per_batch,
            want_top1=True,
            max_window=self._num_positions,
        )

    def _written(self, context: str, settings: Mapping[str, Any], *, seed: int) -> str:
        until, sampling = _asked_of(settings)
        (told,) = sample_stories(
            self._model,
            self._space,
            [self._fitting(context, sampling.max_new_tokens) or None],
            seed=seed,
            sampling=sampling,
            shape=_stopping(self._space, self._end_ids, until),
        )
        return _cut(told.text, until)

    def _fitting(self, context: str, max_new_tokens: int) -> str:
        """The end of the context that leaves room for the answer, or for half a window of it."""
        if self._num_positions is None:
            return context
        room = max(self._num_positions - max_new_tokens, self._num_positions // 2) - 1
        ids, tries = self._space.encode(context), 0
        while len(ids) > room:
            # A cut inside a character may encode to more ids than it had: then cut further on.
            context = self._space.decode(ids[len(ids) - room + tries :])
            ids, tries = self._space.encode(context), tries + 1
        return context


def _asked_of(settings: Mapping[str, Any]) -> tuple[tuple[str, ...], Sampling]:
    strange = sorted(set(settings) - _KNOWN)
    if strange:
        raise DistillError(
            f"generation_kwargs: expected some of {', '.join(sorted(_KNOWN))}, found "
            f"{', '.join(strange)}; leave them out of the task"
        )
    until = settings.get("until") or ()
    is_drawn = settings.get("do_sample", settings.get("temperature", 0) > 0)
    sampling = Sampling(
        temperature=float(settings.get("temperature", 1.0)) if is_drawn else 0.0,
        max_new_tokens=int(settings.get("max_gen_toks", MAX_NEW_TOKENS)),
        top_k=settings.get("top_k"),
    )
    return (until,) if isinstance(until, str) else tuple(until), sampling


def _stopping(
    space: StorySpace, end_ids: Sequence[int], until: Sequence[str]
) -> Callable[[Sequence[int], NDArray[np.float64]], NDArray[np.float64]]:
    """Makes one event of all that may end a text, and leaves only it once one of the strings is
    written.
    """

    def shape(ids: Sequence[int], logits_V: NDArray[np.float64]) -> NDArray[np.float64]:
        shaped_V = logits_V.copy()
        if until and any(sign in space.decode(ids) for sign in until):
            shaped_V[:] = -np.inf
            shaped_V[space.end_id] = 0.0
        elif len(end_ids) > 1:
            shaped_V[list(end_ids)] = -np.inf
            shaped_V[space.end_id] = np.logaddexp.reduce(logits_V[list(end_ids)])
        return shaped_V

    return shape


def _cut(text: str, until: Sequence[str]) -> str:
    return text[: min((text.find(sign) for sign in until if sign in text), default=len(text))]


def _absent() -> DistillError:
    return DistillError(
        "expected the package lm_eval here, found none; install stillhouse with its extra: pip "
        "install 'stillhouse[eval]'"
    )
