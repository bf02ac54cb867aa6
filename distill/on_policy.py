"""The on-policy phase of a training: in its last steps a share of the documents is replaced by what
the student itself writes after their prefixes, scored by the live teacher.

Algorithm 1 of GKD (arXiv 2306.13649) inside the one training loop: the plan of documents, the
schedule and the optimizer are those of a training without it. A document of a step is replaced if a
digest of (seed, step, doc_id) says so, and the student writes at most as many symbols as it has
targets, so that what fitted both models still fits. The loss of each written symbol, the end symbol
included, is the generalized Jensen-Shannon divergence of teacher and student at temperature 1; no
gradient passes through the writing. It costs the writing, a forward pass a symbol, and one pass of
the teacher over the text under what it read at capture.

Legend: N symbols written, E events that student and teacher both know, V ids of a model, D width.
"""

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from transformers import LlamaForCausalLM, PreTrainedModel

from distill.batch_losses import target_logits
from distill.batches import Batch, make_batches
from distill.compute import computing
from distill.config import TrainConfig
from distill.draws import draw_uniforms
from distill.errors import DistillError
from distill.evaluation.distances import shared_events
from distill.losses import generalized_jsd
from distill.on_policy_config import OnPolicyConfig
from distill.positions import CaptureRequest, check_head, head_logits, text_hidden
from distill.student_texts import StudentText, keep_texts
from distill.targets import StudentDocument
from distill.tokens import TokenSpace
from distill.writing import WritingRequest, write_texts
from warehouse.identity import Json, digest, seed_from

_CHUNK_BYTES = 64 << 20
_SEED_RANGE = 2**63
# A place in the cache of a student that writes, against what training holds of one.
_WRITTEN_PER_TRAINED = 16


@dataclass(frozen=True, slots=True, eq=False)
class LiveTeacher:
    """The teacher in eval mode, what the student's ids mean to it, all ids that end a story for it
    (the main one first), and by doc_id the ids, one at least, that it read before that document at
    capture. `digest` says what it is and what it reads: a training's checkpoints belong to one.
    """

    model: PreTrainedModel
    space: TokenSpace
    end_ids: Sequence[int]
    context_of: Callable[[str], Sequence[int]]
    digest: str


