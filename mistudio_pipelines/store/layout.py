"""Where everything lies below the data folder. The only module that joins paths of it.

What is unfinished lies in a `.partial` folder beside the finished ones and is renamed into place, so a dataset's
folder appears complete or not at all.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from mistudio_pipelines.store.ids import check_dataset_id, check_preset_name


@dataclass(frozen=True, slots=True)
class DatasetNames:
    """Where the finished parts of a dataset are."""

    raw: str
    index: str
    tokenized: str
    statistics: str


@dataclass(frozen=True)
class DataStore:
    """The data folder.

    Attributes:
        root: The folder itself (`MISTUDIO_DATA`).
    """

    root: Path

    @cached_property
    def raw_root(self) -> Path:
        """Folder of the raw datasets."""
        return self.root / "datasets" / "raw"

    @cached_property
    def index_root(self) -> Path:
        """Folder of the search indexes."""
        return self.root / "datasets" / "index"

    @cached_property
    def tokenized_root(self) -> Path:
        """Folder of the tokenized datasets."""
        return self.root / "datasets" / "tokenized"

    @cached_property
    def metadata_root(self) -> Path:
        """Folder of records, statistics, presets and the audit trail."""
        return self.root / "datasets" / "metadata"

    @cached_property
    def trash_root(self) -> Path:
        """Folder that deleted folders are renamed into before their files are removed."""
        return self.root / "datasets" / ".trash"

    @cached_property
    def locks_root(self) -> Path:
        """Folder of the lock files."""
        return self.root / "datasets" / ".locks"

    @property
    def cache_root(self) -> Path:
        """Folder for what can always be fetched or made again (tokenizers, engine proofs)."""
        return self.root / "cache"

    @property
    def uploads_root(self) -> Path:
        """Folder of uploaded files, each only until a dataset's own files are made of it (`api/uploads.py`)."""
        return self.root / "uploads"

    @property
    def secrets_root(self) -> Path:
        """Folder of secret files, one token a file; never read by anything but `hub/secrets.py`."""
        return self.root / "secrets"

    def raw(self, dataset_id: str) -> Path:
        """The finished raw dataset: Parquet files, `dataset_info.json`, `manifest.json`."""
        return self.raw_root / check_dataset_id(dataset_id)

    def raw_partial(self, dataset_id: str) -> Path:
        """What a download or a conversion has so far."""
        return self.raw_root / ".partial" / check_dataset_id(dataset_id)

    def index(self, dataset_id: str) -> Path:
        """The finished search index and sample columns."""
        return self.index_root / check_dataset_id(dataset_id)

    def index_partial(self, dataset_id: str) -> Path:
        """An index that is being written."""
        return self.index_root / ".partial" / check_dataset_id(dataset_id)

    def tokenized_of(self, dataset_id: str) -> Path:
        """Folder of all tokenizations of a dataset."""
        return self.tokenized_root / check_dataset_id(dataset_id)

    def tokenized(self, dataset_id: str, preset: str) -> Path:
        """One finished tokenization."""
        return self.tokenized_of(dataset_id) / check_preset_name(preset)

    def tokenized_partial(self, dataset_id: str, preset: str) -> Path:
        """The finished shards of a tokenization that is not complete yet."""
        return self.tokenized_partial_of(dataset_id) / check_preset_name(preset)

    def tokenized_partial_of(self, dataset_id: str) -> Path:
        """Folder of all unfinished tokenizations of a dataset."""
        return self.tokenized_root / ".partial" / check_dataset_id(dataset_id)

    def record(self, dataset_id: str) -> Path:
        """The dataset's record."""
        return Path(self.record_name(dataset_id))

    def record_name(self, dataset_id: str) -> str:
        """Where the dataset's record is, as a plain string: see `names`."""
        return f"{self.metadata_root}/{check_dataset_id(dataset_id)}.json"

    def statistics(self, dataset_id: str) -> Path:
        """The dataset's statistics."""
        return self.metadata_root / f"{check_dataset_id(dataset_id)}_stats.json"

    def names(self, dataset_id: str) -> DatasetNames:
        """Where a dataset's parts are, as plain strings: making paths takes longest in a list of thousands."""
        check_dataset_id(dataset_id)
        return DatasetNames(
            raw=f"{self.raw_root}/{dataset_id}",
            index=f"{self.index_root}/{dataset_id}",
            tokenized=f"{self.tokenized_root}/{dataset_id}",
            statistics=f"{self.metadata_root}/{dataset_id}_stats.json",
        )

    @property
    def presets_root(self) -> Path:
        """Folder of the saved tokenization presets."""
        return self.metadata_root / "presets"

    def preset(self, name: str) -> Path:
        """A saved tokenization preset."""
        return self.presets_root / f"{check_preset_name(name)}.json"

    @property
    def audit(self) -> Path:
        """The audit trail, one JSON object a line."""
        return self.metadata_root / "audit.jsonl"

    def lock(self, dataset_id: str, part: str) -> Path:
        """The lock file of one part of a dataset: `raw`, `index`, or the name of a tokenization after `tokenized.`."""
        return self.locks_root / f"{check_dataset_id(dataset_id)}.{part}.lock"
