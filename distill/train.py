"""The training loop of a student: a fixed budget of target tokens, exactly resumable.

A step gathers documents of `tokens_per_step` targets, sums their losses over batches of bounded
size and divides once by the step's targets, so the split into batches is not felt, nor that into
processes. Only hidden states at targets meet the output layer: prefix and padding cost no logits. A
control is the same call with alpha = 0: equal seed and documents give equal batches, tokens and
steps, but for an on-policy phase, which a control never has. Weights, optimizer and loss are
float32. On a CPU the result follows from the arguments and the number of threads alone.
"""

import logging
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
import transformers
from transformers import LlamaForCausalLM

from distill.batch_losses import batch_losses, batch_nats, row_length
from distill.batches import (
    Cursor,
    Int64Array,
    check_documents,
    count_steps,
    make_batches,
    plan_steps,
    split_step,
)
from distill.checkpoint import Progress, StepRecord, load_checkpoint, save_checkpoint
from distill.compute import check_precision, compile_layers, computing
from distill.config import TrainConfig
from distill.errors import DistillError
from distill.nonfinite import describe_place, first_bad_place
from distill.on_policy import OnPolicy
from distill.optimizers import make_optimizers, restore_state, set_rate, state_tensors
from distill.processes import train_in_processes
from distill.ranks import add_up, current_world, least, wait_for_all
from distill.schedule import learning_rate
from distill.students.weights import weights_digest
from distill.targets import StudentDocument
from distill.training_file import documents_digest, num_targets
from warehouse.identity import Json

__all__ = ["StepRecord", "TrainResult", "train"]

STAGE_VERSION = 2  # raise when the same arguments lead to other weights

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
    on_policy: OnPolicy | None = None,
    on_step: Callable[[StepRecord], None] = lambda _: None,
) -> TrainResult:
    """Train `model` in place until `config.num_tokens` targets were seen; the last step is whole.

    `model` comes with its first weights: they are part of what `folder`'s checkpoints must belong
    to. A killed call is taken up from the newest checkpoint, with the same bits in the end; a
    finished one returns at once. `seed` and `alpha` are this student's own (config.seed and
    config.alpha are what a caller derives them from). `on_policy` is there if the config has the
    phase; the texts of its steps are left in `folder` (student_texts.py). `on_step` hears each step
    of this call.
    A config of several processes has them started here, unless this is one of them already (see
    distill/ranks.py for torchrun); rank 0 alone writes to `folder`.
    Raises DistillError on unfit documents, another training's folder, a precision that the hardware
    lacks, or a loss that is not finite.
    """
    check_documents(documents, model.config.max_position_embeddings, model.config.vocab_size)
    check_precision(config, model.device)
    if (config.on_policy is None) is not (on_policy is None):
        raise DistillError(
            f"on_policy = {config.on_policy!r}: expected a teacher with the phase and none without "
            f"it, found {'none' if on_policy is None else 'one'}"
        )
    identity = _identity(config, model, documents, seed, alpha, on_policy)
    world = current_world()
    if world.size not in (1, config.num_processes):
        raise DistillError(
            f"num_processes = {config.num_processes}: expected that many processes, found "
            f"{world.size} that torchrun started; set train.num_processes={world.size}"
        )
    run = _Run(config, model, documents, seed, alpha, on_policy)
    if world.size < config.num_processes and not run.is_finished_in(folder, identity):
        train_in_processes(
            config, model, documents, folder, seed=seed, alpha=alpha, on_step=on_step
        )  # fmt: skip
    run.resume(folder, identity)
    if world.size < config.num_processes and run.is_unfinished:
        raise DistillError(f"{folder}: the last checkpoint expected, found none: train again")
    if config.compile and run.is_unfinished:
        compile_layers(model)
    model.train()
    for record in run.steps():
        is_due = record.step % config.checkpoint_every_steps == 0 or record.step == run.num_steps
        if on_policy is not None:
            on_policy.keep_texts(folder, record.step)
        if is_due and world.rank == 0:
            save_checkpoint(folder, run.progress(), identity)
        on_step(record)
    wait_for_all(world)
    model.eval()
    return TrainResult(tuple(run.records), run.records[-1].num_tokens, weights_digest(model))


