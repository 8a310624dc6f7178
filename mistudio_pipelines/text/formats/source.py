"""What a reader is given: the file, and what it may tell while it reads."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, NoReturn

from mistudio_pipelines.errors import ErrorCode, MistudioError, Stopped
from mistudio_pipelines.progress import ShouldStop, never_stop
from mistudio_pipelines.store.manifest import Origin

Format = Literal["parquet", "arrow", "json", "csv", "text"]


# Options that change how fast `datasets` reads and not what.
_WITHOUT_EFFECT = frozenset(
    {
        "batch_size",
        "block_size",
        "chunksize",
        "encoding_errors",
        "engine",
        "lineterminator",
        "low_memory",
        "memory_map",
        "newlines_in_values",
        "use_threads",
        "verbose",
    }
)


@dataclass(frozen=True)
class SourceFile:
    """A file that becomes part of a dataset.

    Attributes:
        path: Where it lies on this machine.
        split: The split its samples belong to.
        format: What it holds once decompressed (the compression is found by looking).
        origin: Where it came from, with its size and, where known, its hash.
        reader_options: Options of the format, named as in `datasets`: `sep`, `names`, `encoding`, … for CSV, `field`
            for JSON, `sample_by` for text.
    """

    path: Path
    split: str
    format: Format
    origin: Origin
    reader_options: Mapping[str, Any] = field(default_factory=dict)


@dataclass
class Reading:
    """One file while it is read: how errors name it, the rules, and what was found.

    Attributes:
        name: As errors name it, with the archive member after `::`.
        options: The source's reader options.
        text_column: The column whose values are text whatever they look like, or None where it is not chosen yet.
        strict: True where invalid UTF-8 is refused instead of replaced.
        scratch: Folder for temporary files (an archived Parquet file must be unpacked), or None for the system's own.
        should_stop: Polled for every block.
        position: Bytes of the stored file read so far.
        replaced_characters: Invalid UTF-8 sequences replaced so far.
    """

    name: str
    options: Mapping[str, Any] = field(default_factory=dict)
    text_column: str | None = None
    strict: bool = False
    scratch: Path | None = None
    should_stop: ShouldStop = never_stop
    position: int = 0
    replaced_characters: int = 0

    def poll(self) -> None:
        """End the work where the caller wants it.

        Raises:
            Stopped: As soon as `should_stop` says so.
        """
        if self.should_stop():
            raise Stopped(f"Reading {self.name}")

    def count_replaced(self, count: int, where: str) -> None:
        """Take note of invalid UTF-8, or refuse it where `strict`.

        Args:
            count: Sequences replaced.
            where: Line or row, for the error, for example `line 12`.
        """
        if count and self.strict:
            self.fail(
                f"invalid UTF-8 in {where}",
                "Mend the file, or leave out `strict` to replace what is invalid by U+FFFD and count it.",
            )
        self.replaced_characters += count

    def fail(self, problem: str, next_step: str = "") -> NoReturn:
        """Refuse the file.

        Args:
            problem: What is wrong and where in the file, as the end of a sentence.
            next_step: What to do about it.

        Raises:
            MistudioError: `unreadable_file`, always.
        """
        raise MistudioError(
            ErrorCode.UNREADABLE_FILE,
            f"{self.name} cannot be read: {problem}.",
            next_step or "Mend the file, or leave it out.",
            details={"file": self.name},
        )

    def check_options(self, *known: str) -> None:
        """Refuse reader options that would be ignored: samples must not silently differ from what was configured."""
        for option in self.options:
            if option not in known and option not in _WITHOUT_EFFECT:
                raise MistudioError(
                    ErrorCode.UNSUPPORTED_FORMAT,
                    f"{self.name} is to be read with the option {option!r}, which is not supported.",
                    f"Options of this format are {', '.join(known)}." if known else "This format has no options.",
                )
