"""The places of a text that a search found: short pieces around them, and what to highlight in each.

What belongs here: pure work on one text. What does not: how highlights look (the command and the panel decide).
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Final

from mistudio_pipelines.text.search import WrittenPhrase
from mistudio_pipelines.text.search_words import LETTER, MARK, SINGLE, classify, lower, search_words

_AROUND: Final = 80
_MOST_SNIPPETS: Final = 3
_MOST_HIGHLIGHTS: Final = 40
_MOST_PHRASES: Final = 50
_BEGINNING: Final = 200


@dataclass(frozen=True)
class Snippet:
    """A piece of a text.

    Attributes:
        text: The piece, in Unicode normal form C.
        highlights: Ranges of characters in it (start, one past the end), ascending and apart.
        starts_inside: True where the text goes on before it.
        ends_inside: True where the text goes on after it.
    """

    text: str
    highlights: tuple[tuple[int, int], ...] = ()
    starts_inside: bool = False
    ends_inside: bool = False

    def marked(self, before: str = "<mark>", after: str = "</mark>") -> str:
        """The piece with a mark before and after each highlight; nothing is escaped."""
        parts = []
        position = 0
        for start, end in self.highlights:
            parts += [self.text[position:start], before, self.text[start:end], after]
            position = end
        return "".join([*parts, self.text[position:]])


def find_snippets(text: str, phrases: Sequence[WrittenPhrase]) -> tuple[Snippet, ...]:
    """The pieces of a text around what was searched; its beginning where nothing was searched.

    Args:
        text: The text.
        phrases: What was searched.

    Returns:
        Up to three pieces, in order; at least one.
    """
    text = unicodedata.normalize("NFC", text) if phrases else text
    ranges = find_highlights(text, phrases)
    if not ranges:
        return (Snippet(text[:_BEGINNING], (), False, len(text) > _BEGINNING),)
    windows: list[list[tuple[int, int]]] = []
    for found in ranges:
        if windows and found[0] - windows[-1][-1][1] <= _AROUND:
            windows[-1].append(found)
        elif len(windows) < _MOST_SNIPPETS:
            windows.append([found])
        else:
            break
    return tuple(_cut(text, window) for window in windows)


def find_highlights(text: str, phrases: Sequence[WrittenPhrase]) -> list[tuple[int, int]]:
    """Where a text holds the phrases: ranges of characters, ascending and apart.

    Up to forty of each of the first fifty phrases are looked for.

    Args:
        text: A text in normal form C.
        phrases: What to find.
    """
    if not phrases:
        return []
    lowered = text.lower().replace("ς", "σ")
    if len(lowered) != len(text):
        lowered = "".join(map(lower, text))
    searched = phrases[:_MOST_PHRASES]
    found = sorted(span for phrase in searched for span in islice(_spans(lowered, phrase), _MOST_HIGHLIGHTS))
    merged: list[tuple[int, int]] = []
    for start, end in found:
        if merged and start < merged[-1][1]:
            merged[-1] = (merged[-1][0], max(end, merged[-1][1]))
        else:
            merged.append((start, end))
    return merged


def _spans(lowered: str, phrase: WrittenPhrase) -> Iterator[tuple[int, int]]:
    gap = r"(?:[\W_]*)"
    pattern = gap.join(f"(?:{'|'.join(map(re.escape, words))})" for words in phrase.words)
    compiled = re.compile(pattern)
    position = 0
    while (match := compiled.search(lowered, position)) is not None:
        start, position = match.start(), match.start() + 1
        # In this order: the end of a token of a million letters is looked for once, not from each of its letters.
        if not _starts_word(lowered, start):
            continue
        end = _end_of_word(lowered, match.end(), phrase.prefix)
        if end is not None and _is_phrase(lowered[start:end], phrase):
            yield start, end
            position = end


def _starts_word(text: str, start: int) -> bool:
    if classify(text[start]) == SINGLE or start == 0:
        return True
    before = start - 1
    while before > 0 and classify(text[before]) == MARK:
        before -= 1
    return classify(text[before]) != LETTER


def _end_of_word(text: str, end: int, prefix: bool) -> int | None:
    """Where the word that a match ends in ends; None where the match stops short of it."""
    whole = end
    single = classify(text[end - 1]) == SINGLE
    while whole < len(text) and (kind := classify(text[whole])) in (LETTER, MARK) and not (single and kind == LETTER):
        whole += 1
    return whole if prefix or whole == end else None


def _is_phrase(found: str, phrase: WrittenPhrase) -> bool:
    words = search_words(found)
    if len(words) != len(phrase.words):
        return False
    *firsts, last = zip(words, phrase.words, strict=True)
    if not all(word in allowed for word, allowed in firsts):
        return False
    word, allowed = last
    return word.startswith(tuple(allowed)) if phrase.prefix else word in allowed


def _cut(text: str, window: list[tuple[int, int]]) -> Snippet:
    start = max(0, window[0][0] - _AROUND)
    end = min(len(text), window[-1][1] + _AROUND)
    # Not in the middle of a word, where one ends nearby.
    while start > 0 and window[0][0] - start > _AROUND // 2 and not text[start - 1].isspace():
        start += 1
    while end < len(text) and end - window[-1][1] > _AROUND // 2 and not text[end].isspace():
        end -= 1
    highlights = tuple((first - start, last - start) for first, last in window)
    return Snippet(text[start:end], highlights, start > 0, end < len(text))
