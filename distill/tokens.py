"""What a student's ids mean: a tokenizer, its start and end id, and which teacher id each one is.

A token space is two files with one digest: tokenizer.json, and token_space.json with the maps.
Targets are stored in the teacher's ids, so the maps are what lets one capture serve students of
several spaces. The end of a story is one id here, whichever of its end ids a teacher may write. A
space of its own tokenizer names no teacher's, and maps no id.
"""

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from tokenizers import Tokenizer

from distill.errors import DistillError
from warehouse.identity import canonical_json, digest

SPACE_FILE = "token_space.json"
TOKENIZER_FILE = "tokenizer.json"
TOKENIZER_CONFIG_FILE = "tokenizer_config.json"
WHITESPACE = b" \t\n\r\v\f"
METASPACE = "\u2581"

Int32Array = NDArray[np.int32]


@dataclass(frozen=True, slots=True, eq=False)
class TokenSpace:
    """V student ids. to_teacher is int32[V]; from_teacher int32[V of the teacher], -1 where the
    space lacks the id. An own space has -1 in to_teacher, and neither ids in from_teacher nor a
    teacher_tokenizer_sha256.

    Every end id of the teacher maps to end_id; start_id and end_id are equal where the teacher uses
    one symbol for both.
    """

    digest: str
    tokenizer_json: str
    vocab_size: int
    start_id: int
    end_id: int
    to_teacher: Int32Array
    from_teacher: Int32Array
    teacher_tokenizer_sha256: str
    _tokenizer: Tokenizer = field(repr=False)

    @property
    def is_own(self) -> bool:
        """Whether its ids mean nothing to a teacher."""
        return not self.teacher_tokenizer_sha256

    def encode(self, text: str) -> list[int]:
        """The ids of the text, without start and end symbol; a symbol's name inside the text is
        plain text.
        """
        return list(self._tokenizer.encode(text, add_special_tokens=False).ids)

    def encode_batch(self, texts: Sequence[str]) -> list[list[int]]:
        """encode of each text; several times faster than one by one."""
        return [list(e.ids) for e in self._tokenizer.encode_batch(texts, add_special_tokens=False)]

    def decode(self, ids: Sequence[int]) -> str:
        """The text of the ids, special symbols left out."""
        return str(self._tokenizer.decode(list(ids), skip_special_tokens=True))


def make_space(
    tokenizer_json: str,
    *,
    start_id: int,
    end_id: int,
    to_teacher: Int32Array,
    from_teacher: Int32Array,
    teacher_tokenizer_sha256: str,
) -> TokenSpace:
    """The space with its digest, which follows from every argument. Raises DistillError if the
    tokenizer has other ids.
    """
    tokenizer = read_tokenizer(tokenizer_json)
    tokenizer.encode_special_tokens = True
    vocab_size = int(to_teacher.size)
    ids = sorted(tokenizer.get_vocab(with_added_tokens=True).values())
    if ids != list(range(vocab_size)):
        raise DistillError(
            f"expected a tokenizer with ids 0 to {vocab_size - 1}, found {len(ids)} ids up to "
            f"{max(ids, default=-1)}: tokenizer.json and token space do not belong together"
        )
    facts = _facts(tokenizer_json, start_id, end_id, to_teacher, from_teacher)
    return TokenSpace(
        digest=digest(facts, teacher_tokenizer_sha256),
        tokenizer_json=tokenizer_json,
        vocab_size=vocab_size,
        start_id=start_id,
        end_id=end_id,
        to_teacher=to_teacher,
        from_teacher=from_teacher,
        teacher_tokenizer_sha256=teacher_tokenizer_sha256,
        _tokenizer=tokenizer,
    )


def save(space: TokenSpace, folder: Path) -> None:
    """Writes token_space.json, tokenizer.json and tokenizer_config.json, which AutoTokenizer reads;
    the folder must exist.
    """
    (folder / TOKENIZER_FILE).write_bytes(space.tokenizer_json.encode())
    start, end = (space._tokenizer.id_to_token(i) for i in (space.start_id, space.end_id))
    settings = {
        "tokenizer_class": "PreTrainedTokenizerFast",
        "bos_token": start,
        "eos_token": end,
        "pad_token": end,
        "clean_up_tokenization_spaces": False,
    }
    (folder / TOKENIZER_CONFIG_FILE).write_text(json.dumps(settings, indent=2) + "\n", "utf-8")
    facts = {
        "digest": space.digest,
        "vocab_size": space.vocab_size,
        "start_id": space.start_id,
        "end_id": space.end_id,
        "teacher_tokenizer_sha256": space.teacher_tokenizer_sha256,
        "to_teacher": space.to_teacher.tolist(),
        "from_teacher": space.from_teacher.tolist(),
    }
    (folder / SPACE_FILE).write_bytes(canonical_json(facts) + b"\n")


