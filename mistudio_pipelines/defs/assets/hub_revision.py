"""The observed asset `hub_revision`: the newest commit of a dataset's repository on the Hub."""

import dagster as dg

from mistudio_pipelines.defs import names
from mistudio_pipelines.defs.operation import operation, require_dataset
from mistudio_pipelines.defs.partitions import DATASETS
from mistudio_pipelines.defs.resources import DataStoreResource, HuggingFaceHub


@dg.observable_source_asset(
    partitions_def=DATASETS,
    group_name=names.GROUP,
    description="The newest commit of each dataset's repository on the Hub. Observe a partition to learn whether "
    "there is a newer revision than the one that was downloaded; one request per dataset.",
)
def hub_revision(
    context: dg.OpExecutionContext, data_store: DataStoreResource, hub: HuggingFaceHub
) -> dg.DataVersionsByPartition:
    """Ask the Hub for the newest commit of each chosen dataset; local datasets stay as they are."""
    store = data_store.open()
    versions: dict[str, str] = {}
    with operation(context, "looking for newer revisions"):
        from mistudio_pipelines.hub.repository import newest_revision

        for dataset_id in context.partition_keys:
            record = require_dataset(context.instance, store, dataset_id)
            if record.source == "local":
                versions[dataset_id] = record.revision
                continue
            client = hub.client(store, record.token_name)
            versions[dataset_id] = newest_revision(client, record.repository or "", record.followed_revision)
            if versions[dataset_id] != record.revision:
                context.log.info(f"{record.name} ({dataset_id}) has a newer revision: {versions[dataset_id]}.")
    return dg.DataVersionsByPartition(versions)
