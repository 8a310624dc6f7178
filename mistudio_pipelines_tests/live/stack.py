"""A whole installation in a temporary folder, for the live tests: services, command line, GraphQL, a local Hub."""

from __future__ import annotations

import contextlib
import io
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import dagster as dg
import pyarrow as pa
import pyarrow.parquet as pq

from mistudio_pipelines.client import MistudioClient
from mistudio_pipelines.defs.instance import open_instance
from mistudio_pipelines.defs.names import WORKER_TAG
from mistudio_pipelines.defs.recovery import recover_before_start, settle_after_stop
from mistudio_pipelines.defs.status import DatasetOverview, list_datasets
from mistudio_pipelines.defs.workers import Worker
from mistudio_pipelines.processes import process_start
from mistudio_pipelines.serving import Services, code_is_loaded, free_port
from mistudio_pipelines.store.layout import DataStore
from mistudio_pipelines_tests.hub_server import HubServer
from mistudio_pipelines_tests.postgres import use_postgres

PROJECT = Path(__file__).parents[2]


_ADD_ALL = """
import sys
from pathlib import Path
from mistudio_pipelines.adding import AddRequest, plan_adding
from mistudio_pipelines.defs.instance import open_instance
from mistudio_pipelines.defs.registration import register_dataset
from mistudio_pipelines.defs.resources import HuggingFaceHub
from mistudio_pipelines.store.layout import DataStore

store = DataStore(Path(sys.argv[2]))
with open_instance(Path(sys.argv[1])) as instance:
    for repository in sys.argv[3:]:
        request = AddRequest(repository=repository)
        plan = plan_adding(store, request, lambda token_name: HuggingFaceHub().client(store, token_name))
        print(register_dataset(instance, store, plan).id)
"""


def parquet_bytes(texts: list[str], row_group_size: int = 500) -> bytes:
    """A Parquet file with a `text` column that does not compress (so that its size is what the texts say)."""
    buffer = io.BytesIO()
    pq.write_table(pa.table({"text": texts}), buffer, row_group_size=row_group_size, compression="none")
    return buffer.getvalue()


def wait(
    ready: Callable[[], Any],
    seconds: float = 120.0,
    what: str = "it",
    pause: float = 0.5,
    describe: Callable[[], str] = str,
) -> Any:
    """Wait until something is true, and return it."""
    deadline = time.monotonic() + seconds
    while not (value := ready()):
        assert time.monotonic() < deadline, f"waited {seconds} s for {what}: {describe()}"
        time.sleep(pause)
    return value


