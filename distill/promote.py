"""Whether tonight's student takes the place of the one in use: one rule, applied to figures, with
its reason in words.

A challenger is promoted if the upper 97.5 % bound of its paired difference to the champion on the
selection set (held-out stories of earlier nights) lies below -margin, its point estimate on the
confirmation set (tonight's own, which no earlier decision has used) does too, and no gate is
broken. The margin is a share of the champion's figure on the selection set. The first whole student
of a line takes the empty place, however few the documents.

Deciding changes nothing: the swap itself is a compare-and-swap on the champion that the night met,
done by the caller.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from distill.errors import DistillError
from distill.evaluation.intervals import (
    NUM_RESAMPLES,
    Estimate,
    Values,
    bits_per_byte_point,
    paired_difference,
    smallest_difference,
)
from distill.gates import Gate, at_most, told
from distill.promote_config import PromoteConfig


@dataclass(frozen=True, slots=True)
class PairedScores:
    """Nats of the challenger and of another student on the same documents, in the same order."""

    challenger_nats: Values
    other_nats: Values
    num_bytes: Values

    @property
    def is_finite(self) -> bool:
        """False if a score is NaN or infinite."""
        return all(map(math.isfinite, [*self.challenger_nats, *self.other_nats]))

    @property
    def other_bits_per_byte(self) -> float:
        """The other student's figure."""
        return bits_per_byte_point(self.other_nats, self.num_bytes)

    @property
    def point(self) -> float:
        """Challenger less the other, bits per byte, without an interval."""
        gain = np.asarray(self.challenger_nats) - np.asarray(self.other_nats)
        return bits_per_byte_point(gain, self.num_bytes)

    def difference(self, seed: int, num_resamples: int) -> Estimate:
        """Challenger less the other, bits per byte, with its interval."""
        return paired_difference(
            self.challenger_nats,
            self.other_nats,
            self.num_bytes,
            seed=seed,
            num_resamples=num_resamples,
        )


@dataclass(frozen=True, slots=True)
class Decision:
    """One row of `promotions`, without the run, line and night that the caller knows."""

    challenger_id: str
    champion_id: str | None
    promoted: bool
    reason: str
    explanation: str
    margin: float | None
    difference: float | None
    low: float | None
    high: float | None
    confirmation_difference: float | None
    num_selection: int
    num_confirmation: int
    smallest_difference: float | None


@dataclass(frozen=True, slots=True)
class Contest:
    """All that a decision looks at.

    With a champion, `selection` and `confirmation` compare the challenger with it. In an empty
    place `selection` is None and `confirmation` compares the challenger with its control: it
    decides nothing, but shows what the night could have shown. None: no such documents.
    """

    challenger_id: str
    champion_id: str | None
    selection: PairedScores | None
    confirmation: PairedScores | None
    gates: Sequence[Gate] = ()


@dataclass(frozen=True, slots=True)
class _Figures:
    """What the rule and its sentence are made from."""

    margin: float | None = None
    selection: Estimate | None = None
    confirmation: float | None = None
    smallest: float | None = None


def decide(
    config: PromoteConfig, contest: Contest, *, seed: int, num_resamples: int = NUM_RESAMPLES
) -> Decision:
    """The decision of one night; `reason` is the first that holds of:

    gate:NAME (the first broken gate, while the explanation names them all; gate:finite_scores for a
    NaN or infinite score), first_student, too_few_documents, not_better (selection set),
    not_confirmed (confirmation set), better. Raises DistillError if an empty place comes with a
    selection set.
    """
    if contest.champion_id is None and contest.selection is not None:
        raise DistillError(
            "expected no selection set for an empty place, found one; "
            "there is no champion to compare with"
        )
    pairs = [pair for pair in (contest.selection, contest.confirmation) if pair is not None]
    gates = [*contest.gates]
    num_unsound = sum(not pair.is_finite for pair in pairs)
    gates.append(at_most("finite_scores", num_unsound, 0))
    figures = _Figures() if num_unsound else _figures(config, contest, seed, num_resamples)
    broken = [gate for gate in gates if not gate.ok]
    reason = f"gate:{broken[0].name}" if broken else _reason(config, contest, figures)
    return _row(config, contest, figures, reason, broken)


