"""The training loop of a student: a fixed budget of target tokens, exactly resumable.

A step gathers documents of `tokens_per_step` targets, sums their losses over batches of bounded
size and divides once by the step's targets, so the split into batches is not felt. Only hidden
states at targets meet the output layer: prefix and padding cost no logits. AdamW (Loshchilov and
Hutter, arXiv 1711.05101) with betas 0.9 and 0.95, weight decay on matrices only. A control is the
same call with alpha = 0: equal seed and documents give equal batches, tokens and steps. Everything
is float32. On a CPU the result follows from the arguments and the number of threads alone.
"""

import logging
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
import transformers
from transformers import LlamaForCausalLM

from distill.batches import (
    Batch,
    Cursor,
    check_documents,
    count_steps,
    make_batches,
    plan_steps,
)
from distill.checkpoint import Progress, StepRecord, load_checkpoint, save_checkpoint
from distill.config import TrainConfig
from distill.errors import DistillError
from distill.losses import sparse_cross_entropy
from distill.schedule import learning_rate
from distill.students.weights import weights_digest
from distill.targets import StudentDocument
from warehouse.identity import Json, digest, digest_bytes

__all__ = ["StepRecord", "TrainResult", "train"]

STAGE_VERSION = 1  # raise when the same arguments lead to other weights
_BETAS = (0.9, 0.95)
_EPS = 1e-8

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class TrainResult:
    """A finished training: its steps, the targets seen, the digest of the weights now held."""

    steps: tuple[StepRecord, ...]
    num_tokens: int
    weights_digest: str


def train(
    config: TrainConfig,
    model: LlamaForCausalLM,
    documents: Sequence[StudentDocument],
    folder: Path,
    *,
    seed: int,
    alpha: float,
    on_step: Callable[[StepRecord], None] = lambda _: None,
) -> TrainResult:
    """Train `model` in place until `config.num_tokens` targets were seen; the last step is whole.

    `model` comes with its first weights: they are part of what `folder`'s checkpoints must belong
    to. A killed call is taken up from the newest checkpoint, with the same bits in the end; a
    finished one returns at once. `seed` and `alpha` are this student's own (config.seed and
    config.alpha are what a caller derives them from). `on_step` hears each step of this call.
    Raises DistillError on unfit documents, another training's folder or a loss that is not finite.
    """
    check_documents(documents, model.config.max_position_embeddings, model.config.vocab_size)
    identity = _identity(config, model, documents, seed, alpha)
    run = _Run(config, model, documents, seed, alpha)
    run.model.train()
    progress = load_checkpoint(folder, identity)
    if progress is not None:
        run.restore(progress)
        logger.info("step %d/%d: resumed from %s", progress.step, run.num_steps, folder)
    for record in run.steps():
        if record.step % config.checkpoint_every_steps == 0 or record.step == run.num_steps:
            save_checkpoint(folder, run.progress(), identity)
        on_step(record)
    model.eval()
    return TrainResult(tuple(run.records), run.records[-1].num_tokens, weights_digest(model))


