"""The one thing that Dagster loads. `build_definitions` serves tests and other code locations too."""

from __future__ import annotations

import dagster as dg

from mistudio_pipelines.defs.assets.hub_revision import hub_revision
from mistudio_pipelines.defs.assets.ingestion import statistics_and_index
from mistudio_pipelines.defs.assets.raw import raw
from mistudio_pipelines.defs.assets.tokenized import tokenized
from mistudio_pipelines.defs.assets.training import training
from mistudio_pipelines.defs.checks import raw_files_intact
from mistudio_pipelines.defs.jobs import JOBS
from mistudio_pipelines.defs.resources import DataStoreResource, HuggingFaceHub, ShardExecutor
from mistudio_pipelines.defs.schedules import observe_revisions_daily
from mistudio_pipelines.defs.scrubbing import scrub_files
from mistudio_pipelines.defs.sensors import advance_datasets


def build_definitions(
    *,
    data_store: DataStoreResource | None = None,
    hub: HuggingFaceHub | None = None,
    shard_executor: ShardExecutor | None = None,
) -> dg.Definitions:
    """Everything that Dagster sees, with resources of one's own where given.

    Args:
        data_store: The data folder.
        hub: The Hub.
        shard_executor: What runs the shards of a tokenization.
    """
    return dg.Definitions(
        assets=[raw, statistics_and_index, tokenized, hub_revision, training],
        asset_checks=[raw_files_intact],
        jobs=[*JOBS],
        sensors=[advance_datasets, scrub_files],
        schedules=[observe_revisions_daily],
        # One step, one process: a killed run leaves no process behind that goes on downloading.
        executor=dg.in_process_executor,
        resources={
            # Nothing is passed from step to step, so nothing needs to be pickled to disk.
            "io_manager": dg.mem_io_manager,
            "data_store": data_store or DataStoreResource(),
            "hub": hub or HuggingFaceHub(),
            "shard_executor": shard_executor or ShardExecutor(),
        },
    )


defs = build_definitions()
