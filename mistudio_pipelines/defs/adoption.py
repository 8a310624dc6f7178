"""Taking over datasets that are on disk but not in Dagster's books: after a move to another database, or a lost one.

What belongs here: reporting what is there, so that status and asset pages show it and nothing is downloaded or made
again. What does not: the partition keys (`registration.py`).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

import dagster as dg
from dagster._core.definitions.data_version import DATA_VERSION_TAG

from mistudio_pipelines.defs.descriptions import index_metadata, raw_metadata, statistics_metadata, tokenized_metadata
from mistudio_pipelines.defs.history import History, read_history
from mistudio_pipelines.defs.partitions import pair_key
from mistudio_pipelines.errors import MistudioError
from mistudio_pipelines.store.condition import read_condition
from mistudio_pipelines.store.layout import DataStore
from mistudio_pipelines.store.manifest import Manifest, read_manifest
from mistudio_pipelines.store.records import DatasetRecord

_SOURCE = "Found on disk, made earlier; nothing was downloaded or computed again."


def adopt_datasets(instance: dg.DagsterInstance, store: DataStore, records: Iterable[DatasetRecord]) -> list[str]:
    """Report what is on disk of datasets and unknown to Dagster as materialized.

    Call it before their partition keys are registered, or the sensor starts what it believes is missing. What is
    missing or damaged on disk is left out: it is then downloaded or made as for a new dataset.

    Args:
        instance: Whose books.
        store: The data folder.
        records: The datasets to look at.

    Returns:
        The partitions that were reported, as `asset/key`.
    """
    history = read_history(instance)
    reported = []
    for record in records:
        for event in _missing_events(store, record, history):
            instance.report_runless_asset_event(event)
            if isinstance(event, dg.AssetMaterialization):
                reported.append(f"{event.asset_key.to_user_string()}/{event.partition}")
    return reported


def _missing_events(
    store: DataStore, record: DatasetRecord, history: History
) -> Iterator[dg.AssetMaterialization | dg.AssetObservation]:
    condition = read_condition(store, record.id)
    if record.deleting or condition.raw != "complete":
        return
    manifest = read_manifest(store.raw(record.id))
    if manifest.revision != record.revision:
        return  # an update was begun; its download compares the files itself
    if record.id not in history.raw.results:
        yield from _raw_events(store, record, manifest)
    if record.id not in history.statistics.results:
        yield from _ingestion_events(store, record)
    for preset in condition.tokenizations:
        if pair_key(record.id, preset) not in history.tokenized.results and preset not in record.deleting_tokenizations:
            yield from _tokenization_events(store, record, manifest, preset)


def _raw_events(
    store: DataStore, record: DatasetRecord, manifest: Manifest
) -> Iterator[dg.AssetMaterialization | dg.AssetObservation]:
    # As after a download: without it the first look at the Hub would show the dataset as out of date.
    yield dg.AssetObservation("hub_revision", partition=record.id, tags={DATA_VERSION_TAG: manifest.revision})
    yield _materialized("raw", record.id, raw_metadata(store, record, manifest), version=manifest.revision)


def _ingestion_events(store: DataStore, record: DatasetRecord) -> Iterator[dg.AssetMaterialization]:
    from mistudio_pipelines.text.ingestion import find_ingested

    try:
        result = find_ingested(store, record.id)
    except MistudioError:  # it will be said by the run that makes it again
        return
    if result is not None:
        yield _materialized("statistics", record.id, statistics_metadata(store, record, result))
        yield _materialized("sample_index", record.id, index_metadata(store, record, result))


def _tokenization_events(
    store: DataStore, record: DatasetRecord, manifest: Manifest, preset: str
) -> Iterator[dg.AssetMaterialization]:
    from mistudio_pipelines.tokenization.proof import read_tokenization
    from mistudio_pipelines.tokenization.results import TokenizationResult

    try:
        tokenization = read_tokenization(store, record.id, preset)
    except MistudioError:  # as above
        return
    if tokenization.source.files == {file.path: file.sha256 for file in manifest.files}:
        result = TokenizationResult(tokenization, unchanged=True)
        metadata = tokenized_metadata(store, record, preset, result)
        yield _materialized("tokenized", str(pair_key(record.id, preset)), metadata)


def _materialized(
    asset: str, key: str, metadata: dict[str, Any], version: str | None = None
) -> dg.AssetMaterialization:
    tags = {DATA_VERSION_TAG: version} if version else {}
    return dg.AssetMaterialization(asset, description=_SOURCE, metadata=metadata, partition=key, tags=tags)
