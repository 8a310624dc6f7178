"""Puts the panel into the API's application: its pages, and errors that people can read.

What belongs here: composition. What does not: pages (`routes/`).
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.responses import Response

from mistudio_pipelines.api.errors import http_error, status_of, validation_error
from mistudio_pipelines.api.security import path_without_prefix
from mistudio_pipelines.errors import ErrorCode, MistudioError
from mistudio_pipelines.hub.secrets import scrub
from mistudio_pipelines.panel import static_files
from mistudio_pipelines.panel.rendering import is_fragment, render
from mistudio_pipelines.panel.routes import adding, changing, datasets, describing, samples, tokenizations

Handler = Callable[[Request, Any], Awaitable[Response]]


def add_panel(application: FastAPI) -> None:
    """Add the pages to an application of the API, whose error handlers are set already.

    Args:
        application: Of `build_application`.
    """
    for topic in (static_files, datasets, adding, changing, samples, describing, tokenizations):
        application.include_router(topic.router)
    for kind, describe in (
        (MistudioError, lambda error: error),
        (RequestValidationError, lambda error: validation_error(list(error.errors()))),
        (HTTPException, _http_problem),
    ):
        application.add_exception_handler(kind, _for_people(describe, application.exception_handlers[kind]))


def _http_problem(error: HTTPException) -> MistudioError:
    if error.status_code == 404:
        return MistudioError(ErrorCode.NOT_FOUND, "There is no such page.", "The list of datasets leads to all pages.")
    return http_error(error.status_code, str(error.detail))


def _for_people(describe: Callable[[Any], MistudioError], for_programs: Any) -> Handler:
    """An error as a page, or as a part of one; as JSON below /api."""

    async def handle(request: Request, error: Any) -> Response:
        if path_without_prefix(request.scope).startswith("/api/"):
            answer: Response = await for_programs(request, error)
            return answer
        return error_page(request, describe(error))

    return handle


def error_page(request: Request, problem: MistudioError) -> Response:
    """An error as a page; as a notice above the page where a part of it was asked for."""
    shown: dict[str, Any] = {"message": scrub(problem.message), "next_step": scrub(problem.next_step)}
    status = status_of(problem)
    if is_fragment(request):
        headers = {"HX-Retarget": "#notices", "HX-Reswap": "innerHTML", "HX-Push-Url": "false"}
        return render(request, "notice.html", status, headers, tone="error", **shown)
    return render(request, "error.html", status, title=f"Error {status}", **shown)
