"""Registering what is added: the partition key of a dataset or a preset, its record, and the line in the audit trail.

The same function serves the job, the command and the tests, so that every way in does the same.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import dagster as dg

from mistudio_pipelines.adding import AddPlan, accept_plan
from mistudio_pipelines.defs.adoption import adopt_datasets
from mistudio_pipelines.defs.instance import ensure_download_limit
from mistudio_pipelines.defs.partitions import DATASETS, TOKENIZATIONS
from mistudio_pipelines.store.audit import write_audit
from mistudio_pipelines.store.layout import DataStore
from mistudio_pipelines.store.records import DatasetRecord, read_all_records

if TYPE_CHECKING:
    from mistudio_pipelines.tokenization.presets import TokenizationPreset


def register_dataset(instance: dg.DagsterInstance, store: DataStore, plan: AddPlan) -> DatasetRecord:
    """Write the record and register the partition key; the sensor then starts the download.

    The record comes first: a key without a record would be a dataset that nobody knows how to fetch, whereas
    `register_missing_keys` mends a record without a key.
    """
    record = accept_plan(store, plan)
    ensure_download_limit(instance)
    instance.add_dynamic_partitions(str(DATASETS.name), [record.id])
    write_audit(store, "dataset_added", record.id, name=record.name, source=record.source, revision=record.revision)
    return record


def register_update(store: DataStore, plan: AddPlan, previous_revision: str) -> DatasetRecord:
    """Write the record of a planned update; the caller then launches the download."""
    record = accept_plan(store, plan)
    write_audit(store, "dataset_updated", record.id, revision=record.revision, previous_revision=previous_revision)
    return record


def register_preset(instance: dg.DagsterInstance, store: DataStore, preset: TokenizationPreset) -> TokenizationPreset:
    """Validate, store and register a tokenization preset."""
    from mistudio_pipelines.tokenization.presets import save_preset

    saved = save_preset(store, preset)
    instance.add_dynamic_partitions(str(TOKENIZATIONS.name), [saved.name])
    write_audit(store, "tokenization_saved", None, name=saved.name, tokenizer=saved.tokenizer)
    return saved


def register_missing_keys(instance: dg.DagsterInstance, store: DataStore) -> list[str]:
    """Register datasets and presets that are on disk but unknown to the instance, with what is there of them.

    That is so where an addition was cut short, where the data folder came from another instance, and where the
    database is a new one.

    Returns:
        The ids and names that were registered.
    """
    known = set(instance.get_dynamic_partitions(str(DATASETS.name)))
    records = [record for record in read_all_records(store) if record.id not in known and not record.deleting]
    presets = {path.stem for path in store.presets_root.glob("*.json")}
    missing_presets = sorted(presets - set(instance.get_dynamic_partitions(str(TOKENIZATIONS.name))))
    instance.add_dynamic_partitions(str(TOKENIZATIONS.name), missing_presets)
    if records:
        ensure_download_limit(instance)
        # Oldest first, so that the order in which they were added stays.
        adopt_datasets(instance, store, records[::-1])
        instance.add_dynamic_partitions(str(DATASETS.name), [record.id for record in records[::-1]])
    return [*(record.id for record in records), *missing_presets]


def adopt(instance: dg.DagsterInstance, store: DataStore) -> list[str]:
    """Register everything on disk that the instance does not know, also parts of datasets that it does know.

    Returns:
        What was registered: ids, names of presets, and partitions as `asset/key`.
    """
    registered = register_missing_keys(instance, store)
    rest = adopt_datasets(instance, store, read_all_records(store))
    return [*registered, *rest]
