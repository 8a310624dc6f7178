"""Steering datasets: retry, cancel, update, delete, and how the runs stand that these started."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Path, Query, Response

from mistudio_pipelines.api import actions, describing, reading
from mistudio_pipelines.api.context import Context
from mistudio_pipelines.api.errors import responses
from mistudio_pipelines.api.models.common import Answer, DatasetId, JobState, Listing, PresetName, StartedRun
from mistudio_pipelines.api.models.datasets import Deletion, DeletionPlan, DeletionRequest, Deletions, Update
from mistudio_pipelines.api.routes.datasets import DatasetIdInPath
from mistudio_pipelines.errors import ErrorCode, MistudioError

router = APIRouter(tags=["changing"])

CancelRuns = Annotated[bool, Query(description="Cancel runs that are working on it; else it is refused.")]
_GOES_ON = {"description": "The deletion goes on; `GET /api/jobs/{job_id}` tells when it has ended."}


@router.post("/datasets/{dataset_id}/retry", status_code=202, responses=responses(404, 409, 413, 415, 503))
async def retry_dataset(context: Context, dataset_id: DatasetIdInPath) -> Answer[StartedRun]:
    """Continue whatever failed for a dataset, where it stopped."""
    context.snapshots.expire()
    snapshot = await reading.snapshot_with(context, dataset_id)
    request, run_id = await context.slowly(lambda: actions.retry(context, snapshot, dataset_id))
    return Answer(data=StartedRun(job_id=run_id, job=request.job, message="It continues where it stopped."))


@router.post("/datasets/{dataset_id}/cancel", status_code=202, responses=responses(404, 409, 413, 415, 503))
async def cancel_dataset(context: Context, dataset_id: DatasetIdInPath) -> Listing[str]:
    """Stop what is being done to a dataset and list the runs; what is there is kept, and retry continues it."""
    await reading.snapshot_with(context, dataset_id)
    return Listing(data=await context.slowly(lambda: actions.cancel(context, dataset_id)))


@router.post(
    "/datasets/{dataset_id}/update",
    status_code=202,
    responses={
        **responses(404, 409, 413, 415, 429, 503),
        200: {"model": Answer[Update], "description": "There is nothing newer; nothing was started."},
    },
)
async def update_dataset(context: Context, dataset_id: DatasetIdInPath, response: Response) -> Answer[Update]:
    """Fetch the newest revision of a dataset of the Hub; files that are still the same are not downloaded again.

    Counts as a download where something is fetched.
    """
    context.snapshots.expire()
    snapshot = await reading.snapshot_with(context, dataset_id)
    revision, run_id = await context.slowly(lambda: actions.update(context, snapshot, dataset_id))
    response.status_code = 200 if run_id is None else 202
    message = "It is the newest revision already." if run_id is None else "The newest revision is being fetched."
    return Answer(data=Update(message=message, dataset_id=dataset_id, revision=revision, job_id=run_id))


@router.delete(
    "/datasets/{dataset_id}", responses={**responses(404, 409, 503), 202: {"model": Answer[Deletion], **_GOES_ON}}
)
async def delete_dataset(
    context: Context, dataset_id: DatasetIdInPath, response: Response, cancel_runs: CancelRuns = False
) -> Answer[Deletion]:
    """Delete a dataset: files, index, tokenizations, runs and partition. It cannot be brought back."""
    run_id, freed = await context.slowly(lambda: actions.delete(context, [dataset_id], cancel_runs=cancel_runs))
    response.status_code = 202 if freed is None else 200
    message = "Dataset is being deleted." if freed is None else "Dataset deleted successfully."
    return Answer(data=Deletion(message=message, dataset_id=dataset_id, freed_bytes=freed, job_id=run_id))


@router.delete(
    "/datasets/{dataset_id}/tokenizations/{preset}",
    responses={**responses(404, 409, 503), 202: {"model": Answer[Deletion], **_GOES_ON}},
)
async def delete_tokenization(
    context: Context,
    dataset_id: DatasetIdInPath,
    preset: Annotated[PresetName, Path(description="The preset.")],
    response: Response,
    cancel_runs: CancelRuns = False,
) -> Answer[Deletion]:
    """Delete one tokenization of a dataset; the dataset stays."""
    run_id, freed = await context.slowly(
        lambda: actions.delete(context, [dataset_id], tokenization=preset, cancel_runs=cancel_runs)
    )
    response.status_code = 202 if freed is None else 200
    message = "Tokenization is being deleted." if freed is None else "Tokenization deleted successfully."
    return Answer(data=Deletion(message=message, dataset_id=dataset_id, freed_bytes=freed, job_id=run_id))


@router.get("/deletions", responses=responses(404))
async def plan_deletions(
    context: Context,
    dataset_id: Annotated[list[DatasetId], Query(min_length=1, max_length=1000, description="May be repeated.")],
    tokenization: Annotated[PresetName | None, Query(description="Only this tokenization of them.")] = None,
) -> Listing[DeletionPlan]:
    """Show what deleting datasets would remove, how many bytes, and who stands against it. Changes nothing."""

    def work() -> list[DeletionPlan]:
        return [reading.read_deletion_plan(context, one, tokenization) for one in dict.fromkeys(dataset_id)]

    return Listing(data=await context.quickly(work))


@router.post(
    "/deletions",
    responses={**responses(404, 409, 413, 415, 503), 202: {"model": Answer[Deletions], **_GOES_ON}},
)
async def delete_datasets(context: Context, body: DeletionRequest, response: Response) -> Answer[Deletions]:
    """Delete several datasets, or one tokenization of each; the ids are repeated to confirm."""
    if sorted(set(body.confirm)) != sorted(set(body.dataset_ids)):
        raise MistudioError(
            ErrorCode.NOT_CONFIRMED,
            "The ids under `confirm` are not the ids under `dataset_ids`.",
            "Repeat exactly the ids that are to be deleted.",
        )
    run_id, freed = await context.slowly(
        lambda: actions.delete(context, body.dataset_ids, tokenization=body.tokenization, cancel_runs=body.cancel_runs)
    )
    response.status_code = 202 if freed is None else 200
    ids = list(dict.fromkeys(body.dataset_ids))
    what = f"{len(ids)} dataset{'s' if len(ids) > 1 else ''}"
    message = f"{what} being deleted." if freed is None else f"{what} deleted successfully."
    return Answer(data=Deletions(message=message, dataset_ids=ids, freed_bytes=freed, job_id=run_id))


@router.get("/jobs/{job_id}", tags=["server"], responses=responses(404))
async def get_job(
    context: Context, job_id: Annotated[str, Path(pattern=r"^[0-9a-f-]{36}$", description="Id of the run.")]
) -> Answer[JobState]:
    """Tell how a run of Dagster stands."""
    run = await context.quickly(lambda: context.runs.find(job_id))
    if run is None:
        raise MistudioError(ErrorCode.NOT_FOUND, "There is no such job.", "Answers that start one give its job_id.")
    return Answer(data=describing.job_state(run))
