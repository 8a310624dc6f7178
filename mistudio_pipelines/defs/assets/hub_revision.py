"""The observed asset `hub_revision`: the newest commit of a dataset's repository on the Hub."""

import dagster as dg

from mistudio_pipelines.defs import names
from mistudio_pipelines.defs.operation import operation, require_dataset
from mistudio_pipelines.defs.partitions import DATASETS
from mistudio_pipelines.defs.resources import DataStoreResource, HuggingFaceHub
from mistudio_pipelines.errors import MistudioError
from mistudio_pipelines.store.layout import DataStore
from mistudio_pipelines.store.records import DatasetRecord


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
    error: MistudioError | None = None
    with operation(context, "looking for newer revisions"):
        for dataset_id in context.partition_keys:
            try:
                record = require_dataset(context.instance, store, dataset_id)
                versions[dataset_id] = _newest_revision(store, record, hub)
            except MistudioError as found:
                # One repository that is gone must not keep the others from being looked at.
                context.log.warning(f"{dataset_id}: {found}")
                error = found
                continue
            if versions[dataset_id] != record.revision:
                context.log.info(f"{record.name} ({dataset_id}) has a newer revision: {versions[dataset_id]}.")
        if error is not None and not versions:
            raise error
    return dg.DataVersionsByPartition(versions)


def _newest_revision(store: DataStore, record: DatasetRecord, hub: HuggingFaceHub) -> str:
    from mistudio_pipelines.hub.repository import newest_revision

    if record.source == "local" or record.repository is None:
        return record.revision
    return newest_revision(hub.client(store, record.token_name), record.repository, record.followed_revision)
