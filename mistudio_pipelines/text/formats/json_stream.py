"""JSON values out of one large text: the elements of an array, of the array under a key, or values in a row.

What belongs here: finding values in a stream without holding more than one of them. The values themselves are decoded
by Python's own decoder, at several hundred MB/s.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any

from mistudio_pipelines.text.formats.lines import MOST_LINE_BYTES
from mistudio_pipelines.text.formats.source import Reading

_WHITESPACE = re.compile(r"[ \t\n\r]*")
# A value cut off by the end of what was read so far fails this close to the end: "-Infinity" and "\ud83d\ude0" are the
# longest tokens that do so.
_LONGEST_CUT_TOKEN = 16


class JsonStream:
    """A reader of JSON values.

    Args:
        blocks: Valid UTF-8.
        reading: The file, for errors.
    """

    def __init__(self, blocks: Iterator[bytes], reading: Reading) -> None:
        self._blocks = blocks
        self._reading = reading
        # Control characters inside strings are accepted: people write tabs there.
        self._decoder = json.JSONDecoder(strict=False)
        self._text = ""
        self._position = 0
        self._line = 1  # of the first character of the text
        self._column = 0  # characters before it in that line

    def iter_elements(self) -> Iterator[Any]:
        """The elements of the array that comes next."""
        self._take("[")
        if self.peek() == "]":
            self._position += 1
            return
        while True:
            yield self._value()
            if self.peek() == "]":
                self._position += 1
                return
            self._take(",")

    def iter_field(self, name: str) -> Iterator[Any]:
        """The elements of the array under a key of the object that comes next; other keys are passed over.

        Raises:
            MistudioError: `unreadable_file`, with the keys that there are.
        """
        self._take("{")
        keys: list[str] = []
        while self.peek() != "}":
            if keys:
                self._take(",")
            self.peek()
            key = self._value()
            self._take(":")
            if key == name and self.peek() == "[":
                yield from self.iter_elements()
                return
            keys.append(str(key)[:60])
            self._skip_value()
        self._reading.fail(f"there is no list under the key {name!r}", f"Its keys are {', '.join(keys[:40])}.")

    def iter_values(self) -> Iterator[Any]:
        """All values until the end, with nothing but whitespace between them."""
        while self.peek():
            yield self._value()

    def expect_end(self) -> None:
        """Make sure that nothing follows.

        Raises:
            MistudioError: `unreadable_file`.
        """
        if self.peek():
            self._fail("nothing more is expected after the end of the list", self._position)

    def peek(self) -> str:
        """The next character that is not whitespace, or nothing at the end."""
        while True:
            match = _WHITESPACE.match(self._text, self._position)
            self._position = match.end() if match else self._position
            if self._position < len(self._text):
                return self._text[self._position]
            if not self._read_more():
                return ""

    def _take(self, expected: str) -> None:
        found = self.peek()
        if found != expected:
            self._fail(f"{expected!r} is expected where {found!r} stands" if found else "it ends early", self._position)
        self._position += 1

    def _skip_value(self) -> None:
        if self.peek() == "[":
            for _ in self.iter_elements():
                pass
        else:
            self._value()

    def _value(self) -> Any:
        """Decode the next value, reading on until it is complete."""
        if not self.peek():
            self._fail("it ends early", self._position)
        while True:
            try:
                value, end = self._decoder.raw_decode(self._text, self._position)
            except json.JSONDecodeError as error:
                cut = error.pos >= len(self._text) - _LONGEST_CUT_TOKEN or error.msg.startswith("Unterminated string")
                if not (cut and self._read_more()):
                    self._fail(error.msg, error.pos)
            except RecursionError:
                self._fail("a value is nested too deeply", self._position)
            else:
                # A number at the end of what was read may go on.
                if end < len(self._text) or not self._read_more():
                    self._position = end
                    return value

    def _read_more(self) -> bool:
        """Drop what was used and read at least as much as is left: a long value is not tried again and again.

        Positions in the text change, unless there was nothing to read.
        """
        first = next(self._blocks, b"")
        if not first:
            return False
        used = self._text[: self._position]
        lines = used.count("\n")
        self._line += lines
        self._column = len(used) - used.rfind("\n") - 1 if lines else self._column + len(used)
        rest = self._text[self._position :]
        self._position = 0
        parts = [rest, first.decode()]
        size = len(parts[1])
        while size <= len(rest) and (block := next(self._blocks, b"")):
            parts.append(block.decode())
            size += len(parts[-1])
        self._text = "".join(parts)
        if len(self._text) > MOST_LINE_BYTES:
            self._fail(
                f"one value is longer than {MOST_LINE_BYTES >> 20} MB",
                self._position,
                "If the samples lie in a list under a key, name the key with the option `field`.",
            )
        return True

    def _fail(self, problem: str, position: int, next_step: str = "") -> None:
        before = self._text[:position]
        lines = before.count("\n")
        column = position - before.rfind("\n") if lines else self._column + position + 1
        self._reading.fail(f"line {self._line + lines}, column {column}: {problem}", next_step)
