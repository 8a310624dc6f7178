"""What takes room on the disk, as a bar and a table."""

from __future__ import annotations

from dataclasses import dataclass

from mistudio_pipelines.api.models.datasets import Storage

# Below this share of the disk the bar warns (PRD EC-1 wants people to notice before a download is refused).
_LITTLE_SHARE = 0.1


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
        used_width=round(100 * storage.used_bytes / total, 2),
        other_width=round(100 * other / total, 2),
        is_low=storage.free_bytes < _LITTLE_SHARE * total,
    )
