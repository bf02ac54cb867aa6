"""The optimizers of a student, and their state as tensors by name.

"adamw": AdamW (Loshchilov and Hutter, arXiv 1711.05101) with betas 0.9 and 0.95, weight decay on
matrices only. "muon": Muon (distill/muon.py) for the matrices of the hidden layers, AdamW for the
embedding, which is also the head, and for the norms. Their updates are of one size, so both take
the recipe's one rate and weight decay, and a rate tuned for one is where to begin with the other.
Muon keeps one tensor per matrix where AdamW keeps two.
"""

from collections.abc import Mapping, Sequence

import torch
from torch.optim import AdamW, Optimizer
from transformers import LlamaForCausalLM

from distill.config import TrainConfig
from distill.errors import DistillError
from distill.muon import Muon

_BETAS = (0.9, 0.95)
_EPS = 1e-8
_KEYS: Mapping[type[Optimizer], tuple[str, ...]] = {
    AdamW: ("step", "exp_avg", "exp_avg_sq"),
    Muon: ("momentum_buffer",),
}


def make_optimizers(config: TrainConfig, model: LlamaForCausalLM) -> tuple[Optimizer, ...]:
    """The recipe's optimizers; every parameter belongs to exactly one of them. Rates are set before
    each step.
    """
    parameters = list(model.parameters())
    hidden = _hidden_matrices(model) if config.optimizer == "muon" else []
    taken = {id(parameter) for parameter in hidden}
    rest = [parameter for parameter in parameters if id(parameter) not in taken]
    groups = [
        {"params": [p for p in rest if p.ndim >= 2], "weight_decay": config.weight_decay},
        {"params": [p for p in rest if p.ndim < 2], "weight_decay": 0.0},
    ]
    adamw = AdamW(groups, betas=_BETAS, eps=_EPS, fused=True)
    if not hidden:
        return (adamw,)
    return adamw, Muon(hidden, weight_decay=config.weight_decay)


def set_rate(optimizers: Sequence[Optimizer], rate: float) -> None:
    """Have the next step of each taken at that rate."""
    for optimizer in optimizers:
        for group in optimizer.param_groups:
            group["lr"] = rate


def state_tensors(
    model: LlamaForCausalLM, optimizers: Sequence[Optimizer]
) -> dict[str, torch.Tensor]:
    """Weights and optimizer state by name: all that a later step needs of them."""
    tensors = {f"weights.{name}": p.detach() for name, p in model.named_parameters()}
    for name, parameter in model.named_parameters():
        for key, value in _optimizer_of(parameter, optimizers).state[parameter].items():
            tensors[f"optimizer.{key}.{name}"] = value
    return tensors


def restore_state(
    model: LlamaForCausalLM,
    optimizers: Sequence[Optimizer],
    tensors: Mapping[str, torch.Tensor],
) -> None:
    """Put weights and optimizer state back; DistillError, before anything is changed, if a tensor
    is missing, is one too many or has another shape (copying would spread a smaller one) or dtype.
    """
    _check(_expected_shapes(model, optimizers), tensors)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            parameter.copy_(tensors[f"weights.{name}"])
            optimizer = _optimizer_of(parameter, optimizers)
            optimizer.state[parameter] = {
                key: tensors[f"optimizer.{key}.{name}"].to(parameter.device, copy=True)
                for key in _KEYS[type(optimizer)]
            }


def _hidden_matrices(model: LlamaForCausalLM) -> list[torch.nn.Parameter]:
    ends = {id(model.get_input_embeddings().weight), id(model.get_output_embeddings().weight)}
    return [p for p in model.parameters() if p.ndim == 2 and id(p) not in ends]


def _optimizer_of(parameter: torch.nn.Parameter, optimizers: Sequence[Optimizer]) -> Optimizer:
    for optimizer in optimizers:
        for group in optimizer.param_groups:
            if any(parameter is other for other in group["params"]):
                return optimizer
    raise AssertionError("every parameter belongs to an optimizer")


def _expected_shapes(
    model: LlamaForCausalLM, optimizers: Sequence[Optimizer]
) -> dict[str, torch.Size]:
    shapes = {}
    for name, parameter in model.named_parameters():
        shapes[f"weights.{name}"] = parameter.shape
        for key in _KEYS[type(_optimizer_of(parameter, optimizers))]:
            is_count = key == "step"
            shapes[f"optimizer.{key}.{name}"] = torch.Size() if is_count else parameter.shape
    return shapes


def _check(expected: Mapping[str, torch.Size], found: Mapping[str, torch.Tensor]) -> None:
    missing = sorted(expected.keys() - found.keys())
    unknown = sorted(found.keys() - expected.keys())
    other = sorted(
        name
        for name in expected.keys() & found.keys()
        if (found[name].shape, found[name].dtype) != (expected[name], torch.float32)
    )
    if missing or unknown or other:
        facts = [
            f"{len(names)} {what} ({', '.join(names[:3])})"
            for names, what in ((missing, "missing"), (unknown, "unknown"), (other, "mis-shaped"))
            if names
        ]
        raise DistillError(
            f"checkpoint: expected the {len(expected)} tensors of this model and its optimizer, "
            f"found {len(found)}: {'; '.join(facts)}; remove the folder and train again"
        )
