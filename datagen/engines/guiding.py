"""What is done to a batch's logits before each draw, and what is remembered of each draw.

Free: past the soft limit the end symbol's logit grows with every token, but only where a sentence
has just ended (a weak teacher rarely ends by itself). Under a vocabulary: the same, ids outside the
automaton are shut, and missing words are drawn in.

Tensors: B rows that are still written, V token ids, U columns of allowed ids.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from datagen.config import SamplingConfig
from datagen.constrain import TokenAutomaton
from datagen.engines.base import Request
from datagen.engines.masking import TokenMask, narrowed
from datagen.engines.steering import Speller, Steering, Wanted

# Nats per token past the soft limit: ten tokens on, a sentence's end is e times likelier to be the
# story's.
END_BONUS = 0.1
_AFTER_SENTENCE = "\"'\u201d\u2019\u0120\u010a\u2581"


class Guide(Protocol):
    """Follows the rows of a batch, in which requests come and go."""

    def admit(self, rows: Sequence[int], requests: Sequence[Request]) -> None:
        """Begin a request in each of the rows; DatagenError if an opening is outside."""

    def shape(self, logits: Tensor, steps_B: Tensor) -> None:
        """Change the logits (B, V or U) of each row's next token, in place; steps_B: int64, the
        tokens that each row has drawn.
        """

    def take(self, columns_B: Tensor) -> Tensor:
        """Remember what was drawn; its token ids, int64 (B,)."""

    def keep(self, indices: Tensor) -> None:
        """Drop every row that indices does not name."""


@dataclass(frozen=True, slots=True)
class SentenceEnds:
    """Where a story may end: ids that end a sentence, as bool (V,), and the main end id."""

    is_sentence_end_V: Tensor
    end_id: int

    @classmethod
    def of(
        cls, tokenizer: PreTrainedTokenizerBase, vocab_size: int, end_ids: Sequence[int]
    ) -> "SentenceEnds":
        """The ends of a tokenizer whose model has vocab_size logits."""
        tokens = tokenizer.convert_ids_to_tokens(list(range(len(tokenizer))))
        is_end = [token.rstrip(_AFTER_SENTENCE)[-1:] in (".", "!", "?") for token in tokens]
        padding = [False] * (vocab_size - len(is_end))
        return cls(torch.tensor(is_end + padding), end_ids[0])


@dataclass(slots=True)
class FreeGuide:
    """Writes any ids."""

    ends: SentenceEnds
    soft_limit_tokens: int
    _ids_B: Tensor | None = None

    def admit(self, rows: Sequence[int], requests: Sequence[Request]) -> None:
        """Nothing is remembered before the first draw."""

    def shape(self, logits: Tensor, steps_B: Tensor) -> None:
        """Invite the end after a sentence, by how far each row is past the soft limit."""
        if self._ids_B is not None:
            is_end_B = self.ends.is_sentence_end_V.to(logits.device)[self._ids_B]
            num_past_B = (steps_B - self.soft_limit_tokens).clamp(min=0)
            logits[:, self.ends.end_id] += END_BONUS * num_past_B * is_end_B

    def take(self, columns_B: Tensor) -> Tensor:
        """Columns are ids."""
        self._ids_B = columns_B
        return columns_B

    def keep(self, indices: Tensor) -> None:
        """Drop every row that indices does not name."""
        assert self._ids_B is not None
        self._ids_B = self._ids_B[indices]


@dataclass(frozen=True, slots=True)
class Constraint:
    """A vocabulary that an engine's stories keep to, ready for its model.

    model: its logits are those of ids_U. end_columns: of the end ids, the main one first.
    """

    automaton: TokenAutomaton
    mask: TokenMask
    model: PreTrainedModel
    ids_U: Tensor
    end_columns: tuple[int, ...]
    bytes_U: tuple[bytes, ...]
    speller: Speller

    @classmethod
    def of(
        cls,
        automaton: TokenAutomaton,
        token_bytes: Sequence[bytes],
        end_ids: Sequence[int],
        model: PreTrainedModel,
        encode: Callable[[str], Sequence[int]],
    ) -> "Constraint":
        """encode: the ids of a text alone. EngineError if the model's last layer cannot be cut."""
        ids = automaton.ids_U.tolist()
        columns = {id_: column for column, id_ in enumerate(ids)}
        ids_U = torch.from_numpy(automaton.ids_U).long().to(model.device)
        return cls(
            automaton=automaton,
            mask=TokenMask.of(automaton, model.device),
            model=narrowed(model, ids_U),
            ids_U=ids_U,
            end_columns=tuple(columns[id_] for id_ in end_ids),
            bytes_U=tuple(token_bytes[id_] for id_ in ids),
            speller=Speller(encode, columns, automaton.spellings, adds_space=automaton.start != 0),
        )

    def guide(self, num_rows: int, sampling: SamplingConfig) -> "VocabularyGuide":
        """The guide of a batch of num_rows rows, none of them begun."""
        steering = Steering(
            self.speller, sampling.steer, sampling.soft_limit_tokens, sampling.max_new_tokens
        )
        states_B = torch.zeros(num_rows, dtype=torch.long, device=self.ids_U.device)
        return VocabularyGuide(self, steering, states_B, [Wanted([], []) for _ in range(num_rows)])


