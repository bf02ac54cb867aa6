"""Token automata on disk: built once for a tokenizer and a vocabulary, read by every later night.

A file is a sha256 and a numpy archive without objects. One that is cut, changed or of another kind
is built again; it is never an error, and never another automaton.
"""

import hashlib
import io
import os
import tempfile
import time
import zipfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from datagen.automata import Dfa
from datagen.constrain import AUTOMATON_VERSION, TokenAutomaton, token_automaton
from datagen.surface import SURFACE_VERSION, story_dfa
from datagen.vocabulary import Vocabulary
from warehouse.identity import digest

_SHA256_BYTES = 32
_ARRAYS = ("ids_U", "class_S", "common_CU", "own_start", "own_columns", "own_next")


@dataclass(frozen=True, slots=True)
class TokenizerFacts:
    """What an automaton takes from a tokenizer.

    sha256: of its file. token_bytes: the bytes of each id, empty for ids that are never written.
    strips_space: decoding takes away a leading space.
    """

    sha256: str
    token_bytes: Sequence[bytes]
    end_ids: tuple[int, ...]
    strips_space: bool


def load_automaton(
    vocabulary: Vocabulary, facts: TokenizerFacts, folder: Path, say: Callable[[str], None]
) -> TokenAutomaton:
    """The automaton of the vocabulary's stories in the tokenizer's ids, from the folder or built
    and left there; `say` hears of its size and of what building it took.
    """
    path = folder / f"{_key(vocabulary, facts)}.npz"
    found = _read(path)
    if found is not None:
        return found
    begun_s = time.process_time()
    automaton = token_automaton(
        story_dfa(vocabulary), facts.token_bytes, facts.end_ids, strips_space=facts.strips_space
    )
    _write(path, automaton)
    say(
        f"vocabulary {vocabulary.name}: {automaton.num_states} states over "
        f"{len(automaton.ids_U)} of {len(facts.token_bytes)} ids, "
        f"{automaton.size_bytes / 1e6:.1f} MB, built in "
        f"{time.process_time() - begun_s:.1f} CPU-seconds"
    )
    return automaton


def _key(vocabulary: Vocabulary, facts: TokenizerFacts) -> str:
    return digest(
        "automaton",
        AUTOMATON_VERSION,
        SURFACE_VERSION,
        vocabulary.digest,
        sorted(vocabulary.punctuation),
        facts.sha256,
        facts.end_ids,
        facts.strips_space,
    )


def _read(path: Path) -> TokenAutomaton | None:
    """The file's automaton, or None where there is none that is whole."""
    try:
        data = path.read_bytes()
    except OSError:
        return None
    if hashlib.sha256(data[_SHA256_BYTES:]).digest() != data[:_SHA256_BYTES]:
        return None
    try:
        arrays = np.load(io.BytesIO(data[_SHA256_BYTES:]), allow_pickle=False)
        return TokenAutomaton(
            **{name: arrays[name] for name in _ARRAYS},
            may_begin_word_S=arrays["may_begin_word_S"],
            dfa=Dfa(arrays["next_SA"], arrays["column_of"], arrays["labels_S"]),
            start=int(arrays["start"]),
        )
    except (ValueError, KeyError, EOFError, zipfile.BadZipFile):  # another version's, it seems
        return None


def _write(path: Path, automaton: TokenAutomaton) -> None:
    archive = io.BytesIO()
    np.savez_compressed(
        archive,
        **{name: getattr(automaton, name) for name in _ARRAYS},
        may_begin_word_S=automaton.may_begin_word_S,
        next_SA=automaton.dfa.next_SA,
        column_of=automaton.dfa.column_of,
        labels_S=automaton.dfa.labels_S,
        start=np.int64(automaton.start),
    )
    data = archive.getvalue()
    path.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.NamedTemporaryFile(dir=path.parent, delete=False) as file:
        try:
            file.write(hashlib.sha256(data).digest() + data)
            file.flush()
            os.fsync(file.fileno())
            os.chmod(file.name, 0o644)  # a cache may be a team's
            os.replace(file.name, path)
        except BaseException:
            os.unlink(file.name)
            raise
