"""The resources of Dagster: the data folder, the Hub, and what runs the shards of a dataset.

What belongs here: their settings and nothing else. The folder's layout is `store/layout.py`, the Hub `hub/`.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from concurrent.futures import Executor, ProcessPoolExecutor, ThreadPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from multiprocessing import get_context
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import dagster as dg
from pydantic import Field

from mistudio_pipelines.defs.names import REPORTED_TAGS, WORKER_TAG
from mistudio_pipelines.defs.operation import note_error, require_partition
from mistudio_pipelines.defs.partitions import PARTITION_TAG
from mistudio_pipelines.defs.workers import this_worker
from mistudio_pipelines.errors import ErrorCode, MistudioError
from mistudio_pipelines.processes import die_with_parent, keep_files_private
from mistudio_pipelines.store.layout import DataStore

if TYPE_CHECKING:
    from mistudio_pipelines.hub.client import HubClient

DATA_VARIABLE = "MISTUDIO_DATA"


def data_folder_from_environment() -> Path:
    """`MISTUDIO_DATA`, else `./data`; absolute."""
    return Path(os.environ.get(DATA_VARIABLE) or "data").expanduser().resolve()


class DataStoreResource(dg.ConfigurableResource[DataStore]):
    """The data folder. Every byte that this product writes lies below it."""

    data_folder: str = Field(
        default="",
        description="The data folder; empty: the environment variable MISTUDIO_DATA, else ./data.",
    )

    def setup_for_execution(self, context: dg.InitResourceContext) -> None:
        """Note on the run which process works on it, and refuse a partition that nobody registered.

        The note tells a lost run from a slow one. Dagster launches runs for unknown partitions, and reading what is
        upstream of them fails before the asset's own body could say what is wrong.
        """
        keep_files_private()
        if context.run is None or context.instance is None:
            return
        run = context.run
        # A run that is re-executed begins with all tags of its parent; a tag can be emptied, but not removed.
        inherited = {tag: "" for tag in REPORTED_TAGS if run.tags.get(tag)}
        context.instance.add_run_tags(run.run_id, {**inherited, WORKER_TAG: this_worker().to_tag(run.run_id)})
        partition_key = context.run.tags.get(PARTITION_TAG)
        if partition_key is not None:
            try:
                require_partition(context.instance, partition_key)
            except MistudioError as error:
                raise note_error(context.instance, context.run.run_id, error) from error

    def open(self) -> DataStore:
        """The folder's layout."""
        folder = Path(self.data_folder).expanduser().resolve() if self.data_folder else data_folder_from_environment()
        return DataStore(folder)


class HuggingFaceHub(dg.ConfigurableResource["HubClient"]):
    """The Hugging Face Hub. Tokens are never settings: they come from the environment, a secret file or the login."""

    endpoint: str = Field(default="", description="Address of the Hub; empty: HF_ENDPOINT, else the public Hub.")
    connections: int = Field(default=4, ge=1, le=16, description="Files that are downloaded at the same time.")
    bytes_per_second: int | None = Field(
        default=None, description="Upper limit of the download in bytes per second; empty: none."
    )

    def client(self, store: DataStore, token_name: str | None) -> HubClient:
        """A client that uses the named secret.

        Args:
            store: The data folder (caches lie below it).
            token_name: Name of the secret, or None for HF_TOKEN or the login store.
        """
        self.prepare(store)
        from mistudio_pipelines.hub.client import HubClient

        return HubClient(store, token_name=token_name, endpoint=self.endpoint or None)

    def prepare(self, store: DataStore) -> None:
        """Point the Hugging Face libraries at the data folder, before anything imports them."""
        from mistudio_pipelines.hub.environment import prepare_environment

        prepare_environment(store)


class ShardExecutor(dg.ConfigurableResource[Executor]):
    """What runs the shards of one dataset side by side."""

    kind: Literal["threads", "processes", "dask"] = Field(
        default="threads",
        description="threads suit the fast engines; processes suit slow tokenizers written in Python; dask spreads "
        "tokenization and ingestion over the workers of a cluster that share the data folder.",
    )
    workers: int = Field(
        default=0, ge=0, description="Shards worked on at the same time by threads or processes; 0: one per core."
    )
    dask_scheduler: str = Field(
        default="", description="Address of the Dask scheduler, for example tcp://127.0.0.1:8786; for dask only."
    )

    @contextmanager
    def start(self, store: DataStore) -> Iterator[Executor]:
        """The executor, ended when the block ends.

        Args:
            store: The data folder, which workers elsewhere must see too.

        Raises:
            MistudioError: `invalid_config` or `cluster_unreachable`.
        """
        if self.kind == "dask":
            from mistudio_pipelines.dask_cluster import cluster_executor

            with cluster_executor(self.dask_scheduler, store) as executor:
                yield executor
            return
        workers = self.workers or os.cpu_count() or 1
        pool: Executor = ThreadPoolExecutor(workers) if self.kind == "threads" else _process_pool(workers)
        try:
            yield pool
        except BrokenProcessPool as error:
            raise MistudioError(
                ErrorCode.WORKER_LOST,
                f"One of the {workers} worker processes was ended from outside.",
                "Most often memory ran out: set fewer workers of the shard executor, then retry.",
            ) from error
        finally:
            pool.shutdown(wait=True, cancel_futures=True)

    @contextmanager
    def start_for_ingestion(self, store: DataStore) -> Iterator[Executor | None]:
        """As `start`, but nothing where threads are asked for: one pass keeps the cores busy by itself, in less memory.

        Args:
            store: The data folder.
        """
        if self.kind == "threads":
            yield None
            return
        with self.start(store) as executor:
            yield executor


def _process_pool(workers: int) -> Executor:
    """Fresh processes (a fork of one with threads may hang) that a killed run takes with it."""
    return ProcessPoolExecutor(
        workers, mp_context=get_context("spawn"), initializer=die_with_parent, initargs=(os.getpid(),)
    )
