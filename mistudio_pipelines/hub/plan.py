"""What a download would fetch: plain values, without any request.

What does not belong here: finding them out (`hub/repository.py`), fetching (`hub/download.py`).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class RemoteFile:
    """A file to download.

    Attributes:
        path: Its path in the repository. Comes from outside: never part of a local path.
        size: Its bytes.
        sha256: Of its bytes, for files in LFS; else None.
        git_sha1: Its git blob id, for the others; else None.
        split: The split that it belongs to.
        url: Its address at the pinned commit.
    """

    path: str
    size: int
    sha256: str | None
    git_sha1: str | None
    split: str
    url: str

    @property
    def content_hash(self) -> str | None:
        """`sha256:…` or `git:…`; equal for equal bytes."""
        if self.sha256 is not None:
            return f"sha256:{self.sha256}"
        return f"git:{self.git_sha1}" if self.git_sha1 is not None else None


@dataclass(frozen=True)
class RepositoryPlan:
    """What a download would fetch, validated.

    Attributes:
        repository: Id on the Hub, as the Hub writes it (a moved repository has its new one).
        requested_revision: Branch, tag or commit asked for, or None.
        revision: The commit that the files come from.
        followed_revision: The name whose newest commit tells whether there is a newer version (`newest_revision`).
        config: The chosen config, or None where the repository has only one that nobody named.
        configs: All configs.
        splits: The chosen splits with their files, in the order in which they are read.
        available_splits: All splits of the config.
        file_format: `parquet`, `json`, `csv`, `text` or `arrow`: the `datasets` module that reads the files.
        reader_options: Parameters of that module, from the card and the file names (for example `sep`).
        text_column: The column that holds the text.
        columns: Arrow types of the columns by name; empty where they are known only after the download.
        via_convert_branch: True where the Hub's own conversion to Parquet is used.
        license: From the card.
        description: From the card.
        download_bytes: Bytes of all chosen files.
        pipeline_bytes: Estimated bytes on disk of the whole pipeline (`hub/estimate.py`).
        last_modified: Time of the last change as the Hub says it, ISO 8601.
    """

    repository: str
    requested_revision: str | None
    revision: str
    followed_revision: str | None
    config: str | None
    configs: tuple[str, ...]
    splits: Mapping[str, tuple[RemoteFile, ...]]
    available_splits: tuple[str, ...]
    file_format: str
    reader_options: Mapping[str, Any]
    text_column: str
    columns: Mapping[str, str]
    via_convert_branch: bool
    license: str | None
    description: str | None
    download_bytes: int
    pipeline_bytes: int
    last_modified: str | None

    @property
    def partially_converted(self) -> bool:
        """True where the Hub converted only the beginning of a split (it stops after some gigabytes)."""
        return self.via_convert_branch and any("/partial-" in file.path for file in self.files)

    @property
    def files(self) -> tuple[RemoteFile, ...]:
        """All chosen files, split by split."""
        return tuple(file for files in self.splits.values() for file in files)
