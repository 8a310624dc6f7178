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


@dataclass(frozen=True)
class Condition:
    """What of a dataset is on disk.

    Attributes:
        raw: `complete`, `missing`, or `damaged` where the manifest cannot be read or a file is not what it says.
        raw_bytes: Bytes of the raw files, by the manifest.
        has_index: Index and statistics are there.
        tokenizations: Presets whose tokenization is there.
        damaged_tokenizations: Presets whose tokenization lacks a file or has one of another size.
    """

    raw: Literal["complete", "missing", "damaged"]
    raw_bytes: int = 0
    has_index: bool = False
    tokenizations: tuple[str, ...] = ()
    damaged_tokenizations: tuple[str, ...] = ()


def read_condition(store: DataStore, dataset_id: str) -> Condition:
    """Look what of a dataset is on disk."""
    names = store.names(dataset_id)
    raw, raw_bytes = _read_raw(names.raw)
    tokenizations = _read_tokenizations(names.tokenized)
    return Condition(
        raw,
        raw_bytes,
        has_index=_has_size(f"{names.index}/{INDEX_SUMMARY_NAME}") and _has_size(names.statistics),
        tokenizations=tuple(sorted(preset for preset, is_whole in tokenizations.items() if is_whole)),
        damaged_tokenizations=tuple(sorted(preset for preset, is_whole in tokenizations.items() if not is_whole)),
    )


def _read_raw(folder: str) -> tuple[Literal["complete", "missing", "damaged"], int]:
    try:
        sizes = read_remembered(f"{folder}/{MANIFEST_NAME}", _files_of)
    except (FileNotFoundError, NotADirectoryError):
        return "missing", 0
    except (OSError, ValueError, KeyError, TypeError):
        return "damaged", 0
    whole = _are_whole(folder, sizes) and not _has_size(f"{folder}/{MARK_NAME}")
    return "complete" if whole else "damaged", sum(size for _, size in sizes)


def _read_tokenizations(folder: str) -> dict[str, bool]:
    """Each tokenization, and whether it is whole. A folder without a description is no tokenization yet."""
    found: dict[str, bool] = {}
    try:
        names = [entry.name for entry in os.scandir(folder) if not entry.name.startswith(".")]
    except (FileNotFoundError, NotADirectoryError):
        return found
    for name in names:
        try:
            sizes = read_remembered(f"{folder}/{name}/{TOKENIZATION_NAME}", _files_of)
        except (FileNotFoundError, NotADirectoryError):
            continue
        except (OSError, ValueError, KeyError, TypeError):
            found[name] = False
        else:
            found[name] = _are_whole(f"{folder}/{name}", sizes)
    return found


def _files_of(content: bytes) -> FileSizes:
    """The files that a manifest or a `tokenization.json` lists; both have them under the same names."""
    return tuple((str(file["path"]), int(file["size"])) for file in json.loads(content)["files"])


def _are_whole(folder: str, sizes: FileSizes) -> bool:
    return all(_has_size(f"{folder}/{name}", size) for name, size in sizes)


def _has_size(path: str, size: int | None = None) -> bool:
    """True where there is such a file, of that size if one is given."""
    try:
        found = os.stat(path).st_size  # noqa: PTH116  (thousands for a list: making paths would take longest)
    except (OSError, ValueError):
        return False
    return size is None or found == size
