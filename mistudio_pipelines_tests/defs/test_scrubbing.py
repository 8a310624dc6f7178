"""Damage that no size tells of turns a dataset to error, and a retry mends it."""

from __future__ import annotations

import json
import os
from pathlib import Path

import dagster as dg

from mistudio_pipelines.defs import scrubbing
from mistudio_pipelines.defs.partitions import pair_key
from mistudio_pipelines.defs.resources import DataStoreResource
from mistudio_pipelines.defs.retrying import retry_request
from mistudio_pipelines.defs.status import show_dataset
from mistudio_pipelines.store.scrubbing import Scrubber
from mistudio_pipelines_tests.defs.conftest import Workshop


def _rot(path: Path) -> None:
    """One other byte, at the same size and time, as a failing disk leaves it."""
    before, content = path.stat(), bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))


def test_damage_that_keeps_the_size_is_found_shown_and_mended_by_a_retry(workshop: Workshop) -> None:
    preset = workshop.save_preset()
    dataset_id = workshop.add(workshop.write_texts("texts.jsonl", [f"text number {i}" for i in range(50)]))
    for job, key in (("download", dataset_id), ("ingest", dataset_id), ("tokenize", pair_key(dataset_id, preset))):
        assert workshop.run(job, key).success

    def look() -> None:
        scrubbing._scrubber = Scrubber()  # as after a start
        context = dg.build_sensor_context(
            instance=workshop.instance,
            repository_def=workshop.definitions.get_repository_def(),
            resources={"data_store": DataStoreResource(data_folder=str(workshop.store.root))},
        )
        scrubbing.scrub_files(context)

    look()
    assert show_dataset(workshop.instance, workshop.store, dataset_id).status.status == "ready"
    for folder, file, stage in (
        (workshop.store.index(dataset_id), "tokens.u32", "ingestion"),
        (workshop.store.tokenized(dataset_id, preset), "data/*.parquet", "tokenization"),
        (workshop.store.raw(dataset_id), "*.parquet", "download"),
    ):
        _rot(next(iter(folder.glob(file))))
        look()
        overview = show_dataset(workshop.instance, workshop.store, dataset_id)
        assert (overview.status.status, overview.status.error_code) == ("error", "data_corrupt"), stage
        assert overview.status.stage == stage
        request = retry_request(overview)
        assert workshop.run(request.job, request.tags["dagster/partition"]).success
        look()
        status = show_dataset(workshop.instance, workshop.store, dataset_id).status
        # New raw files: their statistics come next.
        assert status.status == ("ingesting" if stage == "download" else "ready"), (stage, status)
    events = [json.loads(line) for line in workshop.store.audit.read_text().splitlines()]
    assert [one["part"] for one in events if one["event"] == "damage_found"] == ["index", f"tokenized.{preset}", "raw"]
