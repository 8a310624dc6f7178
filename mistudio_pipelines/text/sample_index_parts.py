"""From parts of a sample index to the index: joined without indexing anything again, synced, hashed, sealed.

What belongs here: what happens to finished parts. What does not: making one (`sample_index_writer.py`).
"""

from __future__ import annotations

import shutil
import sqlite3
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path

from mistudio_pipelines.store.atomic import fsync_file, fsync_folder, write_json
from mistudio_pipelines.text.fingerprint import Fingerprint
from mistudio_pipelines.text.index_segments import join_segments
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
    join_segments(folder / TANTIVY_NAME, [other / TANTIVY_NAME for other in others])
    for other in others:
        shutil.rmtree(other)
