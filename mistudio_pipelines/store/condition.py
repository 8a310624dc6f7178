"""What of a dataset is really on disk and of the right size, found out so quickly that every look at it can ask.

What belongs here: presence and sizes. What does not: hashes, which take reading everything (`raw_folder.verify_raw`).
"""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from typing import Literal

from mistudio_pipelines.store.damage import MARK_NAME
from mistudio_pipelines.store.layout import DataStore
from mistudio_pipelines.store.manifest import MANIFEST_NAME
from mistudio_pipelines.store.remembered import read_remembered

# The files that say what an index and a tokenization are; `text/` and `tokenization/` write them.
INDEX_SUMMARY_NAME = "index.json"
TOKENIZATION_NAME = "tokenization.json"

FileSizes = tuple[tuple[str, int], ...]
PartCondition = Literal["complete", "missing", "damaged"]


@dataclass(frozen=True)
class Condition:
    """What of a dataset is on disk.

    Attributes:
        raw: `complete`, `missing`, or `damaged` where the manifest cannot be read or a file is not what it says.
        raw_bytes: Bytes of the raw files, by the manifest.
        index: `complete` where index and statistics are there; `missing`; `damaged` where a file of the index is not
            what it says of itself.
        tokenizations: Presets whose tokenization is there.
        damaged_tokenizations: Presets whose tokenization lacks a file, has one of another size, or is marked.
    """

    raw: PartCondition
    raw_bytes: int = 0
    index: PartCondition = "missing"
    tokenizations: tuple[str, ...] = ()
    damaged_tokenizations: tuple[str, ...] = ()


def read_condition(store: DataStore, dataset_id: str) -> Condition:
    """Look what of a dataset is on disk."""
    names = store.names(dataset_id)
    raw, raw_bytes = _read_part(names.raw, MANIFEST_NAME)
    index, _ = _read_part(names.index, INDEX_SUMMARY_NAME)
    tokenizations = _read_tokenizations(names.tokenized)
    return Condition(
        raw,
        raw_bytes,
        index=index if _has_size(names.statistics) else "missing",
        tokenizations=tuple(sorted(preset for preset, is_whole in tokenizations.items() if is_whole)),
        damaged_tokenizations=tuple(sorted(preset for preset, is_whole in tokenizations.items() if not is_whole)),
    )


def _read_part(folder: str, description: str) -> tuple[PartCondition, int]:
    """A finished folder by the file that describes it, and the bytes of its files as that says."""
    try:
        sizes = read_remembered(f"{folder}/{description}", _files_of)
    except (FileNotFoundError, NotADirectoryError):
        return "missing", 0
    except (OSError, ValueError, KeyError, TypeError):
        return "damaged", 0
    return "complete" if _are_whole(folder, sizes) else "damaged", sum(size for _, size in sizes)


def _read_tokenizations(folder: str) -> dict[str, bool]:
    """Each tokenization, and whether it is whole. A folder without a description is no tokenization yet."""
    found: dict[str, bool] = {}
    try:
        names = [entry.name for entry in os.scandir(folder) if not entry.name.startswith(".")]
    except (FileNotFoundError, NotADirectoryError):
        return found
    for name in names:
        condition, _ = _read_part(f"{folder}/{name}", TOKENIZATION_NAME)
        if condition != "missing":
            found[name] = condition == "complete"
    return found


def _files_of(content: bytes) -> FileSizes:
    """The files that a description lists: manifest and `tokenization.json` say `size`, `index.json` says `bytes`."""
    files = json.loads(content)["files"]
    return tuple((str(file["path"]), int(file["size"] if "size" in file else file["bytes"])) for file in files)


def _are_whole(folder: str, sizes: FileSizes) -> bool:
    """True where every file has its size and no verification has found the folder damaged."""
    return all(_has_size(f"{folder}/{name}", size) for name, size in sizes) and not _has_size(f"{folder}/{MARK_NAME}")


def _has_size(path: str, size: int | None = None) -> bool:
    """True where there is such a file, of that size if one is given."""
    try:
        found = os.stat(path).st_size  # noqa: PTH116  (thousands for a list: making paths would take longest)
    except (OSError, ValueError):
        return False
    return size is None or found == size
