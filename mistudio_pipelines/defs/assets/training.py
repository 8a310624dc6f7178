"""The external asset `training`: where trainings outside this product report that they use a dataset."""

import dagster as dg

from mistudio_pipelines.defs import names
from mistudio_pipelines.defs.trainings import TRAINING

training = dg.AssetSpec(
    TRAINING,
    group_name=names.GROUP,
    owners=[names.OWNER],
    deps=["tokenized"],
    description=(
        "Trainings that use datasets, reported from outside: `POST /report_asset_observation/training` with "
        '`{"partition": TRAINING_ID, "metadata": {"dataset_id": ..., "status": "running", "valid_seconds": 3600}}` '
        "and exactly `Content-Type: application/json`; `status` is `started` or `running`, then `done`. While a "
        "training counts, its dataset is not deleted. A training that stops reporting counts no longer than "
        "`valid_seconds` (at most 7 days). See docs/trainings.md."
    ),
)