def load(folder: Path) -> TokenSpace:
    """The space that save wrote. Raises DistillError if a file is missing, or changed since
    (digest).
    """
    try:
        facts: dict[str, Any] = json.loads((folder / SPACE_FILE).read_text(encoding="utf-8"))
        tokenizer_json = (folder / TOKENIZER_FILE).read_bytes().decode("utf-8")
        space = make_space(
            tokenizer_json,
            start_id=int(facts["start_id"]),
            end_id=int(facts["end_id"]),
            to_teacher=np.array(facts["to_teacher"], np.int32),
            from_teacher=np.array(facts["from_teacher"], np.int32),
            teacher_tokenizer_sha256=str(facts["teacher_tokenizer_sha256"]),
        )
        digest = str(facts["digest"])
    # DistillError is a ValueError
    except (OSError, KeyError, TypeError, ValueError, OverflowError, RecursionError) as exc:
        raise DistillError(
            f"expected {SPACE_FILE} and {TOKENIZER_FILE} in {folder}, "
            f"found {type(exc).__name__}: {exc}; train or pull the student again"
        ) from exc
    if space.digest != digest:
        raise DistillError(
            f"token space in {folder}: expected digest {digest}, found {space.digest}: "
            f"{SPACE_FILE} or {TOKENIZER_FILE} was changed; train or pull the student again"
        )
    return space


def read_tokenizer(tokenizer_json: str) -> Tokenizer:
    """The tokenizer of a tokenizer.json's text, neither truncating nor padding. Raises DistillError
    if it cannot be read.
    """
    try:
        tokenizer = Tokenizer.from_str(tokenizer_json)
    except Exception as exc:  # the library raises bare Exception
        raise DistillError(f"expected the text of a tokenizer.json, found: {exc}") from exc
    tokenizer.no_truncation()
    tokenizer.no_padding()
    return tokenizer


def tokenizer_sha256(tokenizer_json: str) -> str:
    """64 hex characters; equal to the sha256 of the UTF-8 file that the text was read from."""
    return hashlib.sha256(tokenizer_json.encode()).hexdigest()


def is_byte_level(tokenizer_json: str) -> bool:
    """True if the tokens are written in GPT-2's 256 printable byte symbols."""
    return '"ByteLevel"' in json.dumps(json.loads(tokenizer_json).get("decoder"))


def token_bytes(tokenizer_json: str) -> list[bytes]:
    """The bytes that each id stands for, by id; special symbols and unused ids stand for none."""
    data = json.loads(tokenizer_json)
    vocab: dict[str, int] = dict(data["model"]["vocab"])
    added = {token["id"]: token for token in data.get("added_tokens") or ()}
    size = max([*vocab.values(), *added], default=-1) + 1
    result = [b""] * size
    convert = _byte_level_bytes if is_byte_level(tokenizer_json) else _metaspace_bytes
    for token, id_ in vocab.items():
        result[id_] = convert(token)
    for id_, token in added.items():
        result[id_] = b"" if token["special"] else token["content"].encode()
    return result


def word_start_mask(
    tokenizer_json: str, *, vocab_size: int, end_ids: Sequence[int]
) -> NDArray[np.bool_]:
    """bool[vocab_size]: true for ids that begin with an ASCII whitespace byte, and end ids."""
    mask = np.zeros(vocab_size, np.bool_)
    for id_, data in enumerate(token_bytes(tokenizer_json)[:vocab_size]):
        mask[id_] = data[:1] != b"" and data[:1] in WHITESPACE
    mask[list(end_ids)] = True
    return mask


@cache
def byte_symbols() -> dict[str, int]:
    """GPT-2's printable symbol of each byte: the byte's own character if printable in Latin-1, else
    one from 256 on.
    """
    printable = [*range(33, 127), *range(161, 173), *range(174, 256)]
    others = [byte for byte in range(256) if byte not in printable]
    symbols = {chr(byte): byte for byte in printable}
    symbols.update({chr(256 + i): byte for i, byte in enumerate(others)})
    return symbols


def fallback_byte(token: str) -> int | None:
    """The byte of a SentencePiece byte token such as <0x0A>, None for any other token."""
    if len(token) == 6 and token.startswith("<0x") and token.endswith(">"):
        return int(token[3:5], 16)
    return None


def _byte_level_bytes(token: str) -> bytes:
    symbols = byte_symbols()
    if all(char in symbols for char in token):
        return bytes(symbols[char] for char in token)
    return token.encode()


def _metaspace_bytes(token: str) -> bytes:
    byte = fallback_byte(token)
    return bytes([byte]) if byte is not None else token.replace(METASPACE, " ").encode()


def _facts(
    tokenizer_json: str,
    start_id: int,
    end_id: int,
    to_teacher: Int32Array,
    from_teacher: Int32Array,
) -> list[str | int | list[int]]:
    return [
        tokenizer_sha256(tokenizer_json),
        start_id,
        end_id,
        to_teacher.tolist(),
        from_teacher.tolist(),
    ]