@dataclass
class Stack:
    """A running installation.

    Attributes:
        store: Its data folder.
        home: Its Dagster home.
        services: Its processes.
        hub: The Hub it downloads from.
        environment: Environment variables of every process of it.
    """

    store: DataStore
    home: Path
    services: Services
    hub: HubServer
    environment: Mapping[str, str]

    @property
    def client(self) -> MistudioClient:
        return MistudioClient(self.services.url)

    def run(
        self, *arguments: str, module: str = "mistudio_pipelines.cli", **options: Any
    ) -> subprocess.CompletedProcess:
        """Run a command of the environment as a person would."""
        code = "from mistudio_pipelines.cli import main; main()"
        command = [sys.executable, "-c", code] if module == "mistudio_pipelines.cli" else [sys.executable, "-m", module]
        return subprocess.run(
            [*command, *arguments],
            env=dict(self.environment),
            cwd=PROJECT,
            capture_output=True,
            text=True,
            timeout=150,
            **options,
        )

    def mistudio(self, *arguments: str) -> str:
        """Run the `mistudio` command and return what it printed; it must succeed."""
        done = self.run(*arguments)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    def add(self, *arguments: str) -> str:
        """Add a dataset and return its id."""
        return str(json.loads(self.mistudio("add", *arguments, "--json"))["id"])

    @cached_property
    def instance(self) -> dg.DagsterInstance:
        """Opened once: these tests look at it again and again."""
        return open_instance(self.home)

    def add_all(self, repositories: list[str]) -> list[str]:
        """Add many repositories in one process, as a script would, and return their ids."""
        done = subprocess.run(
            [sys.executable, "-c", _ADD_ALL, str(self.home), str(self.store.root), *repositories],
            env=dict(self.environment),
            capture_output=True,
            text=True,
            timeout=150,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout.split()

    def datasets(self) -> dict[str, DatasetOverview]:
        return {one.record.id: one for one in list_datasets(self.instance, self.store)}

    def wait_for_server(self) -> None:
        """Wait until the UI answers and knows the code, after one of them was started again."""
        self.wait(lambda: code_is_loaded(self.services.url), what="the webserver")

    def wait(self, ready: Callable[[], Any], seconds: float = 120.0, what: str = "it", pause: float = 0.5) -> Any:
        """Wait until something is true, and return it."""
        return wait(ready, seconds, what, pause, self.describe)

    def wait_until(self, dataset_ids: list[str], status: str = "ready", seconds: float = 120.0) -> None:
        """Wait until datasets have a status."""
        self.wait(
            lambda: all(self.datasets()[one].status.status == status for one in dataset_ids),
            seconds,
            f"{dataset_ids} to be {status}",
        )

    def describe(self) -> str:
        lines = [f"{key}: {one.status}" for key, one in self.datasets().items()]
        for log in sorted((self.home / "logs").glob("*.log")):
            lines.append(f"--- {log.name}\n" + "\n".join(log.read_text(errors="replace").splitlines()[-15:]))
        return "\n".join(lines)

    def runs(self, job: str, dataset_id: str | None = None) -> list[dg.DagsterRun]:
        tags = {"mistudio/dataset_id": dataset_id} if dataset_id else None
        return list(self.instance.get_runs(dg.RunsFilter(job_name=job, tags=tags)))

    def workers(self) -> list[Worker]:
        """The processes that work on runs now."""
        runs = self.instance.get_runs(dg.RunsFilter(statuses=[dg.DagsterRunStatus.STARTED]))
        found = (Worker.from_tag(run.tags.get(WORKER_TAG)) for run in runs)
        return [worker for worker in found if worker is not None and worker.is_alive]

    def kill(self, *names: str) -> None:
        """Kill services (`code`, `webserver`, `daemon`) and `workers` with SIGKILL, all in one moment."""
        processes = [one.process for one in self.services._services if one.name in names and one.process is not None]
        pids = [process.pid for process in processes]
        if "workers" in names:
            pids += [worker.pid for worker in self.workers()]
        for pid in pids:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        for process in processes:
            process.wait()
        self.wait(lambda: not any(process_start(pid) for pid in pids), what="the killed to be gone", pause=0.02)

    def stop(self) -> None:
        """End everything."""
        self.services.stop()
        settle_after_stop(self.home)
        self.instance.dispose()

    def restart(self) -> None:
        """Start again after everything was killed, as `mistudio up` does."""
        recover_before_start(self.store, self.home)
        self.services = Services(self.home, self.store.root, port=free_port())
        self.services.start()

    def step_times(self, asset: str) -> list[tuple[float, float]]:
        """When each run of an asset's step began and ended, in order."""
        times = []
        for run in self.instance.get_runs():
            times += [
                (step.start_time, step.end_time)
                for step in self.instance.get_run_step_stats(run.run_id)
                if step.step_key == asset and step.start_time and step.end_time
            ]
        return sorted(times)


def start_stack(folder: Path, hub: HubServer, database: Mapping[str, str] | None = None) -> Stack:
    """Prepare and start everything in a folder.

    Args:
        folder: An empty folder.
        hub: Where it downloads from.
        database: Of `PostgresServer.make_database`; None for SQLite.
    """
    store = DataStore(folder / "data")
    home = store.root / "dagster"
    environment = {
        **{key: value for key, value in os.environ.items() if not key.startswith(("HF_", "DAGSTER_"))},
        **{"MISTUDIO_DATA": str(store.root), "DAGSTER_HOME": str(home), "HF_ENDPOINT": hub.endpoint},
        "HF_HOME": str(folder / "hf"),
        **(database or {}),
    }
    environment.pop("PYTHONDONTWRITEBYTECODE", None)
    os.environ.update({key: environment[key] for key in ("MISTUDIO_DATA", "DAGSTER_HOME", "HF_ENDPOINT", "HF_HOME")})
    if database is not None:
        use_postgres(home, database)
    recover_before_start(store, home)
    services = Services(home, store.root, port=free_port())
    services.start()
    return Stack(store, home, services, hub, environment)
