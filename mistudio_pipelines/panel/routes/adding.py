"""The form that adds datasets: looking at one before it is added, adding it, following the run that reads files.

What belongs here: from fields of the form to the API's requests. What does not: checks (`api/routes/adding.py`, whose
functions these are).
"""

from __future__ import annotations

from typing import Any, TypeVar

from fastapi import APIRouter, Request
from pydantic import BaseModel, ValidationError
from starlette.responses import Response

from mistudio_pipelines.api.context import Context
from mistudio_pipelines.api.errors import status_of, validation_error
from mistudio_pipelines.api.models.adding import AddingPlan, DownloadRequest, LocalRequest, PlanRequest
from mistudio_pipelines.api.rate_limit import retry_headers
from mistudio_pipelines.api.routes.adding import add_local, download_dataset, plan_dataset
from mistudio_pipelines.api.routes.changing import get_job
from mistudio_pipelines.errors import MistudioError
from mistudio_pipelines.panel.forms import Fields, Form, adding_values
from mistudio_pipelines.panel.rendering import is_fragment, redirect, render
from mistudio_pipelines.panel.routes.datasets import list_values

router = APIRouter(include_in_schema=False)

Body = TypeVar("Body", bound=BaseModel)


@router.post("/datasets/check")
async def check(request: Request, context: Context, fields: Form) -> Response:
    """Look at a repository while its name is being typed: configs, splits, size, what fits on the disk."""
    form = adding_values(fields)
    plan, problem = None, None
    if form["repo_id"]:
        try:
            wanted = make_body(PlanRequest, {**_hub_values(fields), "access_token": fields.optional("access_token")})
            plan = (await plan_dataset(context, wanted)).data
        except MistudioError as error:
            problem = error
    if is_fragment(request):
        return render(request, "plan.html", form=form, plan=plan, problem=problem)
    return await _list_again(request, context, form, problem, plan=plan)


@router.post("/datasets")
async def download(request: Request, context: Context, fields: Form) -> Response:
    """Add a dataset of the Hub."""
    try:
        await download_dataset(context, make_body(DownloadRequest, _hub_values(fields)))
    except MistudioError as problem:
        return await _list_again(request, context, adding_values(fields), problem)
    return redirect(request, "/datasets", done="added")


@router.post("/datasets/local")
async def add_path(request: Request, context: Context, fields: Form) -> Response:
    """Add a file or folder of this machine."""
    values = {"paths": fields.texts("path"), "name": fields.optional("name")}
    try:
        run = (await add_local(context, make_body(LocalRequest, values))).data
    except MistudioError as problem:
        return await _list_again(request, context, adding_values(fields), problem)
    return redirect(request, "/datasets", job=run.job_id)


@router.get("/jobs/{job_id}")
async def job_notice(request: Request, context: Context, job_id: str) -> Response:
    """How the run stands that reads files; asks again by itself until it has ended."""
    job = (await get_job(context, job_id)).data
    return render(request, "job.html", job=job)


def _hub_values(fields: Fields) -> dict[str, Any]:
    optional = ("revision", "text_column", "name", "token_name")
    # Configs and splits on the page may still be those of the repository that was typed before.
    is_current = fields.text("planned_repo") in ("", fields.text("repo_id"))
    splits = fields.texts("splits") if is_current else []
    return {
        "repo_id": fields.text("repo_id"),
        # All of them is the same as none chosen: then splits that a newer revision brings are taken too.
        "splits": [] if set(splits) == set(fields.texts("available_splits")) else splits,
        "allow_large": fields.is_checked("allow_large"),
        **{name: fields.optional(name) for name in optional},
        "config": fields.optional("config") if is_current else None,
    }


def make_body(model: type[Body], values: dict[str, Any]) -> Body:
    """The body of a request to the API.

    Raises:
        MistudioError: `validation_error`.
    """
    try:
        return model(**values)
    except ValidationError as error:
        # Their place is that of the field itself, without the part of the request that FastAPI puts before it.
        raise validation_error([{**one, "loc": ("body", *one["loc"])} for one in error.errors()]) from error


async def _list_again(
    request: Request,
    context: Context,
    form: dict[str, Any],
    problem: MistudioError | None,
    plan: AddingPlan | None = None,
) -> Response:
    """The page with the form as it was filled in, and what is wrong with it."""
    values = await list_values(context)
    status, headers = (200, {}) if problem is None else (status_of(problem), retry_headers(problem))
    return render(
        request, "datasets.html", status, headers, form=form, problem=problem, plan=plan, done=None, job=None, **values
    )
