"""From parts of a sample index to the index: joined without indexing anything again, synced, hashed, sealed.

What belongs here: what happens to finished parts. What does not: making one (`sample_index_writer.py`).

A tantivy index is a list of segments in `meta.json`, each of them files of its own with a name that no other index
has. Parts with the same schema are therefore joined by moving their files into one folder and their segments into one
list; sample numbers are in the documents, so that their order does not matter.
"""

from __future__ import annotations

import json
import shutil
import sqlite3
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

from mistudio_pipelines.store.atomic import fsync_file, fsync_folder, write_json
from mistudio_pipelines.text.fingerprint import Fingerprint
from mistudio_pipelines.text.sample_index import (
    ACCENTS_NAME,
    SUMMARY_NAME,
    TANTIVY_NAME,
    TOKENS_NAME,
    IndexFile,
    IndexSummary,
    hash_file,
)
from mistudio_pipelines.text.sample_index_writer import IndexPart, explaining_failures

_META = "meta.json"
_MANAGED = ".managed.json"


def make_index(parts: Sequence[IndexPart], folder: Path, dataset_id: str, fingerprint: Fingerprint) -> IndexSummary:
    """Join the parts of a dataset, and complete the folder: everything is on disk and hashed. The parts are gone then.

    Args:
        parts: All parts in the order of their samples, at least one.
        folder: Where the index goes, on the same file system; does not exist.
        dataset_id: Id of the dataset.
        fingerprint: What the index was made from.

    Raises:
        MistudioError: `insufficient_storage` where the disk is full.
    """
    with explaining_failures(folder.parent, dataset_id):
        parts[0].folder.rename(folder)
        if len(parts) > 1:
            _join(folder, [part.folder for part in parts[1:]])
        for path in _files(folder):
            fsync_file(path)
        fsync_folder(folder / TANTIVY_NAME)
        summary = IndexSummary(
            dataset_id=dataset_id,
            fingerprint=fingerprint,
            samples=sum(part.samples for part in parts),
            text_bytes=sum(part.text_bytes for part in parts),
            files=tuple(
                IndexFile(path=str(path.relative_to(folder)), bytes=path.stat().st_size, xxh3=hash_file(path))
                for path in _files(folder)
            ),
        )
        write_json(folder / SUMMARY_NAME, summary.model_dump(mode="json"))
    return summary


def _files(folder: Path) -> list[Path]:
    return [path for path in sorted(folder.rglob("*")) if path.is_file()]


def _join(folder: Path, others: Sequence[Path]) -> None:
    for other in others:
        with (folder / TOKENS_NAME).open("ab") as all_tokens, (other / TOKENS_NAME).open("rb") as tokens:
            shutil.copyfileobj(tokens, all_tokens)
    with closing(sqlite3.connect(folder / ACCENTS_NAME, isolation_level=None)) as accents:
        # Like the parts themselves: what was cut short is made again, not recovered.
        accents.execute("PRAGMA journal_mode = OFF")
        accents.execute("PRAGMA synchronous = OFF")
        for other in others:
            accents.execute("ATTACH ? AS part", (str(other / ACCENTS_NAME),))
            accents.execute("INSERT OR IGNORE INTO accents SELECT folded, written FROM part.accents")
            accents.execute("DETACH part")
    _join_segments(folder / TANTIVY_NAME, [other / TANTIVY_NAME for other in others])
    for other in others:
        shutil.rmtree(other)


def _join_segments(folder: Path, others: Sequence[Path]) -> None:
    meta = _read(folder / _META)
    managed = set(_read(folder / _MANAGED))
    for other in others:
        found = _read(other / _META)
        if found["schema"] != meta["schema"] or found["index_settings"] != meta["index_settings"]:
            raise ValueError(f"the part {other.parent.name} was made by other code")
        meta["segments"] += found["segments"]
        meta["opstamp"] = max(meta["opstamp"], found["opstamp"])
        managed.update(_read(other / _MANAGED))
        for path in other.iterdir():
            if path.name not in (_META, _MANAGED):
                path.rename(folder / path.name)
    (folder / _META).write_text(json.dumps(meta, indent=2))
    (folder / _MANAGED).write_text(json.dumps(sorted(managed)))


def _read(path: Path) -> Any:
    return json.loads(path.read_bytes())
