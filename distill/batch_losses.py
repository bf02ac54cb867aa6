"""The loss of a batch of documents: a student's forward pass, logits at the targets alone, and the
loss that fits the form of the stored targets.

Legend: B rows, T padded length, D width, N targets of the batch, K their kept ids, V token ids.
"""

import torch
from transformers import LlamaForCausalLM

from distill.batches import Batch
from distill.losses import sparse_cross_entropy, top_k_cross_entropy


def row_length(model: LlamaForCausalLM) -> int | None:
    """The length of rows that several documents share: the student's positions on an accelerator,
    which wants shapes that do not change; None on a CPU, where documents of like length are rows.
    """
    return None if model.device.type == "cpu" else int(model.config.max_position_embeddings)


def batch_nats(model: LlamaForCausalLM, batch: Batch, alpha: float) -> torch.Tensor:
    """The sum of the loss over the batch's targets in nats, a scalar with a gradient."""
    return batch_losses(model, batch, alpha).sum()


def batch_losses(model: LlamaForCausalLM, batch: Batch, alpha: float) -> torch.Tensor:
    """The loss of each of the batch's targets in nats, shape (N,)."""
    batch = batch.to(model.device)
    return _position_nats(target_logits(model, batch), batch, alpha)


def target_logits(model: LlamaForCausalLM, batch: Batch) -> torch.Tensor:
    """What the student says where it predicts the batch's targets, shape (N, V), with a gradient;
    the batch is on its device.
    """
    hidden_BTD = model.model(
        input_ids=batch.input_ids_BT, position_ids=batch.position_ids_BT, use_cache=False
    ).last_hidden_state
    hidden_ND = hidden_BTD.flatten(0, 1).index_select(0, batch.positions_N)
    logits_NV: torch.Tensor = model.lm_head(hidden_ND)
    return logits_NV


def _position_nats(logits_NV: torch.Tensor, batch: Batch, alpha: float) -> torch.Tensor:
    """By the form in which the batch has the teacher's law."""
    positions = (logits_NV, batch.labels_N, batch.offsets_N1, batch.target_ids_K)
    if batch.tail_logmass_N.numel():
        return top_k_cross_entropy(*positions, batch.target_logprobs_K, batch.tail_logmass_N, alpha)
    return sparse_cross_entropy(*positions, batch.target_counts_K, alpha)