def champion_changed(decision: Decision, champion_id: str | None) -> Decision:
    """The decision after its swap was refused, because the line's champion is no longer the one
    that the night met.
    """
    met = decision.champion_id or "an empty place"
    return replace(
        decision,
        promoted=False,
        reason="champion_changed",
        explanation=f"kept: the night met {met}, but the champion is now "
        f"{champion_id or 'nobody'}; run another night",
    )


def _figures(config: PromoteConfig, contest: Contest, seed: int, num_resamples: int) -> _Figures:
    if contest.champion_id is None:
        if contest.confirmation is None:
            return _Figures()
        reference = contest.confirmation.difference(seed, num_resamples)
        margin = config.margin_share * contest.confirmation.other_bits_per_byte
        return _Figures(smallest=_finite(smallest_difference(reference, margin)))
    confirmation = None if contest.confirmation is None else contest.confirmation.point
    if contest.selection is None:
        return _Figures(confirmation=confirmation)
    margin = config.margin_share * contest.selection.other_bits_per_byte
    difference = contest.selection.difference(seed, num_resamples)
    smallest = _finite(smallest_difference(difference, margin))
    return _Figures(margin, difference, confirmation, smallest)


def _reason(config: PromoteConfig, contest: Contest, figures: _Figures) -> str:
    if contest.champion_id is None:
        return "first_student"
    difference, margin = figures.selection, figures.margin
    if difference is None or margin is None or difference.n < config.min_documents:
        return "too_few_documents"
    if figures.confirmation is None:
        return "too_few_documents"
    if not difference.high < -margin:
        return "not_better"
    if not figures.confirmation < -margin:
        return "not_confirmed"
    return "better"


def _row(
    config: PromoteConfig,
    contest: Contest,
    figures: _Figures,
    reason: str,
    broken: Sequence[Gate],
) -> Decision:
    estimate = figures.selection
    return Decision(
        challenger_id=contest.challenger_id,
        champion_id=contest.champion_id,
        promoted=reason in ("first_student", "better"),
        reason=reason,
        explanation=_sentence(config, contest, figures, reason, broken),
        margin=figures.margin,
        difference=None if estimate is None else estimate.value,
        low=None if estimate is None else _finite(estimate.low),
        high=None if estimate is None else _finite(estimate.high),
        confirmation_difference=figures.confirmation,
        num_selection=_size(contest.selection),
        num_confirmation=_size(contest.confirmation),
        smallest_difference=figures.smallest,
    )


def _sentence(
    config: PromoteConfig,
    contest: Contest,
    figures: _Figures,
    reason: str,
    broken: Sequence[Gate],
) -> str:
    if broken:
        return f"kept: {told(broken)}"
    if reason == "first_student":
        return "promoted: the line had no champion, so its first whole student takes the place"
    if reason == "too_few_documents":
        return (
            f"kept: {_size(contest.selection)} selection and {_size(contest.confirmation)} "
            f"confirmation documents are too few to decide on "
            f"(needed: {config.min_documents} and 1)"
            + (f"; so far {_selected(figures.selection)}" if figures.selection else "")
        )
    difference, margin, confirmation = figures.selection, figures.margin, figures.confirmation
    assert difference is not None
    assert margin is not None
    assert confirmation is not None
    num_confirmation = _size(contest.confirmation)
    selected = _selected(difference)
    confirmed = f"{_compared(confirmation)} on {num_confirmation} confirmation documents"
    if reason == "not_better":
        return f"kept: {selected}, and the upper bound would have to lie below {-margin:+.3f}"
    if reason == "not_confirmed":
        return f"kept: {selected}, but {confirmed}, not more than the margin of {margin:.3f}"
    return f"promoted: {selected}, all below {-margin:+.3f}, and {confirmed}"


def _selected(difference: Estimate) -> str:
    return (
        f"the challenger is {_compared(difference.value)} on {difference.n} selection documents "
        f"(95 % interval {difference.low:+.3f} to {difference.high:+.3f})"
    )


def _compared(difference: float) -> str:
    if difference == 0:
        return "exactly as good"
    return f"{abs(difference):.3f} bits per byte {'better' if difference < 0 else 'worse'}"


def _size(pair: PairedScores | None) -> int:
    return 0 if pair is None else len(pair.num_bytes)


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None
