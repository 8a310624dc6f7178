"""The segments of tantivy indexes on disk: several indexes become one without indexing or merging anything.

What belongs here: what is known of tantivy's files. What does not: what is indexed (`sample_index_writer.py`).

A tantivy index is a list of segments in `meta.json`, each of them files of its own with a name that no other index
has. Indexes with the same schema are therefore joined by moving their files into one folder and their segments into one
list; sample numbers are in the documents, so that their order does not matter.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

_META: Final = "meta.json"
_MANAGED: Final = ".managed.json"


def join_segments(folder: Path, others: Sequence[Path]) -> None:
    """Move the segments of some indexes into another; nobody may have any of them open.

    Args:
        folder: The index that gets them.
        others: Indexes with the same schema, on the same file system; what is left of them is of no use.

    Raises:
        ValueError: Where an index has another schema.
    """
    meta = _read(folder / _META)
    managed = set(_read(folder / _MANAGED))
    for other in others:
        found = _read(other / _META)
        if found["schema"] != meta["schema"] or found["index_settings"] != meta["index_settings"]:
            raise ValueError(f"the index {other.name} was made by other code")
        meta["segments"] += found["segments"]
        meta["opstamp"] = max(meta["opstamp"], found["opstamp"])
        managed.update(_read(other / _MANAGED))
        for path in other.iterdir():
            if path.name not in (_META, _MANAGED):
                path.rename(folder / path.name)
    (folder / _META).write_text(json.dumps(meta, indent=2))
    (folder / _MANAGED).write_text(json.dumps(sorted(managed)))


def remove_leftovers(folder: Path) -> None:
    """Remove locks, and files of segments that were merged or stayed empty and that tantivy removes some time later.

    Args:
        folder: An index that nobody writes any more.
    """
    segments = {segment["segment_id"].replace("-", "") for segment in _read(folder / _META)["segments"]}
    for path in folder.iterdir():
        if path.stem not in segments and path.name not in (_META, _MANAGED):
            path.unlink(missing_ok=True)


def _read(path: Path) -> Any:
    return json.loads(path.read_bytes())
