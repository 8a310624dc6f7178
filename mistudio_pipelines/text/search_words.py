"""What a word is in search: how texts are cut into words for the index, and how accents fold.

What belongs here: the one definition of a search word, once for a short string (queries, highlights) and once for
whole batches (the index). What does not: the words that statistics count (whitespace tokens, `statistics_scan.py`).

A word is a run of letters, digits and the marks on them, in lower case and Unicode normal form C; everything else
separates. Scripts that are written without spaces (Chinese, Japanese, Korean, Thai, Lao, Khmer, Burmese and others)
have no such runs, so there every character, with its marks, is a word, and several of them in a query are an exact
phrase: any substring is found, exactly, at the price of positions that the index holds anyway. Symbols outside ASCII
(emoji, currency, mathematics) are words of one character too. Words are indexed as written; which written words
differ only by accents from a folded one is kept beside the index.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import pairwise
from typing import Final

import numpy as np

SEPARATOR: Final = 0
LETTER: Final = 1
MARK: Final = 2
SINGLE: Final = 3

# Longer words (encoded images, keys) are not in the index; their place in a phrase stays.
LONGEST_WORD_BYTES: Final = 255

# Scripts written without spaces between words, as ranges of code points (Unicode 15 blocks).
_UNSPACED: Final = (
    (0x0E00, 0x0EFF),  # Thai, Lao
    (0x0F00, 0x109F),  # Tibetan, Myanmar
    (0x1100, 0x11FF),  # Hangul jamo
    (0x1780, 0x17FF),  # Khmer
    (0x1950, 0x19FF),  # Tai Le, New Tai Lue, Khmer symbols
    (0x1A20, 0x1AAF),  # Tai Tham
    (0x1B00, 0x1B7F),  # Balinese
    (0x2E80, 0xA4CF),  # CJK radicals to Yi: ideographs, kana, bopomofo, Hangul compatibility jamo
    (0xA960, 0xA9FF),  # Hangul jamo extended A, Javanese, Myanmar extended B
    (0xAA60, 0xAADF),  # Myanmar extended A, Tai Viet
    (0xAC00, 0xD7FF),  # Hangul syllables
    (0xF900, 0xFAFF),  # CJK compatibility ideographs
    (0xFF66, 0xFFDC),  # halfwidth kana and Hangul
    (0x16FE0, 0x18DFF),  # Tangut
    (0x1AFF0, 0x1B2FF),  # kana supplement, Nushu
    (0x20000, 0x323AF),  # CJK extensions
)
_CODE_POINTS: Final = 0x110000

# Letters that decompose into nothing, with what people type for them.
_SPECIAL_FOLDS: Final = {
    "ß": "ss", "æ": "ae", "œ": "oe", "ø": "o", "đ": "d", "ð": "d", "ł": "l", "ı": "i", "þ": "th", "ħ": "h", "ŧ": "t",
}  # fmt: skip
# Combining classes whose marks make another letter, not an accent: nukta, kana voicing, virama.
_KEPT_COMBINING: Final = frozenset({0, 7, 8, 9})
# A letter of its own to all who write it, though Unicode decomposes it.
_WHOLE_LETTERS: Final = frozenset("й")


def classify(character: str) -> int:
    """`SEPARATOR`, `LETTER`, `MARK` (joins the character before it) or `SINGLE` (a word by itself)."""
    code = ord(character)
    if code < 0x80:
        return LETTER if character.isalnum() else SEPARATOR
    category = unicodedata.category(character)
    if category[0] == "M" or 0x1F3FB <= code <= 0x1F3FF:  # the skin tones of emoji are marks in all but name
        return MARK
    if category[0] in "LN":
        unspaced = code >= _UNSPACED[0][0] and any(first <= code <= last for first, last in _UNSPACED)
        return SINGLE if unspaced else LETTER
    return SINGLE if category in ("So", "Sc", "Sm") else SEPARATOR


def lower(character: str) -> str:
    """One character in lower case, as one character (`İ` gives `i`; both small sigmas give the same)."""
    return "σ" if character == "ς" else character.lower()[0]


def search_words(text: str) -> list[str]:
    """The search words of a short text, in order.

    Args:
        text: Any string.
    """
    words: list[str] = []
    base = SEPARATOR
    for character in unicodedata.normalize("NFC", text):
        kind = classify(character)
        if kind == MARK:
            if base != SEPARATOR:
                words[-1] += lower(character)
        elif kind == LETTER and base == LETTER:
            words[-1] += lower(character)
        elif kind != SEPARATOR:
            words.append(lower(character))
        if kind != MARK:
            base = kind
    return words


def fold(word: str) -> str:
    """A search word without accents, ligatures and other compatibility forms (`Café` is not a search word; `café` is).

    Args:
        word: A search word.
    """
    if word.isascii():
        return word
    return unicodedata.normalize("NFC", "".join(map(_fold_character, word)))


def _fold_character(character: str) -> str:
    if character in _WHOLE_LETTERS:
        return character
    parts = map(lower, unicodedata.normalize("NFKD", character))
    return unicodedata.normalize(
        "NFC", "".join(_SPECIAL_FOLDS.get(part, part) for part in parts if not _is_accent(part))
    )


def _is_accent(character: str) -> bool:
    variation_selector = 0xFE00 <= ord(character) <= 0xFE0F
    return variation_selector or unicodedata.combining(character) not in _KEPT_COMBINING


class _Tables:
    """The same definition as `search_words`, as arrays by code point for whole batches.

    Each code point is looked up when it is first met: few of 300,000 ever are.
    """

    def __init__(self) -> None:
        self._known = np.zeros(_CODE_POINTS, np.bool_)
        self.classes = np.zeros(_CODE_POINTS, np.uint8)
        self.lower = np.zeros(_CODE_POINTS, np.uint32)
        self.folds = np.zeros(_CODE_POINTS, np.bool_)

    def learn(self, codes: np.ndarray) -> None:
        """Look up the code points that were not met before, and what they are in lower case."""
        new = np.unique(codes[~self._known[codes]]).tolist()
        for code in {*new, *(ord(lower(chr(code))) for code in new)}:
            character = chr(code)
            small = lower(character)
            self.classes[code] = classify(character)
            self.lower[code] = ord(small)
            self.folds[code] = self.classes[code] != SEPARATOR and _fold_character(small) != small
            self._known[code] = True


@lru_cache(maxsize=1)
def _tables() -> _Tables:
    return _Tables()


_ASCII_TABLE: Final = bytes(
    (ord(chr(byte).lower()) if chr(byte).isalnum() else 0x20) if byte < 0x80 else byte for byte in range(256)
)
_AFTER_C2_SEPARATORS: Final = np.array(
    [0x80 <= byte < 0xC0 and classify(chr(byte)) == SEPARATOR for byte in range(256)], dtype=np.bool_
)


@dataclass(frozen=True)
class IndexTexts:
    """Texts made ready for an index that cuts at spaces.

    Attributes:
        texts: One string per text: its search words, separated by spaces.
        accented: Distinct words among them that folding changes.
    """

    texts: list[str]
    accented: set[str]


def prepare_for_index(data: bytes, ends: Sequence[int]) -> IndexTexts:
    """Cut many texts into search words at once; says what `search_words` says.

    Args:
        data: The texts in UTF-8, one after the other; byte `ends[i]` onwards belongs to the next.
        ends: Where each text ends in `data`, ascending.
    """
    plain = bytearray(data).translate(_ASCII_TABLE)
    bounds = np.concatenate([[0], np.asarray(ends, dtype=np.int64)])
    foreign = _without_repeats(np.searchsorted(bounds, _foreign_places(plain), side="right") - 1)
    # Latin-1, because every byte is a character in it: wrong for the foreign texts, which are replaced below.
    whole = plain.decode("latin-1")
    limits = bounds.tolist()
    texts = [whole[start:end] for start, end in pairwise(limits)]
    accented: set[str] = set()
    if len(foreign):
        rows = foreign.tolist()
        prepared, accented = _prepare_unicode([data[limits[row] : limits[row + 1]].decode() for row in rows])
        for row, text in zip(rows, prepared, strict=True):
            texts[row] = text
    return IndexTexts(texts, accented)


def _foreign_places(content: bytearray) -> np.ndarray:
    """Where bytes outside ASCII are, after U+2000–U+203F and the separators of Latin-1 were made spaces.

    English with “quotes” then stays on the fast path.
    """
    if content.isascii():
        return np.empty(0, np.int64)
    array = np.frombuffer(content, np.uint8)
    lead = np.flatnonzero(array == 0xE2)
    lead = lead[array[lead + 1] == 0x80]
    for step in range(3):
        array[lead + step] = 0x20
    if 0xC2 in content:
        lead = np.flatnonzero(array == 0xC2)
        lead = lead[_AFTER_C2_SEPARATORS[array[lead + 1]]]
        for step in range(2):
            array[lead + step] = 0x20
    return np.flatnonzero(array >= 0x80)


def _without_repeats(ascending: np.ndarray) -> np.ndarray:
    return ascending[np.flatnonzero(np.diff(ascending, prepend=-1))]


def _prepare_unicode(texts: list[str]) -> tuple[list[str], set[str]]:
    tables = _tables()
    texts = [unicodedata.normalize("NFC", text) for text in texts]
    codes = np.frombuffer("\n".join(texts).encode("utf-32-le"), np.uint32)
    tables.learn(codes)
    classes = tables.classes[codes]
    # A mark counts as what it stands on.
    base = classes
    if (classes == MARK).any():
        places = np.where(classes == MARK, 0, np.arange(len(classes)))
        base = classes[np.maximum.accumulate(places)]
        base = np.where(base == MARK, SEPARATOR, base)
    words = np.where(base == SEPARATOR, np.uint32(0x20), tables.lower[codes])
    words[np.cumsum([len(text) + 1 for text in texts])[:-1] - 1] = 0x0A
    previous = np.concatenate([np.zeros(1, base.dtype), base[:-1]])
    starts = (classes == SINGLE) | ((classes == LETTER) & (previous == SINGLE))
    if starts.any():
        words = np.insert(words, np.flatnonzero(starts), 0x20)
    whole = words.astype("<u4").tobytes().decode("utf-32-le")
    return whole.split("\n"), _words_at(whole, words, np.flatnonzero(tables.folds[words]))


def _words_at(whole: str, codes: np.ndarray, places: np.ndarray) -> set[str]:
    """The distinct words around places of a text whose words are separated by spaces and line ends."""
    if not len(places):
        return set()
    gaps = np.concatenate([[-1], np.flatnonzero(codes <= 0x20), [len(codes)]])
    after = _without_repeats(np.searchsorted(gaps, places))
    starts, ends = (gaps[after - 1] + 1).tolist(), gaps[after].tolist()
    return {whole[start:end] for start, end in zip(starts, ends, strict=True)}
