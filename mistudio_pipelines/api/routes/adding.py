"""Adding datasets: looking at what it would take, downloading, reading files of this machine, uploading one."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Path, Request, Response
from starlette.requests import ClientDisconnect

from mistudio_pipelines.adding import AddPlan
from mistudio_pipelines.api import actions
from mistudio_pipelines.api.context import ApiContext, Context
from mistudio_pipelines.api.errors import responses
from mistudio_pipelines.api.models.adding import (
    AddingPlan,
    DownloadAnswer,
    DownloadMeta,
    DownloadRequest,
    DownloadStarted,
    LocalRequest,
    PlanRequest,
    Upload,
    UploadRequest,
)
from mistudio_pipelines.api.models.common import Answer, StartedRun
from mistudio_pipelines.api.uploads import UploadedFile
from mistudio_pipelines.defs.names import ADD_DATASET_JOB
from mistudio_pipelines.errors import ErrorCode, MistudioError

router = APIRouter(tags=["adding"])

UploadId = Annotated[str, Path(pattern=r"^[0-9a-f]{16}$", examples=["0123456789abcdef"])]


@router.post("/datasets/plan", responses=responses(404, 409, 413, 415, 503))
async def plan_dataset(context: Context, body: PlanRequest) -> Answer[AddingPlan]:
    """Look at a dataset before adding it: splits, size, what it needs on the disk. Changes nothing.

    A token of the Hub may be given for this one request (`access_token`): it is kept in memory while the request
    lasts, sent to the Hub only, and never stored or logged.
    """
    request = body.to_request(paths=tuple(body.paths))
    token = None if body.access_token is None else body.access_token.get_secret_value() or None
    return Answer(data=_shown_plan(await context.slowly(lambda: actions.plan(context, request, token))))


@router.post("/datasets/download", status_code=202, responses=responses(404, 409, 413, 415, 429, 503))
async def download_dataset(context: Context, body: DownloadRequest) -> DownloadAnswer:
    """Add a dataset of the Hub. It is validated at once; Dagster then downloads it, one dataset at a time.

    No token is taken here: `token_name` names a secret that the server has (an environment variable, or a file in its
    secrets folder), because Dagster stores what a run is given.
    """
    plan, record = await context.slowly(lambda: actions.download(context, body.to_request()))
    return DownloadAnswer(
        data=DownloadStarted(dataset_id=record.id, message="Dataset download started."),
        meta=DownloadMeta(
            job_id=None,
            estimated_duration_seconds=None,
            download_bytes=record.download_bytes,
            pipeline_bytes=record.pipeline_bytes,
            warnings=list(plan.warnings),
        ),
    )


@router.post("/datasets/local", status_code=202, responses=responses(404, 409, 413, 415, 503))
async def add_local(context: Context, body: LocalRequest) -> Answer[StartedRun]:
    """Add files or folders of the server's own machine by their path; a run reads and registers them."""
    actions.require_local_paths(context)
    form = _form(body.text_column, body.name, body.tokenizations, strict=body.strict)
    form |= {"paths": list(body.paths), "splits": list(body.splits)}
    run_id = await context.slowly(lambda: actions.add_paths(context, form))
    return Answer(data=StartedRun(job_id=run_id, job=ADD_DATASET_JOB, message="The files are being read."))


@router.post("/uploads", status_code=201, responses=responses(409, 413, 415, 503))
async def announce_upload(context: Context, body: UploadRequest) -> Answer[Upload]:
    """Announce a file to upload: what could be wrong with it is said before its first byte travels.

    Send its bytes with `PUT /api/uploads/{upload_id}`; `GET` of the same address tells how far it is.
    """
    form = _form(body.text_column, body.name or body.filename, body.tokenizations, strict=body.strict)
    upload = context.uploads.begin(body.filename, body.size_bytes, form)
    return Answer(data=_shown_upload(context, upload))