@dataclass(slots=True)
class VocabularyGuide:
    """Writes what the automaton lets through. states_B: int64."""

    constraint: Constraint
    steering: Steering
    states_B: Tensor
    wanted: list[Wanted]

    def admit(self, rows: Sequence[int], requests: Sequence[Request]) -> None:
        """Begin each row where its request's opening ends."""
        for row, request in zip(rows, requests, strict=True):
            self.states_B[row] = self.constraint.automaton.after(request.opening)
            required = request.required if self.steering.nats else ()
            self.wanted[row] = self.steering.begin(required, request.opening)

    def shape(self, logits: Tensor, steps_B: Tensor) -> None:
        """Invite the end, or withhold it while a word is missing; favour missing words; shut what
        may not follow.
        """
        num_past_B = (steps_B - self.steering.soft_limit_tokens).clamp(min=0)
        logits[:, self.constraint.end_columns[0]] += END_BONUS * num_past_B
        self._steer(logits, steps_B.tolist())
        self.constraint.mask.shut(logits, self.states_B)

    def take(self, columns_B: Tensor) -> Tensor:
        """Move each row on."""
        self.states_B = self.constraint.mask.advance(self.states_B, columns_B)
        if any(wanted.missing for wanted in self.wanted):
            for wanted, column in zip(self.wanted, columns_B.tolist(), strict=True):
                self.steering.hear(wanted, column, self.constraint.bytes_U[column])
        return self.constraint.ids_U[columns_B]

    def keep(self, indices: Tensor) -> None:
        """Drop every row that indices does not name."""
        self.states_B = self.states_B[indices]
        self.wanted = [self.wanted[row] for row in indices.tolist()]

    def _steer(self, logits: Tensor, steps: Sequence[int]) -> None:
        open_rows = [row for row, wanted in enumerate(self.wanted) if wanted.missing]
        if not open_rows:
            return
        may_begin_S = self.constraint.automaton.may_begin_word_S
        states = self.states_B.tolist()
        rows, columns, bonuses, shut_rows = [], [], [], []
        for row in open_rows:
            wanted = self.wanted[row]
            may_begin = bool(may_begin_S[states[row]])
            favoured = self.steering.favoured(wanted, may_begin_word=may_begin)
            rows += [row] * len(favoured)
            columns += sorted(favoured)
            bonuses += [self.steering.bonus(steps[row])] * len(favoured)
            if self.steering.withholds_end(wanted, steps[row]):
                shut_rows.append(row)
        at_rows = torch.tensor(rows, dtype=torch.long, device=logits.device)
        at_columns = torch.tensor(columns, dtype=torch.long, device=logits.device)
        logits[at_rows, at_columns] += torch.tensor(bonuses, device=logits.device)
        for column in self.constraint.end_columns:
            logits[shut_rows, column] = -torch.inf
