"""A training in several processes of this machine, started and watched from one.

Each process gets the same arguments and calls train() itself; rank 0's steps come back over a pipe,
the weights through the last checkpoint. A process that dies takes the others with it, and all of
them die with this one; the call made again goes on at the newest checkpoint.
"""

import tempfile
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from torch import distributed, multiprocessing
from torch.multiprocessing.spawn import ProcessContext, ProcessException, spawn
from transformers import LlamaConfig, LlamaForCausalLM

from distill.checkpoint import StepRecord
from distill.config import TrainConfig
from distill.errors import DistillError
from distill.targets import StudentDocument

_POLL_S = 0.1
_END_S = 10.0

_Message = StepRecord | str


@dataclass(frozen=True, slots=True)
class _Job:
    config: TrainConfig
    model_config: LlamaConfig
    weights: Mapping[str, npt.NDArray[np.float32]]
    device: str
    num_threads: int
    documents: Sequence[StudentDocument]
    folder: Path
    seed: int
    alpha: float


def train_in_processes(
    config: TrainConfig,
    model: LlamaForCausalLM,
    documents: Sequence[StudentDocument],
    folder: Path,
    *,
    seed: int,
    alpha: float,
    on_step: Callable[[StepRecord], None],
) -> None:
    """Have config.num_processes processes train together until `folder` holds the last checkpoint;
    `model` is left as it is. The arguments are those of train().
    """
    device = model.device.type
    if device == "cuda" and torch.cuda.device_count() < config.num_processes:
        raise DistillError(
            f"num_processes = {config.num_processes}: expected a GPU for each, found "
            f"{torch.cuda.device_count()}; ask for fewer processes"
        )
    # As arrays: torch would put its tensors into shared memory, of which a container has little.
    weights = {name: p.detach().cpu().numpy() for name, p in model.named_parameters()}
    num_threads = torch.get_num_threads()
    job = _Job(
        config, model.config, weights, device, num_threads, documents, folder, seed, alpha
    )  # fmt: skip
    context = multiprocessing.get_context("spawn")
    with tempfile.TemporaryDirectory(prefix="stillhouse-ranks-") as meeting, ExitStack() as stack:
        pipes = [context.Pipe(duplex=False) for _ in range(config.num_processes)]
        receivers = [stack.enter_context(receiver) for receiver, _ in pipes]
        senders = [stack.enter_context(sender) for _, sender in pipes]
        arguments = (job, f"file://{meeting}/store", senders)
        started = _spawned(arguments, config.num_processes)
        try:
            _watch(started, receivers, on_step)
        finally:
            _end(started.processes)


def _spawned(arguments: tuple[_Job, str, list[Connection]], num_processes: int) -> ProcessContext:
    started = spawn(_train, arguments, num_processes, join=False)
    assert isinstance(started, ProcessContext)
    return started


def _train(rank: int, job: _Job, meeting: str, senders: Sequence[Connection]) -> None:
    """What each process does."""
    from distill.train import train

    torch.set_num_threads(job.num_threads)
    if job.device == "cuda":
        torch.cuda.set_device(rank)
    backend = "nccl" if job.device == "cuda" else "gloo"
    distributed.init_process_group(
        backend, init_method=meeting, rank=rank, world_size=job.config.num_processes
    )
    try:
        train(
            job.config,
            _model(job),
            job.documents,
            job.folder,
            seed=job.seed,
            alpha=job.alpha,
            on_step=senders[rank].send if rank == 0 else lambda _: None,
        )
    except DistillError as exc:
        senders[rank].send(str(exc))
        raise
    finally:
        distributed.destroy_process_group()


def _model(job: _Job) -> LlamaForCausalLM:
    with torch.random.fork_rng(devices=[]):
        model = LlamaForCausalLM(job.model_config)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            parameter.copy_(torch.from_numpy(job.weights[name]))
    torch.nn.Module.to(model, job.device)
    return model


def _watch(
    started: ProcessContext,
    receivers: Sequence[Connection],
    on_step: Callable[[StepRecord], None],
) -> None:
    """Hand on what comes over the pipes until all processes have ended well."""
    faults: list[str] = []

    def listen() -> None:
        for receiver in receivers:
            while receiver.poll():
                message: _Message = receiver.recv()
                if isinstance(message, str):
                    faults.append(message)
                else:
                    on_step(message)

    try:
        while not started.join(timeout=_POLL_S):
            listen()
        listen()
    except ProcessException as exc:
        listen()
        raise DistillError(
            faults[0]
            if faults
            else f"process {exc.error_index} of {len(receivers)} that train together ended early: "
            f"{exc}; run the same command again: it goes on at the newest checkpoint"
        ) from exc


def _end(processes: Sequence[multiprocessing.Process]) -> None:
    for process in processes:
        if process.is_alive():
            process.terminate()
    for process in processes:
        process.join(_END_S)
        if process.is_alive():
            process.kill()
            process.join()
