"""Does the Hub have a newer revision? Dagster shows it; against the local Hub, on a real instance."""

from __future__ import annotations

import io

import dagster as dg
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from dagster._core.definitions.data_version import CachingStaleStatusResolver, StaleStatus
from dagster._core.loader import LoadingContextForTest

from mistudio_pipelines.adding import AddRequest, plan_adding
from mistudio_pipelines.definitions import build_definitions
from mistudio_pipelines.defs.registration import register_dataset, register_update
from mistudio_pipelines.defs.resources import DataStoreResource, HuggingFaceHub
from mistudio_pipelines.defs.schedules import observe_revisions_daily
from mistudio_pipelines.store.manifest import read_manifest
from mistudio_pipelines.store.records import read_record
from mistudio_pipelines.updating import plan_update
from mistudio_pipelines_tests.defs.conftest import Workshop
from mistudio_pipelines_tests.hub_server import HubServer


def _parquet(texts: list[str]) -> bytes:
    buffer = io.BytesIO()
    pq.write_table(pa.table({"text": texts}), buffer)
    return buffer.getvalue()


@pytest.mark.filterwarnings("ignore")
def test_a_dataset_is_out_of_date_when_the_hub_has_a_newer_commit_and_not_before(
    workshop: Workshop, hub: HubServer
) -> None:
    hub.add_repository("someone/texts", {"train.parquet": _parquet(["one", "two"])})
    resource = HuggingFaceHub(endpoint=hub.endpoint)
    store = workshop.store
    request = AddRequest(repository="someone/texts")
    plan = plan_adding(store, request, lambda token_name: resource.client(store, token_name))
    dataset_id = register_dataset(workshop.instance, store, plan).id
    definitions = build_definitions(data_store=DataStoreResource(data_folder=str(store.root)), hub=resource)

    def run(job: str, **options: object) -> None:
        job_definition = definitions.resolve_job_def(job)
        result = job_definition.execute_in_process(instance=workshop.instance, partition_key=dataset_id, **options)
        assert result.success

    def stale_status() -> StaleStatus:
        graph = definitions.get_repository_def().asset_graph
        context = LoadingContextForTest(workshop.instance)
        return CachingStaleStatusResolver(workshop.instance, graph, context).get_status(dg.AssetKey("raw"), dataset_id)

    run("download")
    assert stale_status() == StaleStatus.FRESH
    run("observe_revisions")
    assert stale_status() == StaleStatus.FRESH
    hub.commit("someone/texts", {"train.parquet": _parquet(["one", "two", "three"])})
    run("observe_revisions")
    assert stale_status() == StaleStatus.STALE

    record = read_record(store, dataset_id)
    update = plan_update(store, record, lambda token_name: resource.client(store, token_name))
    assert update is not None
    assert (update.record.id, update.record.revision != record.revision) == (dataset_id, True)
    register_update(store, update, record.revision)
    run("download")
    assert stale_status() == StaleStatus.FRESH
    assert read_manifest(store.raw(dataset_id)).rows == 3
    assert plan_update(store, update.record, lambda token_name: resource.client(store, token_name)) is None


@pytest.mark.filterwarnings("ignore")
def test_the_daily_look_is_one_run_and_one_request_for_each_dataset(workshop: Workshop, hub: HubServer) -> None:
    resource = HuggingFaceHub(endpoint=hub.endpoint)
    store, ids = workshop.store, []
    for name in ("one", "two", "three"):
        hub.add_repository(f"someone/{name}", {"train.parquet": _parquet([name])})
        request = AddRequest(repository=f"someone/{name}")
        plan = plan_adding(store, request, lambda token_name: resource.client(store, token_name))
        ids.append(register_dataset(workshop.instance, store, plan).id)
    definitions = build_definitions(data_store=DataStoreResource(data_folder=str(store.root)), hub=resource)
    context = dg.build_schedule_context(instance=workshop.instance)
    request = observe_revisions_daily(context)
    assert isinstance(request, dg.RunRequest)

    hub.clear_requests()
    job = definitions.resolve_job_def("observe_revisions")
    assert job.execute_in_process(instance=workshop.instance, tags=dict(request.tags)).success
    assert len(hub.requests) == len(ids)
    observed = workshop.instance.fetch_observations(dg.AssetKey("hub_revision"), limit=10).records
    assert {record.partition_key for record in observed} == set(ids)
