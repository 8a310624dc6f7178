"""What changes something: adding, retrying, cancelling, tokenizing, deleting, all through Dagster. Blocking.

Endpoints and pages call these in a thread. What belongs here: the same calls as the `mistudio` command makes. What does
not: any rule about datasets.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from mistudio_pipelines.errors import ErrorCode, MistudioError

if TYPE_CHECKING:
    from mistudio_pipelines.adding import AddPlan, AddRequest
    from mistudio_pipelines.api.context import ApiContext
    from mistudio_pipelines.api.snapshots import Snapshot
    from mistudio_pipelines.api.uploads import UploadedFile
    from mistudio_pipelines.defs.retrying import LaunchRequest
    from mistudio_pipelines.store.records import DatasetRecord


def plan(context: ApiContext, request: AddRequest, token: str | None = None) -> AddPlan:
    """Find out what adding a dataset would need; writes nothing.

    Args:
        context: Of the application.
        request: What is asked for.
        token: A token for this one call, instead of a named secret.

    Raises:
        MistudioError: Whatever is wrong with the request, the repository, the files or the disk.
    """
    from mistudio_pipelines.adding import plan_adding
    from mistudio_pipelines.defs.resources import HuggingFaceHub
    from mistudio_pipelines.hub.client import HubClient

    store = context.store
    if request.paths:
        require_local_paths(context)
    HuggingFaceHub().prepare(store)
    return plan_adding(store, request, lambda token_name: HubClient(store, token_name=token_name, token=token))


def download(context: ApiContext, request: AddRequest) -> tuple[AddPlan, DatasetRecord]:
    """Validate and register a dataset of the Hub, as `mistudio add` does; Dagster then starts its download.

    Raises:
        MistudioError: `too_many_requests`, and as `plan`.
    """
    from mistudio_pipelines.defs.registration import register_dataset

    with context.downloads.one():
        planned = plan(context, request)
        record = register_dataset(context.instance, context.store, planned)
    context.snapshots.expire()
    return planned, record


def add_paths(context: ApiContext, form: Mapping[str, Any]) -> str:
    """Start the job that reads and registers local files; returns its run.

    Args:
        context: Of the application.
        form: Fields of the form of `add_dataset`.

    Raises:
        MistudioError: `server_unreachable`, `invalid_config`.
    """
    from mistudio_pipelines.defs import names

    return context.runs.launch_op(names.ADD_DATASET_JOB, "validate_and_register", form)


def add_upload(context: ApiContext, upload: UploadedFile) -> str:
    """Start the job that adds an uploaded file; returns its run. It can be called again where that failed."""
    try:
        run_id = add_paths(context, {**upload.form, "paths": [str(upload.path)]})
    except MistudioError as error:
        upload.failure = error
        raise
    context.uploads.note_run(upload, run_id)
    return run_id


def require_local_paths(context: ApiContext) -> None:
    """Refuse paths of this machine where the server does not take them.

    Raises:
        MistudioError: `access_denied`.
    """
    if not context.settings.local_paths:
        raise MistudioError(
            ErrorCode.ACCESS_DENIED,
            "This server does not add files of its own machine by their path.",
            "Upload the file, or start the server with --local-paths.",
        )


def retry(context: ApiContext, snapshot: Snapshot, dataset_id: str) -> tuple[LaunchRequest, str]:
    """Continue whatever failed for a dataset, where it stopped; returns what was launched and its run.

    Raises:
        MistudioError: `busy` where it is not in error; `server_unreachable`.
    """
    from mistudio_pipelines.defs.retrying import retry_request

    request = retry_request(snapshot.by_id[dataset_id])
    run_id = context.runs.launch(request)
    context.snapshots.expire()
    return request, run_id


def cancel(context: ApiContext, dataset_id: str) -> list[str]:
    """End the runs that work on a dataset; what they have done is kept. Returns their ids.

    Raises:
        MistudioError: `server_unreachable`, `busy`.
    """
    from mistudio_pipelines.defs.deletion import runs_of_dataset

    active = [run.run_id for run in runs_of_dataset(context.instance, dataset_id) if not run.is_finished]
    for run_id in active:
        context.runs.cancel(run_id)
    context.snapshots.expire()
    return active


def tokenize(context: ApiContext, dataset_id: str, preset: str) -> str:
    """Start tokenizing a dataset with a saved preset; returns the run.

    Raises:
        MistudioError: `unknown_preset`, `data_missing` where the dataset is not there yet, `server_unreachable`.
    """
    from mistudio_pipelines.defs.operation import require_dataset, require_tokenization
    from mistudio_pipelines.defs.retrying import tokenization_run
    from mistudio_pipelines.store.manifest import read_manifest
    from mistudio_pipelines.tokenization.presets import load_preset

    require_dataset(context.instance, context.store, dataset_id)
    load_preset(context.store, preset)
    require_tokenization(context.instance, preset)
    read_manifest(context.store.raw(dataset_id))
    run_id = context.runs.launch(tokenization_run(dataset_id, preset))
    context.snapshots.expire()
    return run_id


def save_preset(context: ApiContext, form: Mapping[str, Any]) -> tuple[str, bool]:
    """Start the job that validates and saves a preset, and wait for it; returns its run and whether it has ended.

    Args:
        context: Of the application.
        form: Fields of the form of `save_tokenization`.

    Raises:
        MistudioError: `preset_exists`, `invalid_preset`, what loading the tokenizer raises; `server_unreachable`.
    """
    from mistudio_pipelines.defs import names

    run_id = context.runs.launch_op(names.SAVE_TOKENIZATION_JOB, "validate_and_save", form)
    return run_id, context.runs.wait(run_id)


def delete(
    context: ApiContext, dataset_ids: Sequence[str], *, tokenization: str | None = None, cancel_runs: bool = False
) -> tuple[str, int | None]:
    """Delete datasets, or one tokenization of each, with the job of Dagster.

    Returns:
        The run, and the bytes it freed; None where it goes on after half a minute.

    Raises:
        MistudioError: `unknown_dataset`, `unknown_preset`, `in_use`, `busy`, `server_unreachable`.
    """
    from mistudio_pipelines.defs import names
    from mistudio_pipelines.defs.deletion import plan_deletion

    ids = list(dict.fromkeys(dataset_ids))
    for plan in [plan_deletion(context.instance, context.store, one, tokenization) for one in ids]:
        if plan.users or (plan.active_runs and not cancel_runs):
            runs = [f"run {run[:8]}" for run in plan.active_runs]
            raise MistudioError(
                ErrorCode.IN_USE,
                f"Cannot delete dataset {plan.dataset_id}: it is in use by {', '.join([*plan.users, *runs])}.",
                "End what uses it, or delete with cancel_runs where these are its own runs.",
                details={"used_by": list(plan.users), "active_job_ids": list(plan.active_runs)},
            )
    config = {"dataset_ids": ids, "confirm": ids, "tokenization": tokenization or "", "cancel_runs": cancel_runs}
    run_id = context.runs.launch_op(names.DELETE_DATASETS_JOB, "delete", config)
    try:
        ended = context.runs.wait(run_id)
    finally:
        context.snapshots.expire()
        if tokenization is None:
            # Deleted files take room as long as somebody has them open.
            for dataset_id in ids:
                context.browsers.forget(dataset_id)
    return run_id, context.runs.output_number(run_id, "bytes_freed") if ended else None


def update(context: ApiContext, snapshot: Snapshot, dataset_id: str) -> tuple[str, str | None]:
    """Fetch the newest revision of a dataset of the Hub.

    Returns:
        The newest revision and the run that fetches it; None where the dataset is at it already.

    Raises:
        MistudioError: `busy` where something is being done to it, `invalid_config` for local files,
            `too_many_requests`, `server_unreachable`; as `plan`.
    """
    from mistudio_pipelines.defs import names
    from mistudio_pipelines.defs.registration import register_update
    from mistudio_pipelines.defs.resources import HuggingFaceHub
    from mistudio_pipelines.defs.retrying import dataset_run
    from mistudio_pipelines.updating import plan_update

    overview, store = snapshot.by_id[dataset_id], context.store
    if overview.status.status not in ("ready", "error"):
        raise MistudioError(
            ErrorCode.BUSY, f"Dataset {dataset_id} is {overview.status.status}.", "Wait for its end.", transient=True
        )
    record = overview.record
    planned = plan_update(store, record, lambda token_name: HuggingFaceHub().client(store, token_name))
    if planned is None:
        return record.revision, None
    with context.downloads.one():
        context.runs.require_webserver()  # else the record would already speak of a revision that nothing fetches
        updated = register_update(store, planned, record.revision)
        run_id = context.runs.launch(dataset_run(names.DOWNLOAD_JOB, dataset_id))
    context.snapshots.expire()
    return updated.revision, run_id
