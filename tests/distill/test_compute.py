"""bfloat16 and compiled layers: refused where hardware lacks them, close to float32 elsewhere."""

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from distill.batch_losses import batch_losses
from distill.batches import make_batches
from distill.compute import check_precision, computing
from distill.errors import DistillError
from distill.train import train
from tests.student_documents import make_documents, tiny_student, train_config

LENGTHS = [5, 17, 9, 30, 12, 3, 21, 14, 26]
CPU = torch.device("cpu")


@pytest.fixture(autouse=True)
def _one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def has(monkeypatch: pytest.MonkeyPatch, **capabilities: bool | str) -> None:
    """A machine of another kind: what the processor says of itself lies outside us."""
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: capabilities)


def test_bf16_is_refused_where_the_processor_lacks_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    has(monkeypatch, cpu_name="AMD EPYC", avx2=True, avx512_bf16=False)
    message = (
        r"expected a device that computes in bfloat16 .*found the cpu AMD EPYC without it; set"
    )
    documents = make_documents(LENGTHS)
    with pytest.raises(DistillError, match=message):
        train(
            train_config(precision="bf16"), tiny_student(), documents, tmp_path, seed=3, alpha=0.5
        )
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", ["avx512_bf16", "amx_bf16"])
def test_bf16_is_taken_where_the_processor_has_it(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    has(monkeypatch, cpu_name="another", **{name: True})
    check_precision(train_config(precision="bf16"), CPU)


def test_in_bf16_the_loss_is_float32_and_close() -> None:
    model = tiny_student()
    (batch,) = make_batches(make_documents([30, 21]), 10_000)
    exact = batch_losses(model, batch, 0.5)
    with computing(train_config(precision="bf16"), CPU):
        rounded = batch_losses(model, batch, 0.5)
        assert model.lm_head(torch.ones(1, 16)).dtype == torch.bfloat16
    assert rounded.dtype == torch.float32
    assert 0 < (rounded - exact).abs().max() < 0.02
    torch.autograd.backward(rounded.sum())
    assert {p.grad.dtype for p in model.parameters() if p.grad is not None} == {torch.float32}


@pytest.mark.kill  # some minutes of compiling
@pytest.mark.filterwarnings("ignore:`torch.jit:DeprecationWarning")  # inside torch's compiler
@pytest.mark.skipif(shutil.which("g++") is None, reason="torch.compile needs a C++ compiler")
def test_compiled_layers_train_as_plain_ones_do_but_for_rounding(tmp_path: Path) -> None:
    documents = make_documents(LENGTHS)
    config = train_config(max_batch_tokens=512)
    plain = train(config, tiny_student(), documents, tmp_path / "a", seed=3, alpha=0.5)
    asked = config.model_copy(update={"compile": True})
    compiled = train(asked, tiny_student(), documents, tmp_path / "b", seed=3, alpha=0.5)
    assert [r.loss for r in compiled.steps] == pytest.approx(
        [r.loss for r in plain.steps], rel=1e-4
    )
    again = train(asked, tiny_student(), documents, tmp_path / "c", seed=3, alpha=0.5)
    assert again == compiled
