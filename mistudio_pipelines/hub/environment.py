"""Makes the Hugging Face libraries keep inside the data folder and quiet.

They read their settings when they are first imported, so `prepare_environment` must run before that. What belongs
here: environment variables of those libraries. What does not: tokens (`hub/secrets.py`), our own settings.
"""

from __future__ import annotations

import logging
import os
import sys
from pathlib import Path

from mistudio_pipelines.store.layout import DataStore

_QUIET_AND_PRIVATE = {
    # The bytes come through our own downloader; Xet would bring a second cache and a second path for them.
    "HF_HUB_DISABLE_XET": "1",
    # Nothing leaves the machine but the download.
    "HF_HUB_DISABLE_TELEMETRY": "1",
    "HF_HUB_DISABLE_UPDATE_CHECK": "1",
    "HF_UPDATE_DOWNLOAD_COUNTS": "0",
    # Progress is shown by us; bars in a log file are noise.
    "HF_HUB_DISABLE_PROGRESS_BARS": "1",
    "HF_DATASETS_DISABLE_PROGRESS_BARS": "1",
}


def cache_folders(store: DataStore) -> dict[str, Path]:
    """Where each cache of the Hugging Face libraries lies, by environment variable."""
    root = store.cache_root / "huggingface"
    return {
        "HF_HUB_CACHE": root / "hub",
        "HF_ASSETS_CACHE": root / "assets",
        "HF_XET_CACHE": root / "xet",
        "HF_DATASETS_CACHE": root / "datasets",
        "HF_MODULES_CACHE": root / "modules",
    }


def prepare_environment(store: DataStore) -> None:
    """Point the caches of the Hugging Face libraries below the data folder, and switch off what they send and print.

    `HF_HOME` and the place of the token stay as they are, so that a login made with `hf auth login` is found.
    May be called again, also with another data folder: libraries that are imported already are told too.

    Args:
        store: The data folder.
    """
    folders = cache_folders(store)
    os.environ.update(_QUIET_AND_PRIVATE)
    os.environ.update({name: str(folder) for name, folder in folders.items()})
    _tell_imported_libraries(folders)
    # Below WARNING they log every address, also the signed ones of the storage, which open the file to any reader.
    for name in ("httpx2", "httpcore2"):
        logging.getLogger(name).setLevel(logging.WARNING)


def _tell_imported_libraries(folders: dict[str, Path]) -> None:
    constants = sys.modules.get("huggingface_hub.constants")
    if constants is not None:
        for name in ("HF_HUB_CACHE", "HF_ASSETS_CACHE", "HF_XET_CACHE"):
            setattr(constants, name, str(folders[name]))
        constants.HUGGINGFACE_HUB_CACHE = str(folders["HF_HUB_CACHE"])  # type: ignore[attr-defined]  # its older name
        for name in ("HF_HUB_DISABLE_XET", "HF_HUB_DISABLE_TELEMETRY", "HF_HUB_DISABLE_PROGRESS_BARS"):
            setattr(constants, name, True)
    config = sys.modules.get("datasets.config")
    if config is not None:
        for name in ("HF_DATASETS_CACHE", "HF_MODULES_CACHE"):
            setattr(config, name, folders[name])
