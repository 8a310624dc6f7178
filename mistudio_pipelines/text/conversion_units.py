"""The steps of a conversion and what is remembered of finished ones, so that a rerun does not repeat them.

What belongs here: which sources are converted together, and the journal on disk. What does not: converting.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, ValidationError

from mistudio_pipelines.store.atomic import write_json
from mistudio_pipelines.store.manifest import RawFile
from mistudio_pipelines.text.formats.source import SourceFile

# Raised when the same sources would become other files than before.
CONVERSION_VERSION = 1
# Small files are converted together: a thousand files of one sample each become one.
_TOGETHER_BYTES = 64 << 20

_NUMBERED = re.compile(r"(?:part|finished)-([0-9]+)")

Unit = tuple[SourceFile, ...]


class FinishedUnit(BaseModel):
    """What a step left behind.

    Attributes:
        fingerprint: Of what went in; another one means that the step must be done again.
        files: Its Parquet files under their preliminary names; none where the sources held nothing.
    """

    model_config = ConfigDict(frozen=True)

    format_version: Literal[1] = 1
    fingerprint: str
    files: tuple[RawFile, ...]


def order_by_split(sources: Sequence[SourceFile]) -> list[SourceFile]:
    """Sources split by split, splits in the order in which they first appear, files in the order given."""
    splits = list(dict.fromkeys(source.split for source in sources))
    return sorted(sources, key=lambda source: splits.index(source.split))


def plan_units(sources: Sequence[SourceFile]) -> list[Unit]:
    """Group sources that are converted together: neighbours of one split, not Parquet, 64 MB at most.

    Decided by what is known of the originals, not by what lies on disk: a rerun finds the same units though sources of
    finished ones are gone.

    Args:
        sources: In the order of the dataset.
    """
    units: list[list[SourceFile]] = []
    for source in sources:
        last = units[-1] if units else []
        if (
            last
            and source.format != "parquet"
            and last[-1].format != "parquet"
            and last[-1].split == source.split
            and sum(other.origin.size for other in last) + source.origin.size <= _TOGETHER_BYTES
        ):
            last.append(source)
        else:
            units.append([source])
    return [tuple(unit) for unit in units]


def fingerprint(unit: Unit, text_column: str, *, strict: bool) -> str:
    """What the result of a unit depends on, as a hash."""
    parts = [
        {
            "split": source.split,
            "format": source.format,
            "origin": source.origin.model_dump(),
            "options": dict(source.reader_options),
        }
        for source in unit
    ]
    described = json.dumps([CONVERSION_VERSION, text_column, strict, parts], sort_keys=True, default=str)
    return hashlib.sha256(described.encode(errors="surrogatepass")).hexdigest()


class Journal:
    """The finished steps of one conversion, a small file each, beside the Parquet files that they made.

    Args:
        folder: Where both lie; created if it is missing.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        folder.mkdir(parents=True, exist_ok=True)

    def read(self, index: int, expected_fingerprint: str) -> FinishedUnit | None:
        """A finished step, or None where it must be done (again): never done, done for other sources, files gone."""
        try:
            finished = FinishedUnit.model_validate_json(self._path(index).read_bytes())
        except (FileNotFoundError, ValidationError, ValueError):
            return None
        return finished if finished.fingerprint == expected_fingerprint and self._is_whole(finished) else None

    def write(self, index: int, finished: FinishedUnit) -> None:
        """Remember a finished step."""
        write_json(self._path(index), finished.model_dump(mode="json"))

    def finished_origins(self) -> frozenset[str]:
        """Paths of the originals of all finished steps whose files are there."""
        origins: set[str] = set()
        for path in sorted(self.folder.glob("finished-*.json")):
            try:
                finished = FinishedUnit.model_validate_json(path.read_bytes())
            except (ValidationError, ValueError):
                continue
            if self._is_whole(finished):
                origins.update(origin.path for file in finished.files for origin in file.origins)
        return frozenset(origins)

    def remove_strays(self, unit_count: int) -> None:
        """Remove what steps left that no longer exist, and temporary files of a process that was killed."""
        for path in self.folder.iterdir():
            match = _NUMBERED.match(path.name)
            if path.name.startswith(".") or (match and int(match[1]) >= unit_count):
                path.unlink()

    def remove_others(self, index: int, keep: Sequence[RawFile] = ()) -> None:
        """Remove what an earlier attempt at a step left besides these files."""
        names = {file.path for file in keep}
        for path in self.folder.glob(f"{self.prefix(index)}*"):
            if path.name not in names:
                path.unlink()

    @staticmethod
    def prefix(index: int) -> str:
        """How the names of a step's Parquet files begin."""
        return f"part-{index:05d}-"

    def _is_whole(self, finished: FinishedUnit) -> bool:
        paths = [(self.folder / file.path, file.size) for file in finished.files]
        return all(path.is_file() and path.stat().st_size == size for path, size in paths)

    def _path(self, index: int) -> Path:
        return self.folder / f"finished-{index:05d}.json"
