"""Puts the panel into the API's application: its pages, and errors that people can read.

What belongs here: composition, and who is told of an error in which form. What does not: pages (`routes/`).
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.responses import Response

from mistudio_pipelines.api.errors import error_response, http_error, status_of, validation_error
from mistudio_pipelines.api.rate_limit import retry_headers
from mistudio_pipelines.api.security import Scope, path_without_prefix
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
    if error.status_code == 405:
        return MistudioError(
            ErrorCode.METHOD_NOT_ALLOWED,
            "This address is not a page: a button of the panel sends to it.",
            "Go to the list of datasets and press the button there.",
        )
    return http_error(error.status_code, str(error.detail))


def _for_people(describe: Callable[[Any], MistudioError], for_programs: Any) -> Handler:
    """An error as a page, or as a part of one; as JSON below /api."""

    async def handle(request: Request, error: Any) -> Response:
        if _is_of_api(request):
            answer: Response = await for_programs(request, error)
            return answer
        return error_page(request, describe(error), getattr(error, "headers", None))

    return handle


def answer_error(scope: Scope, problem: MistudioError) -> Response:
    """The answer where no endpoint gives one: a request that is refused before, or a failure that nobody foresaw.

    Args:
        scope: Of the request.
        problem: What is wrong.

    Returns:
        A page, or a part of one, where a browser asked for one of the panel's; else the envelope of the API.
    """
    request = Request(scope)
    wants_page = is_fragment(request) or "text/html" in request.headers.get("accept", "")
    if _is_of_api(request) or not wants_page:
        return error_response(problem)
    return error_page(request, problem)


def _is_of_api(request: Request) -> bool:
    return path_without_prefix(request.scope).startswith("/api/")


def error_page(request: Request, problem: MistudioError, headers: Mapping[str, str] | None = None) -> Response:
    """An error as a page; as a notice above the page where a part of it was asked for."""
    headers = {**retry_headers(problem), **(headers or {})}
    shown: dict[str, Any] = {"message": scrub(problem.message), "next_step": scrub(problem.next_step)}
    status = status_of(problem)
    if is_fragment(request):
        headers |= {"HX-Retarget": "#notices", "HX-Reswap": "innerHTML", "HX-Push-Url": "false"}
        return render(request, "notice.html", status, headers, tone="error", **shown)
    # Under a name that is not answered neither styles nor links would be.
    template = "refused.html" if problem.code == ErrorCode.HOST_NOT_ALLOWED else "error.html"
    return render(request, template, status, headers, title=f"Error {status}", **shown)
