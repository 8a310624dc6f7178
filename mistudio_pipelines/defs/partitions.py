"""The dynamic partitions: one key per dataset, one per saved tokenization preset, and their product.

A key of `datasets` is never used twice; see `store/ids.py`.
"""

from __future__ import annotations

import dagster as dg

DATASETS = dg.DynamicPartitionsDefinition(name="datasets")
TOKENIZATIONS = dg.DynamicPartitionsDefinition(name="tokenizations")
DATASET_BY_TOKENIZATION = dg.MultiPartitionsDefinition({"dataset": DATASETS, "tokenization": TOKENIZATIONS})

# What Dagster calls the partition of a run; tools that launch runs over GraphQL need these.
PARTITION_TAG = "dagster/partition"
DATASET_PARTITION_TAG = "dagster/partition/dataset"
TOKENIZATION_PARTITION_TAG = "dagster/partition/tokenization"


def pair_key(dataset_id: str, preset: str) -> str:
    """The partition key of one dataset tokenized with one preset."""
    return dg.MultiPartitionKey({"dataset": dataset_id, "tokenization": preset})


def split_pair_key(key: str) -> tuple[str, str]:
    """Dataset id and preset name of a key made by `pair_key`."""
    dataset_id, _, preset = key.partition("|")
    return dataset_id, preset
