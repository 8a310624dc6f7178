"""The asset `tokenized`: a dataset as rows of tokens, one partition per dataset and preset."""

import dagster as dg

from mistudio_pipelines.defs import names
from mistudio_pipelines.defs.descriptions import tokenized_metadata
from mistudio_pipelines.defs.operation import operation, require_dataset, require_tokenization
from mistudio_pipelines.defs.partitions import DATASET_BY_TOKENIZATION, split_pair_key
from mistudio_pipelines.defs.resources import DataStoreResource, ShardExecutor
from mistudio_pipelines.store.locks import dataset_lock, tokenized_part

# Written again here, so that loading the definitions does not import the code; a test keeps them equal.
TOKENIZED_CODE_VERSION = "1"


@dg.asset(
    deps=["raw"],
    partitions_def=DATASET_BY_TOKENIZATION,
    group_name=names.GROUP,
    owners=[names.OWNER],
    kinds={"huggingface", "parquet"},
    code_version=TOKENIZED_CODE_VERSION,
    description=(
        "A dataset tokenized with a saved preset, as Parquet shards that `datasets` and SAE trainers load as they are. "
        "One partition per dataset and preset; the grid shows which exist. Save a preset with the job "
        "`save_tokenization`. A crash costs at most one shard per worker: finished shards are kept."
    ),
    check_specs=[
        dg.AssetCheckSpec(
            "no_token_lost",
            asset="tokenized",
            description="Tokens encoded = tokens in rows - specials + tail + truncated, by shard and in all.",
        )
    ],
)
def tokenized(
    context: dg.AssetExecutionContext, data_store: DataStoreResource, shard_executor: ShardExecutor
) -> dg.MaterializeResult:  # type: ignore[type-arg]  # Dagster reads it and knows only the bare class
    """Tokenize the dataset of this partition with the preset of this partition."""
    store = data_store.open()
    dataset_id, preset = split_pair_key(context.partition_key)
    with operation(context, "tokenization", dataset_id) as step:
        record = require_dataset(context.instance, store, dataset_id)
        require_tokenization(context.instance, preset)
        from mistudio_pipelines.defs.verdicts import tokens_verdict
        from mistudio_pipelines.tokenization.tokenize import tokenize_dataset

        part = tokenized_part(preset)
        with dataset_lock(store, dataset_id, part, "being tokenized"), shard_executor.start(store) as executor:
            result = tokenize_dataset(store, dataset_id, preset, executor=executor, on_progress=step.on_progress)
            verdict = tokens_verdict(store, dataset_id, preset)
    return dg.MaterializeResult(metadata=tokenized_metadata(store, record, preset, result), check_results=[verdict])
