"""The application: endpoints, their documentation, errors and security put together.

`build_application(settings)` is what serves and what tests use; the panel adds its pages to it. What belongs here:
composition. What does not: endpoints (`routes/`), what they share (`context.py`).
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from typing import TYPE_CHECKING, Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.routing import APIRoute
from starlette.exceptions import HTTPException
from starlette.responses import Response

from mistudio_pipelines import __version__
from mistudio_pipelines.api.context import ApiContext
from mistudio_pipelines.api.errors import error_response, http_error, validation_error
from mistudio_pipelines.api.rate_limit import retry_headers
from mistudio_pipelines.api.routes import adding, changing, datasets, events, samples, tokenizations
from mistudio_pipelines.api.security import SecurityMiddleware
from mistudio_pipelines.api.settings import ApiSettings
from mistudio_pipelines.api.tidying import tidy_for_ever
from mistudio_pipelines.errors import MistudioError
from mistudio_pipelines.panel.pages import add_panel, answer_error

if TYPE_CHECKING:
    import dagster as dg

_DESCRIPTION = """
Text datasets on one machine: added, understood, searched, tokenized, deleted. Whatever changes anything is a job of
Dagster; progress is in the datasets themselves (poll them, or follow `/api/events`).

**Errors** all look the same: `{"error": {"code", "message", "next_step", "details", "retryable", "timestamp"}}`.

**Tokens of the Hub** are never stored and never logged. Requests name a *secret* that the server has: an environment
variable, or a file in the secrets folder of its data folder. Only `POST /api/datasets/plan` takes a token itself, for
that one request.

**There is no login.** The server listens on the loopback interface and refuses other host names and requests that
browsers send for other sites.
"""


def build_application(settings: ApiSettings, instance: dg.DagsterInstance | None = None) -> FastAPI:
    """The application of one data folder.

    Args:
        settings: What was chosen.
        instance: Dagster's; opened from the home where it is not given.
    """

    @contextlib.asynccontextmanager
    async def lifespan(application: FastAPI) -> AsyncIterator[None]:
        context = application.state.context = ApiContext(settings, instance)
        tidying = asyncio.create_task(tidy_for_ever(context))
        try:
            yield
        finally:
            tidying.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await tidying
            context.close()

    application = FastAPI(
        title="mistudio",
        version=__version__,
        description=_DESCRIPTION,
        root_path=settings.path_prefix,
        lifespan=lifespan,
        openapi_url="/api/openapi.json",
        # Their pages load scripts from another site, which the content security policy forbids.
        docs_url=None,
        redoc_url=None,
        generate_unique_id_function=_operation_id,
    )
    for topic in (datasets, adding, changing, samples, tokenizations, events):
        application.include_router(topic.router, prefix="/api")
    application.add_middleware(SecurityMiddleware, settings=settings, answer=answer_error)
    _add_error_handlers(application)
    _document_errors_as_they_are(application)
    add_panel(application)
    return application


def _operation_id(route: APIRoute) -> str:
    return route.name


def _add_error_handlers(application: FastAPI) -> None:
    @application.exception_handler(MistudioError)
    async def known(_: Request, error: MistudioError) -> Response:
        return error_response(error, headers=retry_headers(error))

    @application.exception_handler(RequestValidationError)
    async def invalid(_: Request, error: RequestValidationError) -> Response:
        return error_response(validation_error(list(error.errors())))

    @application.exception_handler(HTTPException)
    async def refused(_: Request, error: HTTPException) -> Response:
        problem = http_error(error.status_code, str(error.detail))
        return error_response(problem, status=error.status_code, headers=dict(error.headers or {}))


def _document_errors_as_they_are(application: FastAPI) -> None:
    """Take out FastAPI's own 422, which is never sent: what does not fit its schema is 400 with our envelope."""
    make = application.openapi

    def documented() -> dict[str, Any]:
        if application.openapi_schema is None:
            schema = make()
            for path in schema["paths"].values():
                for operation in path.values():
                    operation["responses"].pop("422", None)
            for unused in ("HTTPValidationError", "ValidationError"):
                schema["components"]["schemas"].pop(unused, None)
            application.openapi_schema = schema
        return application.openapi_schema

    application.openapi = documented  # type: ignore[method-assign]  # as FastAPI's documentation says to extend it
