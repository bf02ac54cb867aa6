"""Without the extra `eval`, the bridge to lm_eval says what is missing."""

import sys
from typing import Any, cast

import pytest

from distill.errors import DistillError
from distill.evaluation.harness import harness_lm, read_tasks


def test_a_missing_lm_eval_is_named_with_its_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "lm_eval", None)
    monkeypatch.setitem(sys.modules, "lm_eval.api.model", None)
    monkeypatch.setitem(sys.modules, "lm_eval.tasks", None)
    with pytest.raises(DistillError, match=r"pip install 'stillhouse\[eval\]'"):
        harness_lm(cast("Any", None), cast("Any", None))
    with pytest.raises(DistillError, match=r"pip install 'stillhouse\[eval\]'"):
        read_tasks([])
