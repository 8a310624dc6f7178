"""The Dagster instance: its home folder, its configuration, and the limit of one download at a time."""

from __future__ import annotations

import os
from importlib import resources
from pathlib import Path

import dagster as dg

from mistudio_pipelines.defs.names import DOWNLOAD_POOL
from mistudio_pipelines.errors import ErrorCode, MistudioError
from mistudio_pipelines.store.atomic import write_bytes
from mistudio_pipelines.store.layout import DataStore

HOME_VARIABLE = "DAGSTER_HOME"


def home_folder(store: DataStore) -> Path:
    """`DAGSTER_HOME`, else a folder inside the data folder."""
    home = os.environ.get(HOME_VARIABLE)
    return Path(home).expanduser().resolve() if home else store.root / "dagster"


def prepare_home(home: Path) -> None:
    """Make the home folder with our `dagster.yaml` and set the download limit; harmless when repeated.

    Raises:
        MistudioError: `data_folder_unusable` where the folder cannot be made or written.
    """
    configuration = home / "dagster.yaml"
    try:
        home.mkdir(parents=True, exist_ok=True)
        if not configuration.exists():
            shipped = resources.files("mistudio_pipelines.instance") / "dagster.yaml"
            write_bytes(configuration, shipped.read_bytes())
    except OSError as error:
        raise MistudioError(
            ErrorCode.DATA_FOLDER_UNUSABLE,
            f"The Dagster home {home} cannot be written: {error.strerror}.",
            "Choose another with MISTUDIO_DATA or DAGSTER_HOME, or mend its permissions.",
        ) from error
    with open_instance(home) as instance:
        ensure_download_limit(instance)


def open_instance(home: Path) -> dg.DagsterInstance:
    """The instance of a prepared home folder.

    Raises:
        MistudioError: `no_dagster_home` where the folder is not one.
    """
    if not (home / "dagster.yaml").is_file():
        raise MistudioError(
            ErrorCode.NO_DAGSTER_HOME,
            f"There is no Dagster home at {home}.",
            "Run `mistudio up` once, or set DAGSTER_HOME (and MISTUDIO_DATA) to where it was run.",
        )
    # Code that runs below (launchers, sensors in this process) asks the environment.
    os.environ[HOME_VARIABLE] = str(home)
    return dg.DagsterInstance.from_config(str(home))


def ensure_download_limit(instance: dg.DagsterInstance) -> None:
    """Let one download run at a time; a limit that somebody set by hand is kept.

    dagster.yaml cannot name the limit of a pool, and a pool without an explicit one lets several through.
    """
    storage = instance.event_log_storage
    if not storage.supports_global_concurrency_limits:
        return
    known = {pool.name for pool in storage.get_pool_limits() if not pool.from_default}
    if DOWNLOAD_POOL not in known:
        storage.set_concurrency_slots(DOWNLOAD_POOL, 1)