class OnPolicy:
    """The phase of one training, and the CPU seconds that it took so far for writing and for the
    teacher's passes.
    """

    def __init__(self, config: TrainConfig, teacher: LiveTeacher) -> None:
        """Raises DistillError for a config without the phase, and a token space of no teacher."""
        if config.on_policy is None:
            raise DistillError("expected a config with on_policy, found none: leave the phase out")
        if teacher.space.is_own:
            raise DistillError(
                f"on_policy: expected a token space of the teacher's, found an own one, "
                f"{teacher.space.digest}: the teacher cannot score ids that are not its own"
            )
        self.writing_cpu_s, self.scoring_cpu_s = 0.0, 0.0
        self.teacher = teacher
        self._config, self._phase = config, config.on_policy
        self._ends = tuple(dict.fromkeys(teacher.end_ids))
        self._events = shared_events(teacher.space, self._ends)
        self._is_checked = False
        self._is_begun = False
        self._texts: list[StudentText] = []  # of the last step

    def identity(self) -> Json:
        """What the phase's texts and losses follow from, beside the config and the documents."""
        return digest(self.teacher.digest, self.teacher.space.digest, list(self._ends))

    def parted(
        self,
        model: LlamaForCausalLM,
        documents: Sequence[StudentDocument],
        *,
        seed: int,
        step: int,
        num_steps: int,
    ) -> tuple[list[StudentDocument], list[StudentDocument]]:
        """A step's documents that keep their targets, in their order, and what the student wrote in
        the place of the others, without targets: its text's ids are the input_ids, and there is no
        end symbol after a text that was cut off. None were replaced before the phase.
        """
        self._is_begun, self._texts = step in phase_steps(self._phase, num_steps), []
        if not self._is_begun:
            return list(documents), []
        kept: list[StudentDocument] = []
        replaced: list[StudentDocument] = []
        for document in documents:
            is_new = is_replaced(self._phase.share, seed, step, document.doc_id)
            (replaced if is_new else kept).append(document)
        with _cpu_seconds() as spent, computing(self._config, model.device):
            ids = write_texts(
                model,
                [_request(document, seed, step) for document in replaced],
                start_id=self.teacher.space.start_id,
                end_ids=self._events.student_end_ids,
                temperature=self._phase.temperature,
                max_positions=_WRITTEN_PER_TRAINED * self._config.max_batch_tokens,
            )
        self.writing_cpu_s += spent[0]
        return kept, [_untaught(d, text) for d, text in zip(replaced, ids, strict=True)]

    def losses(
        self, model: LlamaForCausalLM, written: Sequence[StudentDocument], step: int
    ) -> Iterator[torch.Tensor]:
        """For each batch of the texts the loss of its symbols in nats, shape (N,), with a gradient
        into the student.

        Equals JSD_beta(teacher, student) of GKD's equation 1 at each symbol, both over the events
        that both know: the teacher is renormalised on the student's ids, and all that ends a story
        is one event. Raises DistillError for one that is not finite.
        """
        texts = sorted(written, key=lambda d: len(d.prefix_ids) + len(d.input_ids), reverse=True)
        for batch in make_batches(texts, self._config.max_batch_tokens) if texts else []:
            part, texts = texts[: len(batch.input_ids_BT)], texts[len(batch.input_ids_BT) :]
            loss_N = self._batch_losses(model, batch.to(model.device), part)
            self._note(part, loss_N.detach(), step)
            yield loss_N

    def keep_texts(self, folder: Path, step: int) -> None:
        """Write down the texts of the step that was done last, if it was one of the phase."""
        if self._is_begun:
            keep_texts(folder, step, self._texts)

    def _batch_losses(
        self, model: LlamaForCausalLM, batch: Batch, texts: Sequence[StudentDocument]
    ) -> torch.Tensor:
        with computing(self._config, model.device):
            logits_NV = target_logits(model, batch)
        events = self._events
        student_NE = event_logits(logits_NV, events.student_ids, events.student_end_ids)
        with _cpu_seconds() as spent:
            teacher_NE = self._teachers_logits(texts).to(student_NE.device)
        self.scoring_cpu_s += spent[0]
        return generalized_jsd(
            student_NE,
            teacher_NE,
            batch.labels_N,  # alpha = 1 looks at none of them
            beta=self._phase.beta,
            alpha=1.0,
            temperature=1.0,
        )

    @torch.no_grad()
    def _teachers_logits(self, texts: Sequence[StudentDocument]) -> torch.Tensor:
        """(N, E) of every symbol of the texts, of which the last has no successor to read."""
        model, to_teacher = self.teacher.model, self.teacher.space.to_teacher
        requests = []
        for text in texts:
            context = self.teacher.context_of(text.doc_id)
            if not len(context):
                raise DistillError(
                    f"on_policy: expected what the teacher reads before document {text.doc_id}, "
                    "found no id: give at least its start symbol"
                )
            said = to_teacher[text.input_ids[:-1]].tolist()
            requests.append(CaptureRequest(text.doc_id, text.doc_id, context, said))
        if not self._is_checked:
            check_head(model, requests[0])
            self._is_checked = True
        hidden_ND = text_hidden(model, requests)
        num_rows = max(1, _CHUNK_BYTES // (4 * model.config.get_text_config().vocab_size))
        return torch.cat(
            [
                event_logits(head_logits(model, rows_D), self._events.teacher_ids, self._ends)
                for rows_D in hidden_ND.split(num_rows)
            ]
        )

    def _note(self, texts: Sequence[StudentDocument], loss_N: torch.Tensor, step: int) -> None:
        space = self.teacher.space
        sizes = [len(text.input_ids) for text in texts]
        for text, losses in zip(texts, loss_N.double().cpu().split(sizes), strict=True):
            jsd = float(losses.mean())
            if not np.isfinite(jsd):
                raise DistillError(
                    f"step {step}: a finite divergence from the teacher expected of what the "
                    f"student wrote after the prefix of document {text.doc_id}, found {jsd}: check "
                    f"the teacher's weights, or take a beta ({self._phase.beta}) between 0 and 1"
                )
            is_finished = bool(text.input_ids[-1] == space.end_id)
            said = text.input_ids[:-1] if is_finished else text.input_ids
            self._texts.append(
                StudentText(
                    step=step,
                    doc_id=text.doc_id,
                    text=space.decode(said.tolist()),
                    num_tokens=len(text.input_ids),
                    is_finished=is_finished,
                    jsd=jsd,
                )
            )


def phase_steps(phase: OnPolicyConfig, num_steps: int) -> range:
    """The steps of the phase, 1 being the training's first; none if it is shorter than half a
    step.
    """
    return range(num_steps - round(phase.steps_share * num_steps) + 1, num_steps + 1)


def is_replaced(share: float, seed: int, step: int, doc_id: str) -> bool:
    """True for `share` of all documents and steps, whatever else is in the step; a larger share
    keeps those of a smaller one.
    """
    return seed_from("on policy", seed, step, doc_id) < share * _SEED_RANGE


def event_logits(
    logits_NV: torch.Tensor, ids_E: NDArray[np.int64], end_ids: Sequence[int]
) -> torch.Tensor:
    """(N, E) in float32 at least: the logits of these ids, that of the first end id being of all of
    them together. A softmax of it is the law on these events.
    """
    logits_NV = logits_NV if logits_NV.dtype == torch.float64 else logits_NV.float()
    ids = torch.from_numpy(ids_E).to(logits_NV.device)
    logits_NE = logits_NV.index_select(1, ids)
    if len(end_ids) == 1:
        return logits_NE
    end_N1 = logits_NV[:, list(end_ids)].logsumexp(dim=1, keepdim=True)
    return torch.where(ids == end_ids[0], end_N1, logits_NE)


def _request(document: StudentDocument, seed: int, step: int) -> WritingRequest:
    uniforms = draw_uniforms(
        seed_from("writing", seed, step), document.doc_id, len(document.input_ids), 1
    )
    return WritingRequest(document.prefix_ids, uniforms[:, 0])


def _untaught(document: StudentDocument, ids: NDArray[np.int32]) -> StudentDocument:
    """The ids after the document's prefix, with no draw at any position."""
    none = np.zeros(0, np.int32)
    return replace(
        document,
        input_ids=ids,
        n_draws=np.zeros(len(ids), np.int32),
        offsets=np.zeros(len(ids) + 1, np.int64),
        target_ids=none,
        target_counts=none.astype(np.uint8),
        target_logprobs=np.zeros(0),
        tail_logmass=np.zeros(0),
    )


@contextmanager
def _cpu_seconds() -> Iterator[list[float]]:
    """A list of one figure, right once the block is left."""
    spent = [time.process_time()]
    yield spent
    spent[0] = time.process_time() - spent[0]
