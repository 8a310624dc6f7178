"""The assets `statistics` and `sample_index`: one pass over the text makes both."""

from collections.abc import Iterator

import dagster as dg

from mistudio_pipelines.defs import names
from mistudio_pipelines.defs.descriptions import index_metadata, statistics_metadata
from mistudio_pipelines.defs.operation import operation, require_dataset
from mistudio_pipelines.defs.partitions import DATASETS
from mistudio_pipelines.defs.resources import DataStoreResource, ShardExecutor
from mistudio_pipelines.text.fingerprint import INDEX_CODE_VERSION, STATISTICS_CODE_VERSION


def _spec(name: str, code_version: str, kinds: set[str], description: str) -> dg.AssetSpec:
    return dg.AssetSpec(
        name,
        deps=["raw"],
        partitions_def=DATASETS,
        group_name=names.GROUP,
        owners=[names.OWNER],
        kinds=kinds,
        code_version=code_version,
        description=description,
    )


@dg.multi_asset(
    name="statistics_and_index",
    specs=[
        _spec(
            "statistics",
            STATISTICS_CODE_VERSION,
            {"json"},
            "Exact statistics of every sample of a dataset: samples, whitespace tokens and their distribution, "
            "vocabulary, characters, nulls, duplicates, other columns; also in `metadata/{id}_stats.json`. "
            "Made by itself after a download; an unchanged dataset is not read again.",
        ),
        _spec(
            "sample_index",
            INDEX_CODE_VERSION,
            {"tantivy"},
            "Full-text index and sample columns of a dataset, for searching, filtering and paging. "
            "Made in the same pass as `statistics`. Look through it with the job `browse_samples` or "
            "`mistudio samples`.",
        ),
    ],
    check_specs=[
        dg.AssetCheckSpec(
            "statistics_add_up",
            asset="statistics",
            description="Splits, histogram bins and totals add up to the rows of the raw files.",
        ),
        dg.AssetCheckSpec(
            "text_is_clean",
            asset="statistics",
            description="Warns of nulls, empty texts, exact duplicates and replaced characters, with their numbers.",
        ),
        dg.AssetCheckSpec(
            "index_is_complete",
            asset="sample_index",
            description="The index holds every sample of the raw files and can be opened.",
        ),
    ],
)
def statistics_and_index(
    context: dg.AssetExecutionContext, data_store: DataStoreResource, shard_executor: ShardExecutor
) -> Iterator[dg.MaterializeResult[None] | dg.AssetCheckResult]:
    """Read the dataset of this partition once; write its statistics and its index."""
    store = data_store.open()
    dataset_id = context.partition_key
    with operation(context, "ingestion", dataset_id) as step:
        record = require_dataset(context.instance, store, dataset_id)
        from mistudio_pipelines.defs.verdicts import index_verdict, statistics_verdict, text_verdict
        from mistudio_pipelines.text.ingestion import ingest

        with shard_executor.start_for_ingestion(store) as executor:
            result = ingest(store, dataset_id, executor=executor, on_progress=step.on_progress)
        verdicts = (
            statistics_verdict(store, dataset_id, result.statistics),
            text_verdict(result.statistics),
            index_verdict(store, dataset_id),
        )
    yield dg.MaterializeResult("statistics", metadata=statistics_metadata(store, record, result))
    yield dg.MaterializeResult("sample_index", metadata=index_metadata(store, record, result))
    yield from verdicts
