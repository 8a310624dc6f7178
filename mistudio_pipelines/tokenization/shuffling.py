"""A shuffle that needs no memory: row j of the output is row `permutation(j)` of the input.

A balanced Feistel network over the smallest even number of bits that holds all rows, with cycle walking for the rest
(J. Black and P. Rogaway, "Ciphers with Arbitrary Finite Domains", 2002). It depends on the seed and the number of
rows only, so any worker can make any part of it, and no version of a library can change it.
"""

from __future__ import annotations

import numpy as np

_ROUNDS = 6
_GOLDEN = np.uint64(0x9E3779B97F4A7C15)
_MIX_1 = np.uint64(0xBF58476D1CE4E5B9)
_MIX_2 = np.uint64(0x94D049BB133111EB)


def shuffled(seed: int, total: int, start: int, end: int) -> np.ndarray:
    """Which input rows stand at the output positions `start` to `end`.

    Args:
        seed: Any integer from 0 to 2^63 - 1.
        total: Number of rows in all.
        start: First output position.
        end: One after the last.

    Returns:
        int64 array of `end - start` distinct numbers below `total`.
    """
    half_bits = max(1, ((max(total, 2) - 1).bit_length() + 1) // 2)
    values = np.arange(start, end, dtype=np.uint64)
    outside = np.ones(len(values), bool)
    while outside.any():
        values[outside] = _feistel(values[outside], seed, half_bits)
        outside = values >= np.uint64(total)
    return values.astype(np.int64)


def _feistel(values: np.ndarray, seed: int, half_bits: int) -> np.ndarray:
    bits = np.uint64(half_bits)
    mask = np.uint64((1 << half_bits) - 1)
    left, right = values >> bits, values & mask
    for round_number in range(_ROUNDS):
        key = np.uint64((seed * 0x2545F4914F6CDD1D + round_number * 0x9E3779B97F4A7C15 + 1) % 2**64)
        left, right = right, left ^ (_mix(right + key) & mask)
    return (left << bits) | right


def _mix(values: np.ndarray) -> np.ndarray:
    """The finalizer of SplitMix64 (Steele, Lea and Flood, 2014)."""
    values = values + _GOLDEN
    values = (values ^ (values >> np.uint64(30))) * _MIX_1
    values = (values ^ (values >> np.uint64(27))) * _MIX_2
    result: np.ndarray = values ^ (values >> np.uint64(31))
    return result