class _Run:
    """The state of one training: the model, its optimizer, the next step, the records so far."""

    def __init__(
        self,
        config: TrainConfig,
        model: LlamaForCausalLM,
        documents: Sequence[StudentDocument],
        seed: int,
        alpha: float,
    ) -> None:
        self.config, self.model, self.documents = config, model, documents
        self.seed, self.alpha = seed, alpha
        self.num_targets_D = np.array([len(d.input_ids) for d in documents], dtype=np.int64)
        self.num_steps = count_steps(
            self.num_targets_D, config.tokens_per_step, seed, config.num_tokens
        )
        self.optimizer = _make_optimizer(model, config.weight_decay)
        self.cursor = Cursor(0, 0)
        self.records: list[StepRecord] = []

    def steps(self) -> Iterator[StepRecord]:
        """Do the steps that are left, one per item."""
        plan = plan_steps(self.num_targets_D, self.config.tokens_per_step, self.seed, self.cursor)
        while len(self.records) < self.num_steps:
            cursor, indices = next(plan)
            record = self._step([self.documents[i] for i in indices])
            self.cursor = cursor
            self.records.append(record)
            yield record

    def _step(self, documents: Sequence[StudentDocument]) -> StepRecord:
        config, step = self.config, len(self.records) + 1
        rate = learning_rate(
            step, self.num_steps, config.learning_rate, config.warmup_share, config.decay_share
        )
        for group in self.optimizer.param_groups:
            group["lr"] = rate
        num_tokens = sum(len(document.input_ids) for document in documents)
        nats = 0.0
        for batch in make_batches(documents, config.max_batch_tokens):
            loss = batch_nats(self.model, batch, self.alpha)
            (loss / num_tokens).backward()
            nats += loss.item()
        norm = torch.nn.utils.clip_grad_norm_(self.model.parameters(), config.grad_clip).item()
        if not (math.isfinite(nats) and math.isfinite(norm)):
            raise DistillError(
                f"step {step}: finite loss and gradient expected, found {nats / num_tokens} nats "
                f"per token and norm {norm}; lower learning_rate ({config.learning_rate}) or raise "
                "warmup_share"
            )
        self.optimizer.step()
        self.optimizer.zero_grad(set_to_none=True)
        seen = num_tokens + (self.records[-1].num_tokens if self.records else 0)
        return StepRecord(step, seen, nats / num_tokens, rate, norm)

    def progress(self) -> Progress:
        tensors = {f"weights.{name}": p.detach() for name, p in self.model.named_parameters()}
        for name, parameter in self.model.named_parameters():
            for key, value in self.optimizer.state[parameter].items():
                tensors[f"optimizer.{key}.{name}"] = value
        return Progress(self.cursor, tuple(self.records), tensors)

    def restore(self, progress: Progress) -> None:
        with torch.no_grad():
            for name, parameter in self.model.named_parameters():
                parameter.copy_(progress.tensors[f"weights.{name}"])
                self.optimizer.state[parameter] = {
                    key: progress.tensors[f"optimizer.{key}.{name}"].to(parameter.device, copy=True)
                    for key in ("step", "exp_avg", "exp_avg_sq")
                }
        self.cursor, self.records = progress.cursor, list(progress.records)


def batch_nats(model: LlamaForCausalLM, batch: Batch, alpha: float) -> torch.Tensor:
    """The sum of the loss over the batch's targets in nats, a scalar with a gradient."""
    batch = batch.to(model.device)
    hidden_BTD = model.model(input_ids=batch.input_ids_BT, use_cache=False).last_hidden_state
    hidden_ND = hidden_BTD.flatten(0, 1).index_select(0, batch.positions_N)
    loss_N = sparse_cross_entropy(
        model.lm_head(hidden_ND),
        batch.labels_N,
        batch.offsets_N1,
        batch.target_ids_K,
        batch.target_counts_K,
        alpha,
    )
    return loss_N.sum()


def _make_optimizer(model: LlamaForCausalLM, weight_decay: float) -> torch.optim.AdamW:
    parameters = list(model.parameters())
    groups = [
        {"params": [p for p in parameters if p.ndim >= 2], "weight_decay": weight_decay},
        {"params": [p for p in parameters if p.ndim < 2], "weight_decay": 0.0},
    ]
    return torch.optim.AdamW(groups, betas=_BETAS, eps=_EPS, fused=True)


def _identity(
    config: TrainConfig,
    model: LlamaForCausalLM,
    documents: Sequence[StudentDocument],
    seed: int,
    alpha: float,
) -> Mapping[str, Json]:
    return {
        **config.identity(),
        # The caller derived them from those of the config.
        "alpha": alpha,
        "seed": seed,
        "documents": digest([_document_digest(document) for document in documents]),
        "first_weights": weights_digest(model),
        "num_threads": torch.get_num_threads(),
        "stage_version": STAGE_VERSION,
        "torch": torch.__version__,
        "transformers": transformers.__version__,
    }


def _document_digest(document: StudentDocument) -> str:
    arrays = (
        document.prefix_ids,
        document.input_ids,
        document.offsets,
        document.target_ids,
        document.target_counts,
    )
    return digest(document.doc_id, *(digest_bytes(a.astype(np.int64).tobytes()) for a in arrays))
