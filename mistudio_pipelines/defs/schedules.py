"""What runs by the clock, switched off until a person switches it on in the UI."""

import dagster as dg

from mistudio_pipelines.defs.jobs import observe_revisions_job
from mistudio_pipelines.defs.partitions import DATASETS

_RANGE_START_TAG = "dagster/asset_partition_range_start"
_RANGE_END_TAG = "dagster/asset_partition_range_end"


@dg.schedule(
    job=observe_revisions_job,
    cron_schedule="0 3 * * *",
    default_status=dg.DefaultScheduleStatus.STOPPED,
    description="Once a day, in one run, ask the Hub for the newest commit of every dataset (one small request each; "
    "rate limits are waited for). Datasets with a newer one are shown as out of date; nothing is downloaded.",
)
def observe_revisions_daily(context: dg.ScheduleEvaluationContext) -> dg.RunRequest | dg.SkipReason:
    """One run over all datasets."""
    keys = context.instance.get_dynamic_partitions(str(DATASETS.name))
    if not keys:
        return dg.SkipReason("There are no datasets.")
    return dg.RunRequest(tags={_RANGE_START_TAG: keys[0], _RANGE_END_TAG: keys[-1]})
