"""What of a dataset is really on disk and of the right size, found out so quickly that every look at it can ask.

What belongs here: presence and sizes. What does not: hashes, which take reading everything (`raw_folder.verify_raw`).
"""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from typing import Literal

from mistudio_pipelines.store.damage import MARK_NAME
from mistudio_pipelines.store.layout import DatasetNames, DataStore
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
        index: `complete` where index and statistics are there; `missing`; `damaged` where the index is marked.
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
    whole, damaged = _read_tokenizations(names.tokenized)
    return Condition(raw, raw_bytes, _read_index(names), whole, damaged)


def _read_index(names: DatasetNames) -> PartCondition:
    """By presence and mark alone: an index has so many files that asking each would take most of a list's time.

    Their sizes are asked twice a minute, and the mark is set where one is wrong (`scrubbing.py`).
    """
    if not _exists(f"{names.index}/{INDEX_SUMMARY_NAME}") or not _exists(names.statistics):
        return "missing"
    return "damaged" if _exists(f"{names.index}/{MARK_NAME}") else "complete"


def _read_part(folder: str, description: str) -> tuple[PartCondition, int]:
    """A finished folder by the file that describes it, and the bytes of its files as that says."""
    try:
        sizes = read_remembered(f"{folder}/{description}", _files_of)
    except (FileNotFoundError, NotADirectoryError):
        return "missing", 0
    except (OSError, ValueError, KeyError, TypeError):
        return "damaged", 0
    return "complete" if _are_whole(folder, sizes) else "damaged", sum(size for _, size in sizes)


def _read_tokenizations(folder: str) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """The whole and the damaged tokenizations. A folder without a description is no tokenization yet."""
    try:
        names = sorted(os.listdir(folder))  # noqa: PTH208  (thousands for a list: making paths would take longest)
    except (FileNotFoundError, NotADirectoryError):
        return (), ()
    found: dict[PartCondition, list[str]] = {"complete": [], "missing": [], "damaged": []}
    for name in names:
        if not name.startswith("."):
            found[_read_part(f"{folder}/{name}", TOKENIZATION_NAME)[0]].append(name)
    return tuple(found["complete"]), tuple(found["damaged"])


def _files_of(content: bytes) -> FileSizes:
    """The files that a manifest or a `tokenization.json` lists; both have them under the same names."""
    return tuple((str(file["path"]), int(file["size"])) for file in json.loads(content)["files"])


def _are_whole(folder: str, sizes: FileSizes) -> bool:
    """True where every file has its size and no verification has found the folder damaged."""
    try:
        for name, size in sizes:
            if os.stat(f"{folder}/{name}").st_size != size:  # noqa: PTH116  (as below)
                return False
    except (OSError, ValueError):
        return False
    return not _exists(f"{folder}/{MARK_NAME}")


def _exists(path: str) -> bool:
    return os.access(path, os.F_OK)  # thousands for a list: making paths would take longest
