"""Asset checks that are run on demand. Checks that belong to a materialization are yielded by their asset."""

import dagster as dg

from mistudio_pipelines.defs.operation import operation, require_dataset
from mistudio_pipelines.defs.partitions import DATASETS
from mistudio_pipelines.defs.resources import DataStoreResource


@dg.asset_check(
    asset="raw",
    partitions_def=DATASETS,
    description="Reads every raw file again and compares its size and sha256 with the manifest. Run it on demand; "
    "where it fails, the disk has damaged the dataset: download it again (`mistudio retry ID`).",
)
def raw_files_intact(context: dg.AssetCheckExecutionContext, data_store: DataStoreResource) -> dg.AssetCheckResult:
    """Verify the raw files of this partition."""
    store = data_store.open()
    dataset_id = context.run.tags["dagster/partition"]
    with operation(context, "verification", dataset_id) as step:
        require_dataset(context.instance, store, dataset_id)
        from mistudio_pipelines.defs.verdicts import raw_verdict

        return raw_verdict(store, dataset_id, step.on_progress)