class _Run:
    """The state of one training: the model, its optimizers, the next step, the records so far."""

    def __init__(
        self,
        config: TrainConfig,
        model: LlamaForCausalLM,
        documents: Sequence[StudentDocument],
        seed: int,
        alpha: float,
        on_policy: OnPolicy | None = None,
    ) -> None:
        self.config, self.model, self.documents = config, model, documents
        self.seed, self.alpha, self.world = seed, alpha, current_world()
        self.on_policy = on_policy
        self.num_targets_D = num_targets(documents)
        self.num_steps = count_steps(
            self.num_targets_D, config.tokens_per_step, seed, config.num_tokens
        )
        self.optimizers = make_optimizers(config, model)
        self.cursor = Cursor(0, 0)
        self.records: list[StepRecord] = []

    @property
    def is_unfinished(self) -> bool:
        return len(self.records) < self.num_steps

    def steps(self) -> Iterator[StepRecord]:
        """Do the steps that are left, one per item."""
        plan = plan_steps(self.num_targets_D, self.config.tokens_per_step, self.seed, self.cursor)
        while self.is_unfinished:
            cursor, indices = next(plan)
            record = self._step(indices)
            self.cursor = cursor
            self.records.append(record)
            yield record

    def _step(self, indices: Int64Array) -> StepRecord:
        config, step = self.config, len(self.records) + 1
        rate = learning_rate(
            step,
            self.num_steps,
            config.learning_rate,
            config.warmup_share,
            config.decay_share,
            config.schedule,
        )
        num_tokens = int(self.num_targets_D[indices].sum())
        mine = split_step(self.num_targets_D, indices, self.world.size)[self.world.rank]
        nats_sum = torch.zeros((), dtype=torch.float64, device=self.model.device)
        rows = [self.documents[i] for i in mine]
        written: list[StudentDocument] = []
        if self.on_policy is not None:
            rows, written = self.on_policy.parted(
                self.model, rows, seed=self.seed, step=step, num_steps=self.num_steps
            )
            num_tokens = sum(len(document.input_ids) for document in (*rows, *written))
        for loss in self._losses(rows, written, step):
            (loss / num_tokens).backward()
            nats_sum += loss.detach()
        self._add_up(nats_sum)
        norm_sum = torch.nn.utils.clip_grad_norm_(self.model.parameters(), config.grad_clip)
        # One wait for the device a step.
        nats, norm = torch.stack([nats_sum, norm_sum.double()]).tolist()
        if not (math.isfinite(nats) and math.isfinite(norm)):
            self._refuse(indices, mine, nats / num_tokens, norm)
        set_rate(self.optimizers, rate)
        for optimizer in self.optimizers:
            optimizer.step()
        self.model.zero_grad(set_to_none=True)
        seen = num_tokens + (self.records[-1].num_tokens if self.records else 0)
        return StepRecord(step, seen, nats / num_tokens, rate, norm)

    def _losses(
        self, rows: Sequence[StudentDocument], written: Sequence[StudentDocument], step: int
    ) -> Iterator[torch.Tensor]:
        """The nats of each batch, one at a time, so that only its activations are held."""
        most = self.config.max_batch_tokens
        for batch in make_batches(rows, most, row_length(self.model)) if rows else ():
            with computing(self.config, self.model.device):
                loss = batch_nats(self.model, batch, self.alpha)
            yield loss
        if self.on_policy is not None:
            yield from (losses.sum() for losses in self.on_policy.losses(self.model, written, step))

    def _add_up(self, nats_sum: torch.Tensor) -> None:
        if self.world.size == 1:
            return
        for parameter in self.model.parameters():
            if parameter.grad is None:  # this rank had no document
                parameter.grad = torch.zeros_like(parameter)
        add_up(self.world, [p.grad for p in self.model.parameters() if p.grad is not None])
        add_up(self.world, [nats_sum])

    def _refuse(self, indices: Int64Array, mine: Int64Array, loss: float, norm: float) -> None:
        """Raise DistillError with the place, the same on every rank; no weight has been changed."""

        def losses(document: StudentDocument) -> torch.Tensor:
            (batch,) = make_batches([document], self.config.max_batch_tokens)
            with torch.no_grad(), computing(self.config, self.model.device):
                return batch_losses(self.model, batch, self.alpha)

        place = first_bad_place(self.documents, mine.tolist(), losses)
        place = least(self.world, place, self.model.device)
        raise DistillError(
            f"step {len(self.records) + 1}: finite loss and gradient expected, found {loss} nats "
            f"per token and norm {norm}; {describe_place(place, self.documents, indices)}; the "
            "step was not taken, checkpoints are as they were: lower learning_rate "
            f"({self.config.learning_rate}) or raise warmup_share"
        )

    def progress(self) -> Progress:
        tensors = state_tensors(self.model, self.optimizers)
        return Progress(self.cursor, tuple(self.records), tensors)

    def is_finished_in(self, folder: Path, identity: Mapping[str, Json]) -> bool:
        progress = load_checkpoint(folder, identity)
        return progress is not None and progress.step == self.num_steps

    def resume(self, folder: Path, identity: Mapping[str, Json]) -> None:
        """Go to the newest checkpoint, if there is one. Rank 0 looks first, as it removes what is
        damaged.
        """
        if self.world.rank:
            wait_for_all(self.world)
        progress = load_checkpoint(folder, identity)
        if not self.world.rank:
            wait_for_all(self.world)
        if progress is None:
            return
        restore_state(self.model, self.optimizers, progress.tensors)
        self.cursor, self.records = progress.cursor, list(progress.records)
        logger.info("step %d/%d: resumed from %s", progress.step, self.num_steps, folder)


def _identity(
    config: TrainConfig,
    model: LlamaForCausalLM,
    documents: Sequence[StudentDocument],
    seed: int,
    alpha: float,
    on_policy: OnPolicy | None,
) -> Mapping[str, Json]:
    return {
        **config.identity(),
        **({} if on_policy is None else {"teacher": on_policy.identity()}),
        # The caller derived them from those of the config.
        "alpha": alpha,
        "seed": seed,
        "documents": documents_digest(documents),
        "first_weights": weights_digest(model),
        "num_threads": torch.get_num_threads(),
        "stage_version": STAGE_VERSION,
        "torch": torch.__version__,
        "transformers": transformers.__version__,
    }
