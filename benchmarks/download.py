"""Downloading: ours beside `huggingface_hub.snapshot_download` and `curl`, from the same local Hub.

Two repositories: one large file, and many small ones. Ours verifies every byte while it writes; the others check
lengths only. Each way runs in a process of its own; the Hub too.

    python benchmarks/download.py [--large-megabytes 1024] [--small-files 2000] [--rounds 3]
"""

from __future__ import annotations

import argparse
import importlib
import json
import os
import random
import resource
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

REVISION = "main"


def make_repositories(folder: Path, large_megabytes: int, small_files: int) -> None:
    """Random bytes in one file, and short JSON lines in many."""
    large = folder / "datasets" / "benchmark" / "large"
    small = folder / "datasets" / "benchmark" / "small" / "data"
    large.mkdir(parents=True)
    small.mkdir(parents=True)
    source = random.Random(0)
    with (large / "train.arrow").open("wb") as file:
        for _ in range(large_megabytes):
            file.write(source.randbytes(1_000_000))
    for number in range(small_files):
        line = json.dumps({"text": source.randbytes(6_000).hex()}) + "\n"
        (small / f"train-{number:05d}-of-{small_files:05d}.jsonl").write_text(line)


def ours(endpoint: str, repository: str, target: Path) -> None:
    """Our downloader, all files of the repository."""
    from mistudio_pipelines.hub.client import HubClient
    from mistudio_pipelines.hub.download import download_files
    from mistudio_pipelines.hub.plan import RemoteFile
    from mistudio_pipelines.hub.tree import list_tree
    from mistudio_pipelines.store.layout import DataStore

    client = HubClient(DataStore(target), endpoint=endpoint)
    files = [
        RemoteFile(
            file.path, file.size, file.sha256, file.git_sha1, "train", client.file_url(repository, REVISION, file.path)
        )
        for file in list_tree(client, repository, REVISION).values()
    ]
    commit = client.get_json(client.api_url(repository), _request(repository))[0]["sha"]
    download_files(client, files, commit, repository, target / "files", floor_bytes=0)


def _request(repository: str):
    from mistudio_pipelines.hub.refusals import Request

    return Request(repository)


def snapshot(endpoint: str, repository: str, target: Path) -> None:
    """huggingface_hub's own, with its default of eight workers."""
    os.environ.update(HF_HUB_DISABLE_XET="1", HF_HUB_DISABLE_PROGRESS_BARS="1", HF_HUB_DISABLE_TELEMETRY="1")
    from huggingface_hub import snapshot_download

    snapshot_download(repository, repo_type="dataset", endpoint=endpoint, cache_dir=target)


def curl(endpoint: str, repository: str, target: Path) -> None:
    """What curl does: with four transfers at once and no checks at all."""
    from huggingface_hub import HfApi

    api = HfApi(endpoint=endpoint, token=False)
    files = api.list_repo_files(repository, repo_type="dataset")
    target.mkdir(parents=True, exist_ok=True)
    lines = []
    for number, path in enumerate(files):
        lines.append(f'url = "{endpoint}/datasets/{repository}/resolve/{REVISION}/{path}"')
        lines.append(f'output = "{target / str(number)}"')
    command = ["curl", "--silent", "--show-error", "--fail", "--location", "--parallel", "--parallel-max", "4"]
    subprocess.run([*command, "--config", "-"], input="\n".join(lines), text=True, check=True)


WAYS = {"ours, verifying": ours, "snapshot_download": snapshot, "curl": curl}


def measure(way: str, endpoint: str, repository: str) -> tuple[float, float]:
    """Seconds and peak memory in MB of one way, in a fresh process; its start-up is not counted."""
    with tempfile.TemporaryDirectory(dir=os.environ.get("TMPDIR")) as target:
        command = [sys.executable, __file__, "--run", way, endpoint, repository, target]
        answer = subprocess.run(command, check=True, capture_output=True, text=True)
        shutil.rmtree(target)
        Path(target).mkdir()
    seconds, peak = answer.stdout.split()[-2:]
    return float(seconds), float(peak)


def run_one(way: str, endpoint: str, repository: str, target: str) -> None:
    """Run one way and print its seconds and peak memory."""
    for module in ("huggingface_hub.hf_api", "mistudio_pipelines.hub.download"):
        importlib.import_module(module)  # start-up is not what is compared

    began = time.perf_counter()
    WAYS[way](endpoint, repository, Path(target) / "target")
    seconds = time.perf_counter() - began
    peak = max(resource.getrusage(who).ru_maxrss for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    print(seconds, peak / 1024)


def compare(endpoint: str, repository: str, rounds: int) -> None:
    """Print the median of some rounds of each way, taken in turns."""
    results: dict[str, list[tuple[float, float]]] = {way: [] for way in WAYS}
    for _ in range(rounds):
        for way, found in results.items():
            found.append(measure(way, endpoint, repository))
    reference = statistics.median(seconds for seconds, _ in results["snapshot_download"])
    print(f"\n{repository}")
    for way, found in results.items():
        seconds = statistics.median(seconds for seconds, _ in found)
        peak = statistics.median(peak for _, peak in found)
        print(f"  {way:18} {seconds:7.2f} s  {reference / seconds:5.2f} x snapshot_download  peak {peak:5.0f} MB")


def main() -> None:
    """Start the local Hub and compare."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--large-megabytes", type=int, default=1024)
    parser.add_argument("--small-files", type=int, default=2000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--run", nargs=4, metavar=("WAY", "ENDPOINT", "REPOSITORY", "TARGET"), help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.run:
        run_one(*options.run)
        return
    with tempfile.TemporaryDirectory() as folder:
        make_repositories(Path(folder), options.large_megabytes, options.small_files)
        command = [sys.executable, "-m", "mistudio_pipelines_tests.hub_server", folder, "--quiet"]
        server = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        try:
            endpoint = next(line for line in server.stdout if "HF_ENDPOINT=" in line).strip().partition("=")[2]
            for repository in ("benchmark/large", "benchmark/small"):
                compare(endpoint, repository, options.rounds)
        finally:
            server.terminate()
            server.wait()


if __name__ == "__main__":
    main()
