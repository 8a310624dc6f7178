"""What statistics and index were made from; equal fingerprints mean that nothing has to be made again.

What belongs here: the versions of the code and the identity of the data. What does not: deciding what to do about it
(`ingestion.py`, `browsing.py`).
"""

from __future__ import annotations

import hashlib
from typing import Final

from pydantic import BaseModel, ConfigDict

from mistudio_pipelines.store.layout import DataStore
from mistudio_pipelines.store.manifest import MANIFEST_NAME, Manifest

STATISTICS_CODE_VERSION: Final = "1"
"""Raised whenever the same texts would give other statistics; part of Dagster's code version."""

INDEX_CODE_VERSION: Final = "1"
"""Raised whenever the same texts would give another index; part of Dagster's code version."""


class Fingerprint(BaseModel):
    """The identity of data and code.

    Attributes:
        data_revision: Data version of the raw dataset.
        manifest_sha256: Of the raw manifest.
        statistics_code: Version of the code that makes the statistics.
        index_code: Version of the code that makes the index.
    """

    model_config = ConfigDict(frozen=True)

    data_revision: str
    manifest_sha256: str
    statistics_code: str
    index_code: str

    def searchable_as(self, other: Fingerprint) -> bool:
        """Whether an index made from the one serves for the other: statistics do not matter to it."""
        return self.model_copy(update={"statistics_code": other.statistics_code}) == other


def fingerprint_of(store: DataStore, dataset_id: str, manifest: Manifest) -> Fingerprint:
    """What statistics and index made now would be made from.

    Args:
        store: The data folder.
        dataset_id: Id of the dataset.
        manifest: Its raw manifest.
    """
    content = (store.raw(dataset_id) / MANIFEST_NAME).read_bytes()
    return Fingerprint(
        data_revision=manifest.revision,
        manifest_sha256=hashlib.sha256(content).hexdigest(),
        statistics_code=STATISTICS_CODE_VERSION,
        index_code=INDEX_CODE_VERSION,
    )
