"""The id of everything: a digest of what it is or of what was asked for, never of when or by whom.

Values are written as canonical JSON (sorted keys, no spaces, UTF-8) and hashed with blake2b. Two
processes, machines or Python versions that mean the same thing therefore write the same id.
"""

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TypeAlias

DIGEST_BYTES = 16
_READ_BYTES = 1 << 20

Json: TypeAlias = "bool | int | float | str | Sequence[Json] | Mapping[str, Json] | None"


def canonical_json(value: Json) -> bytes:
    """The one byte form of a JSON value; NaN and infinities raise ValueError."""
    text = json.dumps(
        value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False
    )
    return text.encode()


def digest(*parts: Json) -> str:
    """32 hex characters: blake2b-128 of the canonical JSON of the list of parts."""
    return digest_bytes(canonical_json(list(parts)))


def digest_each(items: Iterable[Json]) -> str:
    """digest(list(items)), of items that need not be in memory together."""
    made = hashlib.blake2b(b"[[", digest_size=DIGEST_BYTES)
    for place, item in enumerate(items):
        made.update(b"," * (place > 0) + canonical_json(item))
    made.update(b"]]")
    return made.hexdigest()


def digest_bytes(data: bytes) -> str:
    """32 hex characters: blake2b-128 of the bytes."""
    return hashlib.blake2b(data, digest_size=DIGEST_BYTES).hexdigest()


def seed_from(*parts: Json) -> int:
    """A seed in [0, 2**63) that depends on nothing but the parts."""
    raw = hashlib.blake2b(canonical_json(list(parts)), digest_size=8).digest()
    return int.from_bytes(raw, "big") >> 1


def sha256_file(path: Path) -> str:
    """64 hex characters: the file's sha256, read in pieces."""
    sha = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(_READ_BYTES):
            sha.update(block)
    return sha.hexdigest()


def folder_digest(folder: Path, names: Iterable[str]) -> str:
    """The digest of the named files of a folder, by name and sha256; a missing file raises
    FileNotFoundError.
    """
    return digest({name: sha256_file(folder / name) for name in sorted(names)})
