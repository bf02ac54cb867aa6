"""A keyed order of the numbers below n, one place at a time: no list, no state.

A Feistel network over pairs (left, right) of mixed radix: each round adds to one half a digest of
the other, which can be undone, so pairs are permuted. Pairs that stand for n or more are shuffled
again until they do not (Black and Rogaway, "Ciphers with arbitrary finite domains", 2002): with
radices near the square root of n that is rarely asked for.
"""

from hashlib import blake2b
from math import isqrt

_ROUNDS = 4
_KEY_BYTES = 16
_DIGEST_BYTES = 64  # so that the rest of a division by a radix below 2**448 is as good as uniform


def key_from(*parts: bytes | int) -> bytes:
    """16 bytes that depend on the parts alone."""
    data = b"".join(
        b"%d:%b " % (len(raw), raw)
        for raw in (part if isinstance(part, bytes) else b"%d" % part for part in parts)
    )
    return blake2b(data, digest_size=_KEY_BYTES).digest()


def shuffle(place: int, n: int, key: bytes) -> int:
    """The number at that place (0 to n - 1) of the key's order of 0 to n - 1: a permutation.

    Costs some four digests, for any n below 2**890.
    """
    left_radix = isqrt(n - 1) + 1
    right_radix = -(-n // left_radix)
    number = place
    while True:
        left, right = divmod(number, right_radix)
        for turn in range(0, _ROUNDS, 2):
            left = (left + _drawn(key, turn, right)) % left_radix
            right = (right + _drawn(key, turn + 1, left)) % right_radix
        number = left * right_radix + right
        if number < n:
            return number


def _drawn(key: bytes, turn: int, half: int) -> int:
    data = b"%b %d %d" % (key, turn, half)
    return int.from_bytes(blake2b(data, digest_size=_DIGEST_BYTES).digest(), "big")
