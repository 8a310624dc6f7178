"""Two runs that want to make the same thing at once, each in a process of its own: one makes it, the other finds it."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import dagster as dg

from mistudio_pipelines.defs.names import UNCHANGED
from mistudio_pipelines.defs.status import show_dataset
from mistudio_pipelines.processes import process_start
from mistudio_pipelines.store.locks import INDEX_PART, is_locked
from mistudio_pipelines.text.sample_index import check_index
from mistudio_pipelines_tests.defs.conftest import Workshop
from mistudio_pipelines_tests.live.stack import wait

_RUN = """
import sys
import dagster as dg
from mistudio_pipelines.definitions import defs
with dg.DagsterInstance.get() as instance:
    done = defs.resolve_job_def("ingest").execute_in_process(instance=instance, partition_key=sys.argv[1])
    print(done.success)
"""
SAMPLES = 20_000


def _start(workshop: Workshop, dataset_id: str) -> subprocess.Popen[str]:
    environment = {**os.environ, "MISTUDIO_DATA": str(workshop.store.root)}
    return subprocess.Popen(
        [sys.executable, "-c", _RUN, dataset_id],
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def _unchanged(workshop: Workshop, dataset_id: str) -> list[bool]:
    filter_ = dg.AssetRecordsFilter(asset_key=dg.AssetKey("statistics"), asset_partitions=[dataset_id])
    records = workshop.instance.fetch_materializations(filter_, limit=10).records
    found = [record.asset_materialization for record in records]
    return [bool(one.metadata[UNCHANGED].value) for one in found if one is not None]


def test_two_ingestions_of_a_dataset_make_its_index_once_also_where_the_first_is_killed(workshop: Workshop) -> None:
    texts = [f"text number {number} " + "with some words " * 20 for number in range(SAMPLES)]
    dataset_id = workshop.add(workshop.write_texts("texts.jsonl", texts))
    assert workshop.run("download", dataset_id).success

    first = _start(workshop, dataset_id)
    wait(lambda: is_locked(workshop.store, dataset_id, INDEX_PART), what="the first to begin", pause=0.02)
    others = [_start(workshop, dataset_id) for _ in range(2)]
    # They wait: what the first makes is what they want, too.
    first.kill()
    first.communicate()
    for process in others:
        output, errors = process.communicate(timeout=120)
        assert (process.returncode, output.strip().splitlines()[-1:]) == (0, ["True"]), errors[-2000:]
        assert process_start(process.pid) is None

    assert sorted(_unchanged(workshop, dataset_id)) == [False, True]
    assert check_index(workshop.store, dataset_id) == []
    assert show_dataset(workshop.instance, workshop.store, dataset_id).status.status == "ready"
    assert json.loads(workshop.store.statistics(dataset_id).read_text())["format_version"]
    assert not workshop.store.index_partial(dataset_id).exists()
