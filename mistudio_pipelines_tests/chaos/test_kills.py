"""Random kill -9 of any process of a running installation, and a second daemon by mistake."""

from __future__ import annotations

import contextlib
import itertools
import os
import random
import subprocess
import sys
import time
from collections import Counter

import pytest

from mistudio_pipelines.defs.retrying import retry_request
from mistudio_pipelines.store.manifest import read_manifest
from mistudio_pipelines.store.orphans import find_orphans
from mistudio_pipelines.store.raw_folder import verify_raw
from mistudio_pipelines.tokenization.proof import check_tokenization
from mistudio_pipelines_tests.defs.conftest import SAMPLE_TOKENIZER
from mistudio_pipelines_tests.faults import Faults
from mistudio_pipelines_tests.live.stack import Stack, parquet_bytes

pytestmark = [pytest.mark.live, pytest.mark.timeout(1500)]

LONG = int(os.environ.get("MISTUDIO_CHAOS_KILLS", "25"))
EVERYTHING = ("daemon", "code", "webserver", "workers")
PRESET = "chaos"


@pytest.mark.parametrize(
    ("seed", "datasets", "most"), [(3, 1, 4), pytest.param(None, 4, LONG, marks=pytest.mark.chaos)]
)
def test_random_kills_over_the_whole_pipeline_lose_nothing(
    stack: Stack, faults: Faults, seed: int | None, datasets: int, most: int
) -> None:
    seed = random.randrange(1 << 30) if seed is None else seed
    chance = random.Random(seed)
    stack.mistudio("tokenization", "save", PRESET, "--tokenizer", str(SAMPLE_TOKENIZER), "--context-size", "64")
    added = [_add(stack, f"someone/chaos-{datasets}-{number}") for number in range(datasets)]
    others = set(stack.datasets()) - set(added)
    kills: Counter[str] = Counter()
    deleted = 0
    while kills.total() < most:
        time.sleep(chance.uniform(0.5, 6.0))
        victims = chance.choice([("workers",)] * 3 + [("code",), ("daemon",), ("webserver",), EVERYTHING])
        stack.kill(*victims)
        kills["+".join(victims)] += 1
        faults.cause("kill -9 of " + ("all processes" if victims == EVERYTHING else victims[0]))
        if victims == EVERYTHING:
            stack.restart()
        else:
            stack.services.watch()
        if datasets > 1 and kills.total() in (most // 3, 2 * most // 3):
            deleted += 1
            faults.cause("kill -9 of a deletion")
            _delete_and_be_killed(stack, added.pop(chance.randrange(len(added))), chance.uniform(1.5, 4.0))
            added.append(_add(stack, f"someone/chaos-{datasets}-again-{deleted}"))
        _retry_given_up(stack)

    began = time.monotonic()
    stack.hub.faults.clear()

    def all_ready() -> bool:
        stack.services.watch()
        _retry_given_up(stack)
        found = stack.datasets()
        return set(found) - others == set(added) and all(
            found[key].status.status == "ready" and found[key].tokenizations == (PRESET,) for key in added
        )

    stack.wait(all_ready, seconds=300, what="everything to be ready", pause=2)
    print(
        f"\nseed {seed}: {dict(kills)}, {deleted} deletions; all ready {time.monotonic() - began:.0f} s after the last"
    )
    for dataset_id in added:
        folder = stack.store.raw(dataset_id)
        assert verify_raw(folder, read_manifest(folder)) == []
        assert check_tokenization(stack.store, dataset_id, PRESET) == []
    assert [one for one in find_orphans(stack.store, [*added, *others]) if one.kind == "dataset"] == []
    outside = [path for path in stack.store.root.parent.iterdir() if path.name not in ("data", "hf")]
    assert outside == []
    faults.survived()


def _add(stack: Stack, name: str) -> str:
    texts = [f"{name} {number} " + "some words to read " * 40 for number in range(8000)]
    stack.hub.add_repository(name, {f"data/train-0000{part}-of-00002.parquet": parquet_bytes(texts) for part in (0, 1)})
    stack.hub.faults.slow(f"{name}/*parquet", 1_500_000)
    return stack.add(name, "--tokenize", PRESET)


def _delete_and_be_killed(stack: Stack, dataset_id: str, after_seconds: float) -> None:
    """A deletion in a terminal that is closed at some moment; where it had begun, the sensor finishes it."""
    code = "from mistudio_pipelines.cli import main; main()"
    command = [sys.executable, "-c", code, "delete", dataset_id, "--yes", "--cancel-runs"]
    with subprocess.Popen(command, env=dict(stack.environment), stdout=subprocess.DEVNULL) as deletion:
        with contextlib.suppress(subprocess.TimeoutExpired):
            deletion.wait(after_seconds)
        deletion.kill()
    found = stack.datasets().get(dataset_id)
    if found is not None and found.status.status != "deleting":  # killed before it had begun
        stack.mistudio("delete", dataset_id, "--yes", "--cancel-runs")


def _retry_given_up(stack: Stack) -> None:
    """What was lost more than three times waits for a person: here for this one."""
    for overview in stack.datasets().values():
        if overview.status.status == "error":
            assert overview.status.error_code in ("run_failed", "hub_unreachable", "cancelled"), overview.status
            request = retry_request(overview)
            stack.wait_for_server()
            stack.client.launch(request.job, tags=request.tags)


@pytest.mark.chaos
def test_two_daemons_by_mistake_start_nothing_twice(stack: Stack, faults: Faults) -> None:
    faults.cause("second daemon")
    workspace = stack.home / "workspace.yaml"
    second = subprocess.Popen(
        [sys.executable, "-m", "dagster._daemon", "run", "-w", str(workspace)],
        env=dict(stack.environment),
        cwd=stack.home,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        texts = [f"text {number}" for number in range(500)]
        added = []
        for number in range(3):
            name = f"someone/two-daemons-{number}"
            stack.hub.add_repository(name, {"data/train-00000-of-00001.parquet": parquet_bytes(texts)})
            added.append(stack.add(name))
        stack.wait_until(added, seconds=200)
    finally:
        second.terminate()
        second.wait(60)
    runs = {job: [len(stack.runs(job, dataset_id)) for dataset_id in added] for job in ("download", "ingest")}
    print(f"\nruns of each dataset with two daemons: {runs}")
    downloads = stack.step_times("raw")
    assert all(earlier[1] <= later[0] for earlier, later in itertools.pairwise(downloads))
    assert all(one.status.status == "ready" for key, one in stack.datasets().items() if key in added)
    faults.survived()