@router.put(
    "/uploads/{upload_id}",
    status_code=202,
    responses=responses(404, 409, 413, 415, 503),
    openapi_extra={
        "requestBody": {
            "required": True,
            "description": "The bytes of the file.",
            "content": {"application/octet-stream": {"schema": {"type": "string", "format": "binary"}}},
        }
    },
)
async def upload_file(context: Context, upload_id: UploadId, request: Request) -> Answer[Upload]:
    """Send the bytes of an announced file. They go straight to the disk; then a run of `add_dataset` reads them.

    Where only Dagster could not be reached, the same request without a body tries to start the run again.
    """
    upload = context.uploads.find(upload_id)
    try:
        if not upload.awaits_run:
            await context.uploads.receive(upload, request.stream())
    except ClientDisconnect as error:
        raise MistudioError(
            ErrorCode.CANCELLED, "The connection ended before the file was there.", "Send it again.", transient=True
        ) from error
    await context.slowly(lambda: actions.add_upload(context, upload))
    return Answer(data=_shown_upload(context, upload))


@router.get("/uploads/{upload_id}", responses=responses(404))
async def get_upload(context: Context, upload_id: UploadId) -> Answer[Upload]:
    """Tell how an upload stands, and which dataset it has become."""
    upload = context.uploads.find(upload_id)
    return Answer(data=await context.quickly(lambda: _shown_upload(context, upload)))


@router.delete("/uploads/{upload_id}", status_code=204, responses=responses(404, 409))
async def remove_upload(context: Context, upload_id: UploadId) -> Response:
    """Forget an upload that was announced, or whose dataset could not be added."""
    upload = context.uploads.find(upload_id)
    state = await context.quickly(lambda: _shown_upload(context, upload).state)
    if state in ("receiving", "adding"):
        raise MistudioError(ErrorCode.BUSY, f"The upload is {state}.", "Wait for its end.", transient=True)
    if state != "added":  # what became a dataset is removed as soon as the dataset's own files are there
        await context.quickly(lambda: context.uploads.remove(upload_id))
    return Response(status_code=204)


def _form(text_column: str | None, name: str | None, tokenizations: list[str], *, strict: bool) -> dict[str, Any]:
    """Fields of the form of `add_dataset`; empty where nothing is asked for."""
    return {
        "text_column": text_column or "",
        "name": name or "",
        "tokenizations": list(tokenizations),
        "strict": strict,
    }


def _shown_plan(plan: AddPlan) -> AddingPlan:
    record = plan.record
    return AddingPlan(
        name=record.name,
        source="HuggingFace" if record.source == "huggingface" else "Local",
        repository=record.repository,
        config=record.config,
        available_configs=list(plan.available_configs),
        splits=list(record.splits or plan.available_splits),
        available_splits=list(plan.available_splits),
        revision=record.revision,
        text_column=record.text_column,
        license=record.license,
        description=record.description,
        files=plan.file_count,
        format=plan.file_format,
        download_bytes=record.download_bytes,
        pipeline_bytes=record.pipeline_bytes,
        free_bytes=plan.free_bytes,
        warnings=list(plan.warnings),
    )


def _shown_upload(context: ApiContext, upload: UploadedFile) -> Upload:
    """An upload with what its run says."""
    from mistudio_pipelines.api.dagster_runs import run_error
    from mistudio_pipelines.defs.names import DATASET_TAG

    error, dataset_id, state = upload.failure, None, upload.state
    shown: Any = "failed" if error else {"received": "adding"}.get(state, state)
    if upload.run_id is not None:
        run = context.runs.find(upload.run_id)
        if run is not None and run.is_finished:
            shown = "added" if run.is_success else "failed"
            error = None if run.is_success else run_error(run)
            dataset_id = run.tags.get(DATASET_TAG)
    done = None if not upload.size else min(100.0, 100.0 * upload.received / upload.size)
    return Upload(
        upload_id=upload.id,
        filename=upload.filename,
        state=shown,
        received_bytes=upload.received,
        size_bytes=upload.size,
        progress=done,
        job_id=upload.run_id,
        dataset_id=dataset_id,
        error_code=None if error is None else str(error.code),
        error_message=None if error is None else str(error),
    )
