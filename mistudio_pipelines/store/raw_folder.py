"""The files of a raw folder: how they are named, described for other libraries, hashed, published and verified.

What belongs here: what makes a folder of Parquet files a raw dataset. What does not: how the Parquet files are made
(`text/conversion.py`) and read (`text/reading.py`).
"""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from mistudio_pipelines.errors import Stopped
from mistudio_pipelines.progress import Progress, ProgressCallback, ShouldStop, ignore_progress, never_stop
from mistudio_pipelines.store.atomic import publish_folder, write_bytes, write_json
from mistudio_pipelines.store.ids import check_split_name
from mistudio_pipelines.store.layout import DataStore
from mistudio_pipelines.store.manifest import MANIFEST_NAME, Manifest, write_manifest

DATASET_INFO_NAME = "dataset_info.json"
CARD_NAME = "README.md"
_HASH_BLOCK_BYTES = 1 << 20


def data_file_name(split: str, index: int, count: int) -> str:
    """Name of one of a split's Parquet files, for example `train-00000-of-00002.parquet`.

    Raises:
        MistudioError: `unknown_split_or_config` where the split's name is not safe as a file name.
    """
    return f"{check_split_name(split)}-{index:05d}-of-{count:05d}.parquet"


def ready_folder(store: DataStore, dataset_id: str) -> Path:
    """Where the files of a raw folder are gathered until it is complete."""
    return store.raw_partial(dataset_id) / "ready"


def link_or_move(source: Path, target: Path) -> None:
    """Give a file a second name, or its new name where the file system knows no links. Replaces what is there."""
    target.unlink(missing_ok=True)
    try:
        target.hardlink_to(source)
    except OSError:
        source.rename(target)


def publish_raw(store: DataStore, manifest: Manifest, features: Mapping[str, Any], info: Mapping[str, Any]) -> None:
    """Describe the files in the ready folder, write the manifest last, and put the folder in its place.

    Args:
        store: The data folder.
        manifest: What the folder holds; its files lie in the ready folder, fsynced.
        features: The columns as `datasets` describes them, for `dataset_info.json`.
        info: What is known besides: `description`, `license`, `citation`, `homepage`.
    """
    ready = ready_folder(store, manifest.dataset_id)
    write_json(ready / DATASET_INFO_NAME, dataset_info(manifest, features, info))
    write_bytes(ready / CARD_NAME, dataset_card(manifest, info).encode())
    write_manifest(ready, manifest)
    publish_folder(ready, store.raw(manifest.dataset_id))
    shutil.rmtree(store.raw_partial(manifest.dataset_id), ignore_errors=True)


def dataset_info(manifest: Manifest, features: Mapping[str, Any], info: Mapping[str, Any]) -> dict[str, Any]:
    """The content of `dataset_info.json`, in the form of `datasets.DatasetInfo`."""
    sizes: dict[str, int] = {}
    for file in manifest.files:
        sizes[file.split] = sizes.get(file.split, 0) + file.size
    return {
        "description": info.get("description") or "",
        "citation": info.get("citation") or "",
        "homepage": info.get("homepage") or "",
        "license": info.get("license") or "",
        "features": dict(features),
        "dataset_name": manifest.repository or manifest.dataset_id,
        "config_name": manifest.config or "default",
        "splits": {
            split: {"name": split, "num_bytes": sizes[split], "num_examples": rows}
            for split, rows in manifest.rows_by_split.items()
        },
        "dataset_size": manifest.size,
    }


def dataset_card(manifest: Manifest, info: Mapping[str, Any]) -> str:
    """The card that tells `datasets.load_dataset` which files make which split.

    Without it only the names train, validation and test would be found by the names of the files.
    """
    lines = ["---"]
    if manifest.files:
        lines += ["configs:", "- config_name: default", "  data_files:"]
        for split in manifest.rows_by_split:
            lines += [f"  - split: {json.dumps(split)}", f"    path: {json.dumps(f'{split}-*.parquet')}"]
    lines.append("---")
    came_from = manifest.repository or "local files"
    lines += [
        "",
        f"# {came_from}",
        "",
        f"The raw copy of {came_from} at revision {manifest.revision}, kept by mistudio_pipelines;",
        f"`{MANIFEST_NAME}` says where each file came from. The text is in column `{manifest.text_column}`.",
        "",
    ]
    if info.get("license"):
        lines += [f"License: {info['license']}", ""]
    return "\n".join(lines)


def file_sha256(
    path: Path, *, on_bytes: Callable[[int], None] = lambda position: None, should_stop: ShouldStop = never_stop
) -> str:
    """The sha256 of a file's bytes.

    Args:
        path: The file.
        on_bytes: Told how many were read so far.
        should_stop: Polled for every block.

    Raises:
        Stopped: As soon as `should_stop` says so.
    """
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(_HASH_BLOCK_BYTES):
            digest.update(block)
            on_bytes(file.tell())
            if should_stop():
                raise Stopped("Reading the files")
    return digest.hexdigest()


def verify_raw(
    folder: Path,
    manifest: Manifest,
    *,
    on_progress: ProgressCallback = ignore_progress,
    should_stop: ShouldStop = never_stop,
) -> list[str]:
    """Compare the files of a raw folder with its manifest, byte for byte.

    Args:
        folder: The raw folder.
        manifest: Its manifest.
        on_progress: Told the bytes read.
        should_stop: Polled while reading.

    Returns:
        Names of the files that are missing or whose size or sha256 differs; empty where all is well.

    Raises:
        Stopped: As soon as `should_stop` says so.
    """
    damaged: list[str] = []
    done = 0

    def report(position: int) -> None:
        on_progress(Progress(done + position, manifest.size, "bytes", "verifying"))

    for file in manifest.files:
        path = folder / file.path
        has_size = path.is_file() and path.stat().st_size == file.size
        if not has_size or file_sha256(path, on_bytes=report, should_stop=should_stop) != file.sha256:
            damaged.append(file.path)
        done += file.size
        report(0)
    return damaged
