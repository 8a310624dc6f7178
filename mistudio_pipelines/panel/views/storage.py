"""What takes room on the disk, as a bar and a table."""

from __future__ import annotations

from dataclasses import dataclass

from mistudio_pipelines.api.models.datasets import Storage

# Below this share of the disk the bar warns (PRD EC-1 wants people to notice before a download is refused).
_LITTLE_SHARE = 0.1
_LEAST_WIDTH = 0.5


@dataclass(frozen=True)
class StorageBar:
    """A bar of what is used and what is free.

    Attributes:
        used: Bytes of all datasets.
        other: Bytes of uploads and orphans.
        free: Bytes that can still be written.
        used_width: Of 100.
        other_width: Of 100.
        is_low: There is little room left.
    """

    used: int
    other: int
    free: int
    used_width: float
    other_width: float
    is_low: bool


def storage_bar(storage: Storage) -> StorageBar:
    """The bar of a data folder."""
    other = storage.uploads_bytes + sum(one.bytes for one in storage.orphans)
    total = max(1, storage.used_bytes + other + storage.free_bytes)
    return StorageBar(
        used=storage.used_bytes,
        other=other,
        free=storage.free_bytes,
        used_width=_width(storage.used_bytes, total),
        other_width=_width(other, total),
        is_low=storage.free_bytes < _LITTLE_SHARE * total,
    )


def _width(part: int, total: int) -> float:
    """Of 100; what is there at all can be seen."""
    return max(round(100 * part / total, 2), _LEAST_WIDTH) if part else 0.0
