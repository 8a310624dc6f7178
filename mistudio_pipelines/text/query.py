"""The query language of search: from what a person types to a tree.

What belongs here: reading a query, pure. What does not: finding anything (`search.py`).

    cats dogs            both words                    "black cats"     exactly these words, in this order
    cats OR dogs         at least one of them          run*             words that begin so
    cats NOT dogs        the first without the second  (a OR b) AND c   parentheses group

NOT binds closer than AND, AND closer than OR; side by side means AND. The operators are written in capitals; in lower
case, or in quotes, they are words. A word that is several search words (`don't`, `3.14`, `東京`) is found as a phrase.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from mistudio_pipelines.errors import ErrorCode, MistudioError
from mistudio_pipelines.text.search_words import SINGLE, classify, search_words

LONGEST_QUERY: Final = 5000
_DEEPEST: Final = 50
_SHOWN_AROUND: Final = 40
_LEXEME: Final = re.compile(r'\s*(?:(?P<quote>"(?P<inside>[^"]*)"?)|(?P<paren>[()])|(?P<word>[^\s()"]+))')
_HELP: Final = 'Search for words, "exact phrases" and prefix*, joined by AND, OR, NOT and parentheses.'


@dataclass(frozen=True)
class Phrase:
    """One search word, or several that follow each other.

    Attributes:
        words: Search words as `search_words` gives them; at least one.
        prefix: True where the last of them is only the beginning of a word.
    """

    words: tuple[str, ...]
    prefix: bool = False


@dataclass(frozen=True)
class Not:
    """What must not be found."""

    part: Node


@dataclass(frozen=True)
class And:
    """What must all be found."""

    parts: tuple[Node, ...]


@dataclass(frozen=True)
class Or:
    """What must be found at least once."""

    parts: tuple[Node, ...]


Node = Phrase | Not | And | Or


@dataclass(frozen=True)
class _Token:
    kind: str
    text: str
    start: int
    closed: bool = True


def parse_query(query: str) -> Node:
    """Read a query.

    Args:
        query: What a person typed.

    Raises:
        MistudioError: `invalid_query`, with one sentence that shows where; `details["position"]` counts from 0.
    """
    if len(query) > LONGEST_QUERY:
        raise _error(query, LONGEST_QUERY, f"a search has at most {LONGEST_QUERY} characters")
    for position, character in enumerate(query):
        if 0xD800 <= ord(character) < 0xE000:
            raise _error(query[:position], position, "what follows is half a character")
    return _Parser(query).parse()


def positive_phrases(node: Node) -> list[Phrase]:
    """The phrases whose presence makes a sample a hit: what is highlighted.

    Args:
        node: A query.
    """
    if isinstance(node, Phrase):
        return [node]
    if isinstance(node, Not):
        return []
    return [phrase for part in node.parts for phrase in positive_phrases(part)]


class _Parser:
    def __init__(self, query: str) -> None:
        self._query = query
        self._tokens = list(_tokens(query))
        self._next = 0
        self._depth = 0

    def parse(self) -> Node:
        if not self._tokens:
            raise _error(self._query, 0, "there is nothing to search for")
        node = self._alternatives()
        if self._next < len(self._tokens):
            raise _error(self._query, self._tokens[self._next].start, "this parenthesis closes nothing")
        return node

    def _peek(self) -> _Token | None:
        return self._tokens[self._next] if self._next < len(self._tokens) else None

    def _take(self, kind: str) -> bool:
        """Go past an operator, where it comes next."""
        token = self._peek()
        if token is None or token.kind != kind:
            return False
        self._next += 1
        return True

    def _alternatives(self) -> Node:
        parts = [self._conjunction()]
        while self._take("OR"):
            parts.append(self._conjunction())
        return _joined(Or, parts)

    def _conjunction(self) -> Node:
        parts = [self._negation()]
        while True:
            token = self._peek()
            if token is None or token.kind in ("OR", ")"):
                break
            self._take("AND")
            parts.append(self._negation())
        return _joined(And, parts)

    def _negation(self) -> Node:
        negated = False
        while self._take("NOT"):
            negated = not negated
        part = self._operand()
        return Not(part) if negated else part

    def _operand(self) -> Node:
        token = self._peek()
        if token is None or token.kind in ("AND", "OR", ")"):
            raise self._missing_operand(token)
        self._next += 1
        if token.kind == "(":
            return self._group(token)
        return _phrase(self._query, token)

    def _group(self, opening: _Token) -> Node:
        self._depth += 1
        if self._depth > _DEEPEST:
            raise _error(self._query, opening.start, f"parentheses are nested more than {_DEEPEST} deep")
        node = self._alternatives()
        closing = self._peek()
        if closing is None:
            raise _error(self._query, opening.start, "the parenthesis that opens here is never closed")
        self._next += 1
        self._depth -= 1
        return node

    def _missing_operand(self, found: _Token | None) -> MistudioError:
        before = self._tokens[self._next - 1] if self._next else None
        position = len(self._query) if found is None else found.start
        if before is not None and before.kind in ("AND", "OR", "NOT"):
            return _error(self._query, position, f"{before.kind} needs a word after it (in quotes it is a word itself)")
        if found is not None and found.kind in ("AND", "OR"):
            return _error(self._query, position, f"{found.kind} needs a word before it (in quotes it is a word itself)")
        if before is not None and before.kind == "(":
            return _error(self._query, position, "the parentheses hold nothing")
        return _error(self._query, position, "this parenthesis closes nothing")


def _joined(kind: type[And] | type[Or], parts: list[Node]) -> Node:
    """Parts put together; a part said twice is one part."""
    different = tuple(dict.fromkeys(parts))
    return different[0] if len(different) == 1 else kind(different)


def _tokens(query: str) -> Iterator[_Token]:
    for match in _LEXEME.finditer(query):
        if match["quote"] is not None:
            closed = len(match["quote"]) > 1 and match["quote"].endswith('"')
            yield _Token("quote", match["inside"], match.start("quote"), closed)
        elif match["paren"] is not None:
            yield _Token(match["paren"], match["paren"], match.start("paren"))
        else:
            kind = match["word"] if match["word"] in ("AND", "OR", "NOT") else "word"
            yield _Token(kind, match["word"], match.start("word"))


def _phrase(query: str, token: _Token) -> Phrase:
    if not token.closed:
        raise _error(query, token.start, "the quote that opens here is never closed")
    words = tuple(search_words(token.text))
    if not words:
        what = "the quotes hold no word" if token.kind == "quote" else f"{token.text} holds no letter or digit"
        raise _error(query, token.start, what)
    # A character of a script without spaces is a whole word already: all that begins with it contains it.
    prefix = token.kind == "word" and token.text.endswith("*") and classify(words[-1][0]) != SINGLE
    return Phrase(words, prefix)


def _error(query: str, position: int, reason: str) -> MistudioError:
    before = query[max(0, position - _SHOWN_AROUND) : position]
    after = query[position : position + _SHOWN_AROUND]
    cut_before = "…" if position > _SHOWN_AROUND else ""
    cut_after = "…" if len(query) > position + _SHOWN_AROUND else ""
    shown = f"{cut_before}{before}▸{after}{cut_after}"
    return MistudioError(
        ErrorCode.INVALID_QUERY,
        f"The search ‹{shown}› cannot be read at character {position + 1}: {reason}.",
        _HELP,
        details={"position": position, "query": query[: 2 * LONGEST_QUERY]},
    )
