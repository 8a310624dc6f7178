"""The manifest of a raw dataset: which files it has, where each came from, and the hashes that prove it.

Written last when a raw folder is made; whoever reads the dataset asks the manifest, never the folder listing.
A sample's number is its position over all files in the manifest's order, from 0.
"""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from mistudio_pipelines.errors import ErrorCode, MistudioError
from mistudio_pipelines.store.atomic import write_json

MANIFEST_NAME = "manifest.json"


class Origin(BaseModel):
    """Where a file came from.

    Attributes:
        path: Path in the repository, or the local file's path.
        size: Bytes of the original.
        sha256: Of the original, where it is known.
        git_sha1: Git blob id of the original, for files that are not in LFS.
        unchanged: True where our file is the original byte for byte.
    """

    model_config = ConfigDict(frozen=True)

    path: str
    size: int
    sha256: str | None = None
    git_sha1: str | None = None
    unchanged: bool = False


class RawFile(BaseModel):
    """One Parquet file of a raw dataset.

    Attributes:
        path: Name inside the raw folder.
        split: The split it belongs to.
        rows: Its number of samples.
        size: Its bytes.
        sha256: Of its bytes.
        origins: What it was made from.
        replaced_characters: Invalid UTF-8 sequences that became U+FFFD while it was made.
    """

    model_config = ConfigDict(frozen=True)

    path: str
    split: str
    rows: int
    size: int
    sha256: str
    origins: tuple[Origin, ...] = ()
    replaced_characters: int = 0


class Manifest(BaseModel):
    """What a raw folder holds.

    Attributes:
        dataset_id: Id of the dataset.
        source: `huggingface` or `local`.
        repository: Hub id, or None for local files.
        revision: Commit of the Hub, or the content hash of local files; the data version of `raw`.
        config: Config of the repository, or None.
        text_column: The column that holds the text.
        via_convert_branch: True where the Hub's `refs/convert/parquet` was used.
        files: The files, split by split, in sample order.
    """

    model_config = ConfigDict(frozen=True)

    format_version: Literal[1] = 1
    dataset_id: str
    source: Literal["huggingface", "local"]
    repository: str | None = None
    revision: str
    config: str | None = None
    text_column: str
    via_convert_branch: bool = False
    files: tuple[RawFile, ...] = Field(default=())

    @property
    def rows(self) -> int:
        """Samples in all."""
        return sum(file.rows for file in self.files)

    @property
    def size(self) -> int:
        """Bytes in all."""
        return sum(file.size for file in self.files)

    @property
    def rows_by_split(self) -> dict[str, int]:
        """Samples of each split, in the manifest's order."""
        counts: dict[str, int] = {}
        for file in self.files:
            counts[file.split] = counts.get(file.split, 0) + file.rows
        return counts


def write_manifest(folder: Path, manifest: Manifest) -> None:
    """Write `manifest.json` into a raw folder."""
    write_json(folder / MANIFEST_NAME, manifest.model_dump(mode="json"))


def read_manifest(folder: Path) -> Manifest:
    """Read and validate `manifest.json` of a raw folder.

    Raises:
        MistudioError: `data_missing` where there is none, `data_corrupt` where it cannot be read.
    """
    path = folder / MANIFEST_NAME
    try:
        return Manifest.model_validate_json(path.read_bytes())
    except (FileNotFoundError, NotADirectoryError) as error:
        raise MistudioError(
            ErrorCode.DATA_MISSING,
            f"The raw files of dataset {folder.name} are not on disk.",
            f"Download them: materialize `raw` for this partition, or run `mistudio retry {folder.name}`.",
        ) from error
    except (ValidationError, ValueError) as error:
        raise MistudioError(
            ErrorCode.DATA_CORRUPT,
            f"The manifest of dataset {folder.name} cannot be read.",
            f"Download it again: `mistudio retry {folder.name}`.",
        ) from error
