"""What the services cost: memory idle and with a run, and how long a launched run waits before it starts.

Beside it `dagster dev`, the usual way to run Dagster on one machine. Run: `python benchmarks/services.py`.
Targets: under 600 MB idle, under 1 GB with a run on the sample, launch to start under 2 s.
"""

import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import psutil

RUNS = 3


def memory(process: psutil.Process) -> tuple[float, int]:
    """Resident MB of a process and its children (each shared page counted for each), and how many they are."""
    found = [process, *process.children(recursive=True)]
    return sum(one.memory_info().rss for one in found if one.is_running()) / 1e6, len(found)


def services_figures(folder: Path) -> None:
    """Start the services with the sample, measure, stop them."""
    from mistudio_pipelines.client import MistudioClient
    from mistudio_pipelines.commands.server import _add_sample
    from mistudio_pipelines.defs.instance import open_instance, prepare_home
    from mistudio_pipelines.defs.retrying import dataset_run
    from mistudio_pipelines.defs.status import list_datasets
    from mistudio_pipelines.serving import Services, free_port
    from mistudio_pipelines.store.layout import DataStore

    store = DataStore(folder / "data")
    home = store.root / "dagster"
    os.environ.update({"MISTUDIO_DATA": str(store.root), "DAGSTER_HOME": str(home)})
    prepare_home(home)
    services = Services(home, store.root, port=free_port())
    started = time.monotonic()
    services.start()
    print(f"services up after {time.monotonic() - started:.1f} s")
    try:
        time.sleep(15)
        parents = [psutil.Process(one.process.pid) for one in services._services if one.process]
        idle, processes = map(sum, zip(*map(memory, parents), strict=True))
        print(f"idle: {idle:.0f} MB resident in {processes} processes")
        client = MistudioClient(services.url)
        with open_instance(home) as instance:
            dataset_id = _add_sample(instance, store)
            both = 0.0
            while list_datasets(instance, store)[0].status.status != "ready" or any(
                not run.is_finished for run in instance.get_runs()
            ):
                both = max(both, sum(memory(parent)[0] for parent in parents))
                time.sleep(0.05)
            print(f"the whole sample, ingestion and tokenization at the same time: {both:.0f} MB resident at most")
            waits, totals, peak = [], [], 0.0
            for _ in range(RUNS):
                request = dataset_run("ingest", dataset_id)
                store.statistics(dataset_id).unlink()  # so that all of it is done again
                launched = time.time()
                run_id = client.launch(request.job, tags=request.tags)
                while not (record := instance.get_run_record_by_id(run_id)).dagster_run.is_finished:
                    peak = max(peak, sum(memory(parent)[0] for parent in parents))
                    time.sleep(0.05)
                if not record.dagster_run.is_success:
                    raise SystemExit(f"the run failed: {record.dagster_run.tags}")
                waits.append(record.start_time - launched)
                totals.append(record.end_time - launched)
        print(f"with one run on the sample: {peak:.0f} MB resident at most")
        print(f"launch to start {statistics.median(waits):.2f} s, launch to end {statistics.median(totals):.2f} s")
    finally:
        services.stop()


def dagster_dev_figures(folder: Path) -> None:
    """The memory of `dagster dev` on the same code, idle."""
    from mistudio_pipelines.serving import answers, free_port

    port = free_port()
    command = [sys.executable, "-m", "dagster", "dev", "-m", "mistudio_pipelines.definitions", "-p", str(port)]
    process = subprocess.Popen(command, cwd=folder, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        while not answers(f"http://127.0.0.1:{port}"):
            time.sleep(0.5)
        time.sleep(20)
        resident, processes = memory(psutil.Process(process.pid))
        print(f"`dagster dev`, idle: {resident:.0f} MB resident in {processes} processes")
    finally:
        process.terminate()
        process.wait()


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as temporary:
        services_figures(Path(temporary))
        dagster_dev_figures(Path(temporary))
