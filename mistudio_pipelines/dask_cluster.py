"""A Dask cluster as a `concurrent.futures` executor, for datasets that one machine takes too long for.

What belongs here: connecting, and making sure that the workers can do our work. What does not: the work
(`tokenization/`, `text/`), which runs on threads and processes just the same.

Dagster's own `dask_executor` is not used: it skips mapped steps and reports success.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from concurrent.futures import CancelledError, Executor
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from mistudio_pipelines import __version__
from mistudio_pipelines.errors import ErrorCode, MistudioError
from mistudio_pipelines.store.layout import DataStore

if TYPE_CHECKING:
    from distributed import Client

_SECONDS_TO_CONNECT = 10.0
_SECONDS_TO_WAIT_FOR_WORKERS = 60.0
_SECONDS_WITHOUT_WORKERS = 60.0
_SECONDS_BETWEEN_LOOKS = 2.0


@contextmanager
def cluster_executor(address: str, store: DataStore) -> Iterator[Executor]:
    """An executor that runs on the workers of a Dask cluster.

    A worker that dies costs the shards it was at: Dask gives them to another. Where none is left, others may join
    for a minute.

    Args:
        address: Of the scheduler, `tcp://host:8786`.
        store: The data folder; every worker must see it under the same path.

    Raises:
        MistudioError: `invalid_config` where Dask is not installed, the address is none, or a worker is not fit;
            `cluster_unreachable` where no scheduler answers or no worker comes, also while the block runs;
            `worker_lost` where a shard has ended several workers.
    """
    with _connect(address) as client:
        _check_workers(client, store)
        with _noticing_losses(client, address):
            # pure=False: a function that writes files is not skipped because it ran with the same arguments before.
            executor: Executor = client.get_executor(pure=False)
            yield executor


@contextmanager
def _noticing_losses(client: Client, address: str) -> Iterator[None]:
    """Say what became of the cluster where futures of the block end without an answer, or would wait for ever."""
    from distributed import KilledWorker

    ended, no_worker = threading.Event(), threading.Event()
    watching = threading.Thread(target=_watch_workers, args=(client, ended, no_worker), daemon=True)
    watching.start()
    try:
        yield
    except KilledWorker as error:
        raise MistudioError(
            ErrorCode.WORKER_LOST,
            f"A shard ended one worker of the Dask cluster at {address} after another, {error.last_worker.address} "
            "as the last.",
            "Look in the workers' logs; most often each needs more memory (`--memory-limit`), or fewer threads.",
        ) from error
    except CancelledError as error:
        if no_worker.is_set():
            raise _no_worker(address) from error
        raise _unreachable(
            f"The Dask scheduler at {address} was lost during the work.",
            "Start it and its workers again, then retry.",
        ) from error
    finally:
        ended.set()


def _watch_workers(client: Client, ended: threading.Event, no_worker: threading.Event) -> None:
    """Cancel all that waits where there has been no worker for a while: Dask would wait for ever."""
    since = time.monotonic()
    while not ended.wait(_SECONDS_BETWEEN_LOOKS):
        try:
            workers = client.nthreads()
        except (OSError, RuntimeError, TimeoutError):
            workers = None
        # That the scheduler is lost is noticed by its futures.
        if workers or workers is None or client.status != "running":
            since = time.monotonic()
        elif time.monotonic() - since > _SECONDS_WITHOUT_WORKERS:
            no_worker.set()
            client.close()
            return


def _connect(address: str) -> Client:
    if not address:
        raise MistudioError(
            ErrorCode.INVALID_CONFIG,
            "The shard executor is set to dask, but no scheduler is named.",
            "Set dask_scheduler to its address, for example tcp://127.0.0.1:8786.",
        )
    try:
        from distributed import Client
    except ImportError as error:
        raise MistudioError(
            ErrorCode.INVALID_CONFIG,
            "The shard executor is set to dask, but Dask is not installed here.",
            "Install it with `pip install 'mistudio-pipelines[dask]'`, here and where the workers run.",
        ) from error
    try:
        client = Client(address, timeout=_SECONDS_TO_CONNECT, set_as_default=False)
    except ValueError as error:
        raise MistudioError(
            ErrorCode.INVALID_CONFIG, f"{address!r} is not the address of a Dask scheduler.", "Write tcp://HOST:PORT."
        ) from error
    except OSError as error:
        raise _unreachable(f"No Dask scheduler answers at {address}.", "Start it with `dask scheduler`.") from error
    try:
        client.wait_for_workers(1, timeout=_SECONDS_TO_WAIT_FOR_WORKERS)
    except TimeoutError as error:
        client.close()
        raise _no_worker(address) from error
    return client


def _no_worker(address: str) -> MistudioError:
    return _unreachable(f"The Dask scheduler at {address} has no worker.", f"Start some with `dask worker {address}`.")


def _unreachable(message: str, next_step: str) -> MistudioError:
    return MistudioError(ErrorCode.CLUSTER_UNREACHABLE, message, next_step, transient=True)


def _check_workers(client: Client, store: DataStore) -> None:
    """Refuse a worker with other code, or one that does not see the data folder."""
    for worker, found in client.run(prepare_worker, store.root, on_error="return").items():
        if isinstance(found, Exception):
            raise MistudioError(
                ErrorCode.INVALID_CONFIG,
                f"The Dask worker {worker} cannot run mistudio_pipelines: {found}.",
                f"Install mistudio-pipelines {__version__} where it runs.",
            ) from found
        version, sees_folder = found
        if version != __version__:
            raise MistudioError(
                ErrorCode.INVALID_CONFIG,
                f"The Dask worker {worker} runs mistudio_pipelines {version}, this is {__version__}.",
                "Install the same version everywhere.",
            )
        if not sees_folder:
            raise MistudioError(
                ErrorCode.INVALID_CONFIG,
                f"The Dask worker {worker} does not see the data folder {store.root}.",
                "Mount it there under the same path.",
            )


def prepare_worker(root: Path) -> tuple[str, bool]:
    """Runs on each worker before any shard: keeps the Hugging Face libraries inside the data folder.

    Args:
        root: The data folder.

    Returns:
        The worker's version of this package, and whether it sees the folder.
    """
    from mistudio_pipelines.hub.environment import prepare_environment

    prepare_environment(DataStore(root))
    return __version__, root.is_dir()
