"""One look over a block of text: how many tokens each sample has, and a key for every token.

What belongs here: array arithmetic on the bytes of many texts at once. What does not: adding up over blocks
(`word_counts.py`, `statistics.py`).

A token is what Python's `str.split()` gives: separated by any Unicode white space, including U+001C to U+001F and
U+0085. Splitting in Python makes 60 MB/s a core; finding the edges between white space and the rest in the UTF-8
bytes and hashing what lies between, all as array operations, makes three times that without a compiler.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import xxhash

# What str.isspace() says beyond ASCII, by the first byte of its UTF-8 form: (other bytes, as one number).
_WIDE_SPACES: Final = (
    (0xC2, 1, (0x85, 0xA0)),  # U+0085, U+00A0
    (0xE1, 2, (0x9A80,)),  # U+1680
    (0xE2, 2, (*range(0x8080, 0x808B), 0x80A8, 0x80A9, 0x80AF, 0x819F)),  # U+2000 to U+200A, 2028, 2029, 202F, 205F
    (0xE3, 2, (0x8080,)),  # U+3000
)
_LONGEST_EXACT: Final = 7
# Longer tokens are rare, and one array operation per eight bytes of the longest would be slow.
_LONGEST_IN_ARRAYS: Final = 128
_LOW_BYTES: Final = np.array([(1 << (8 * count)) - 1 for count in range(9)], dtype=np.uint64)
_LENGTH_BITS: Final = np.array([count << 56 for count in range(9)], dtype=np.uint64)
# Odd constants of fast-hash (Zilong Tan, MIT), with its shift.
_MULTIPLIER: Final = np.uint64(0x880355F21E6D1965)
_SEED: Final = np.uint64(0x2127599BF4325C37)
_SHIFT: Final = np.uint64(47)


@dataclass(frozen=True)
class TextBlock:
    """Consecutive texts of one split in one buffer.

    Attributes:
        first_sample: Number of the first of them.
        data: Their UTF-8 bytes, one text after the other, each followed by one line end.
        ends: Where each text's line end is, plus one.
        missing: True where the text is null (it has no bytes).
    """

    first_sample: int
    data: bytes
    ends: np.ndarray
    missing: np.ndarray

    @property
    def lengths(self) -> np.ndarray:
        """Bytes of each text."""
        return np.diff(self.ends, prepend=0) - 1


@dataclass(frozen=True)
class BlockTokens:
    """The tokens of a block.

    Attributes:
        per_sample: Number of tokens of each text.
        keys: One 64-bit key per token, in order. Tokens of up to seven bytes have keys of their own; longer ones a
            hash that no short one has. Among ten million different long tokens the chance that any two share a key
            is one in 370,000.
    """

    per_sample: np.ndarray
    keys: np.ndarray


def make_block(first_sample: int, texts: Sequence[pa.Array]) -> TextBlock:
    """Put consecutive texts into one buffer.

    Args:
        first_sample: Number of the first text.
        texts: string or large_string arrays, in order.
    """
    whole = pa.concat_arrays([array.cast(pa.large_string()) for array in texts])
    line_end, nothing = pa.scalar("\n", pa.large_string()), pa.scalar("", pa.large_string())
    filled = pc.fill_null(whole, "") if whole.null_count else whole
    joined = pc.binary_join_element_wise(filled, line_end, nothing)
    if joined.offset:
        joined = pa.concat_arrays([joined])
    _, offsets, data = joined.buffers()
    ends = np.frombuffer(offsets, np.int64)[1 : len(joined) + 1]
    missing = pc.is_null(whole).to_numpy(zero_copy_only=False)
    content = data.slice(0, int(ends[-1])).to_pybytes() if len(ends) else b""
    return TextBlock(first_sample, content, ends, missing)


def scan_tokens(block: TextBlock) -> BlockTokens:
    """Find and key every token of a block.

    Args:
        block: The texts.
    """
    data = np.frombuffer(block.data, np.uint8)
    starts, ends = token_bounds(block.data)
    per_sample = np.diff(np.searchsorted(starts, block.ends), prepend=0)
    return BlockTokens(per_sample, _token_keys(data, starts, ends - starts))


def token_bounds(content: bytes) -> tuple[np.ndarray, np.ndarray]:
    """Where each token starts and ends.

    Args:
        content: Valid UTF-8 that ends with white space, or nothing.

    Returns:
        Byte offsets of the starts, and of the ends.
    """
    data = np.frombuffer(content, np.uint8)
    # 9 to 13, 28 to 32: the subtraction wraps around below 9.
    space = (data <= 0x20) & ((data >= 0x1C) | ((data - np.uint8(9)) <= 4))
    if not content.isascii():
        _mark_wide_spaces(content, data, space)
    edges = np.flatnonzero(space[1:] != space[:-1]) + 1
    if len(space) and not space[0]:
        edges = np.concatenate([np.zeros(1, edges.dtype), edges])
    return edges[0::2], edges[1::2]


def _mark_wide_spaces(content: bytes, data: np.ndarray, space: np.ndarray) -> None:
    for lead, more_bytes, others in _WIDE_SPACES:
        if lead not in content:  # a tenth of the cost of finding where
            continue
        places = np.flatnonzero(data == lead)
        rest = data[places + 1].astype(np.uint16)
        if more_bytes == 2:
            rest = (rest << np.uint16(8)) | data[places + 2]
        places = places[np.isin(rest, others)]
        for step in range(more_bytes + 1):
            space[places + step] = True


def spell_tokens(block: TextBlock, keys: Collection[int]) -> dict[int, str]:
    """The tokens of a block that have some keys.

    Args:
        block: The texts.
        keys: Keys as `scan_tokens` gives them.

    Returns:
        The token of each key that is in the block.
    """
    starts, ends = token_bounds(block.data)
    found = _token_keys(np.frombuffer(block.data, np.uint8), starts, ends - starts)
    places = np.flatnonzero(np.isin(found, np.array(list(keys), np.uint64)))
    different, first = np.unique(found[places], return_index=True)
    return {
        key: block.data[starts[place] : ends[place]].decode()
        for key, place in zip(different.tolist(), places[first].tolist(), strict=True)
    }


def text_keys(block: TextBlock) -> np.ndarray:
    """A 64-bit hash of each whole text of a block (XXH3), for finding texts that are equal."""
    view = memoryview(block.data)
    starts = (block.ends - block.lengths - 1).tolist()
    pairs = zip(starts, (block.ends - 1).tolist(), strict=True)
    return np.fromiter((xxhash.xxh3_64_intdigest(view[start:end]) for start, end in pairs), np.uint64, len(starts))


def _token_keys(data: np.ndarray, starts: np.ndarray, lengths: np.ndarray) -> np.ndarray:
    padded = np.concatenate([data, np.zeros(8, np.uint8)])
    # Every eight bytes, at any offset, as one number: an overlapping view, not a copy.
    lanes = np.ndarray((len(data) + 1,), np.dtype("<u8"), buffer=padded.data, strides=(1,))
    first = lanes[starts]
    kept = np.minimum(lengths, 8)
    keys: np.ndarray = (first & _LOW_BYTES.take(kept)) | _LENGTH_BITS.take(kept)
    long = np.flatnonzero(lengths > _LONGEST_EXACT)
    if len(long):
        hashes = _hash_long(data, lanes, first[long], starts[long], lengths[long])
        # The top byte of a short token's key is its length, 1 to 7; here it is 8 to 255.
        top = (hashes >> np.uint64(56)) % np.uint64(248) + np.uint64(8)
        keys[long] = (hashes & _LOW_BYTES[7]) | (top << np.uint64(56))
    return keys


def _hash_long(
    data: np.ndarray, lanes: np.ndarray, first: np.ndarray, starts: np.ndarray, lengths: np.ndarray
) -> np.ndarray:
    """fast-hash over lanes of eight bytes, all tokens at once; `first` holds the first lane of each."""
    hashes = ((_SEED ^ (lengths.astype(np.uint64) * _MULTIPLIER)) ^ _mixed(first)) * _MULTIPLIER
    active = np.flatnonzero((lengths > 8) & (lengths <= _LONGEST_IN_ARRAYS))
    offset = 8
    while len(active):
        left = lengths[active] - offset
        lane = lanes[starts[active] + offset] & _LOW_BYTES.take(np.minimum(left, 8))
        hashes[active] = (hashes[active] ^ _mixed(lane)) * _MULTIPLIER
        offset += 8
        active = active[left > 8]
    hashes = _mixed(hashes)
    view = data.data
    for place in np.flatnonzero(lengths > _LONGEST_IN_ARRAYS).tolist():
        start = int(starts[place])
        hashes[place] = xxhash.xxh3_64_intdigest(view[start : start + int(lengths[place])])
    return hashes


def _mixed(values: np.ndarray) -> np.ndarray:
    values = values ^ (values >> np.uint64(23))
    values *= _MULTIPLIER
    values ^= values >> _SHIFT
    return values
