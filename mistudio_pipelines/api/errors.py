"""Errors as the API gives them: one envelope, one HTTP status for each code, documented for every endpoint.

What belongs here: the envelope and the mapping. What does not: the sentences (whoever finds an error writes them).
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import UTC, datetime
from http import HTTPStatus
from typing import Any

from pydantic import BaseModel, Field
from starlette.responses import Response

from mistudio_pipelines.errors import ErrorCode, MistudioError
from mistudio_pipelines.hub.secrets import scrub

_LONGEST_VALUE = 200


class ErrorBody(BaseModel):
    """What went wrong."""

    code: str = Field(description="Stable name of the kind of error.", examples=["unknown_dataset"])
    message: str = Field(description="One sentence: what is wrong and where.")
    next_step: str = Field(description="One sentence: what to do about it; may be empty.")
    details: dict[str, Any] = Field(description="Plain values for tools, for example the valid choices.")
    retryable: bool = Field(description="True where the same request may succeed later without any change.")
    timestamp: datetime = Field(description="When, UTC.", examples=["2026-01-31T12:34:56Z"])


class ErrorEnvelope(BaseModel):
    """The body of every answer that is not a success."""

    error: ErrorBody


_STATUS: Mapping[ErrorCode, int] = {
    ErrorCode.AUTHENTICATION_REQUIRED: 403,
    ErrorCode.ACCESS_DENIED: 403,
    ErrorCode.READ_ONLY: 403,
    ErrorCode.CROSS_SITE: 403,
    ErrorCode.HOST_NOT_ALLOWED: 403,
    ErrorCode.UNKNOWN_DATASET: 404,
    ErrorCode.PARTITION_NOT_REGISTERED: 404,
    ErrorCode.REPOSITORY_NOT_FOUND: 404,
    ErrorCode.REVISION_NOT_FOUND: 404,
    ErrorCode.PATH_NOT_FOUND: 404,
    ErrorCode.UNKNOWN_PRESET: 404,
    ErrorCode.TOKENIZER_NOT_FOUND: 404,
    ErrorCode.NOT_FOUND: 404,
    ErrorCode.METHOD_NOT_ALLOWED: 405,
    ErrorCode.DATASET_EXISTS: 409,
    ErrorCode.PRESET_EXISTS: 409,
    ErrorCode.IN_USE: 409,
    ErrorCode.BUSY: 409,
    ErrorCode.NOT_CONFIRMED: 409,
    ErrorCode.INDEX_MISSING: 409,
    ErrorCode.DATA_MISSING: 409,
    ErrorCode.DATA_CORRUPT: 409,
    ErrorCode.CANCELLED: 409,
    ErrorCode.BODY_TOO_LARGE: 413,
    ErrorCode.UNSUPPORTED_MEDIA_TYPE: 415,
    ErrorCode.TOO_MANY_REQUESTS: 429,
    ErrorCode.INSUFFICIENT_STORAGE: 503,
    ErrorCode.HUB_UNREACHABLE: 503,
    ErrorCode.RATE_LIMITED: 503,
    ErrorCode.FILE_GONE: 503,
    ErrorCode.CORRUPT_DOWNLOAD: 503,
    ErrorCode.SERVER_UNREACHABLE: 503,
    ErrorCode.CLUSTER_UNREACHABLE: 503,
    ErrorCode.NO_DAGSTER_HOME: 503,
    ErrorCode.DATA_FOLDER_UNUSABLE: 503,
    ErrorCode.INTERNAL: 500,
    ErrorCode.RUN_FAILED: 500,
    ErrorCode.WORKER_LOST: 500,
}
"""Codes that are not here are mistakes of the request: 400."""

_MEANINGS: Mapping[int, str] = {
    400: "The request cannot be understood or asks for something that cannot be.",
    403: "Refused: access to the repository, the read-only mode, another site, or a host name that is not allowed.",
    404: "There is no such thing.",
    405: "This address does not know the method.",
    409: "The state of the dataset is against it: it exists already, is in use, is not ready, or its files are gone.",
    413: "The body is larger than allowed.",
    415: "The body has another content type than this address takes.",
    429: "Too many downloads were started; `Retry-After` says when the next one may be.",
    503: "Not now: no room on the disk, or the Hub or Dagster cannot be reached.",
}
_EXAMPLES: Mapping[int, tuple[ErrorCode, str, str, dict[str, Any]]] = {
    400: (
        ErrorCode.VALIDATION_ERROR,
        "limit: Input should be less than or equal to 100.",
        "Correct it and ask again.",
        {"field": "limit", "value": 1000},
    ),
    403: (
        ErrorCode.READ_ONLY,
        "This server only shows datasets: it runs in read-only mode.",
        "Start it without `--read-only` to change anything.",
        {},
    ),
    404: (ErrorCode.UNKNOWN_DATASET, "There is no dataset ds_stories_a1b2c3.", "`mistudio list` shows them.", {}),
    405: (ErrorCode.METHOD_NOT_ALLOWED, "Method Not Allowed.", "", {}),
    409: (
        ErrorCode.IN_USE,
        "Dataset ds_stories_a1b2c3 is in use: training sae-layer-8.",
        "Wait for it to end, or end it, then delete again.",
        {"used_by": ["training sae-layer-8"]},
    ),
    413: (ErrorCode.BODY_TOO_LARGE, "The file is larger than 10 GB.", "Add it by its path instead.", {}),
    415: (ErrorCode.UNSUPPORTED_MEDIA_TYPE, "The body must be application/json.", "", {}),
    429: (
        ErrorCode.TOO_MANY_REQUESTS,
        "10 downloads were started in the last hour, which is the limit.",
        "Try again in 12m05s.",
        {"limit": 10},
    ),
    503: (
        ErrorCode.INSUFFICIENT_STORAGE,
        "Insufficient storage: dataset requires 2.3 GB but only 800 MB is available.",
        "Please free up space or delete unused datasets.",
        {"required": 2300000000, "available": 800000000},
    ),
}


def status_of(error: MistudioError) -> int:
    """The HTTP status of an error."""
    return _STATUS.get(error.code, 400)


def responses(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """The error answers of an endpoint for its documentation; what every endpoint may answer is added."""
    documented: dict[int | str, dict[str, Any]] = {}
    for status in sorted({400, 403, *statuses}):
        code, message, next_step, details = _EXAMPLES[status]
        example = envelope(MistudioError(code, message, next_step, details=details, transient=status == 429))
        example["error"]["timestamp"] = "2026-01-31T12:34:56Z"
        documented[status] = {
            "model": ErrorEnvelope,
            "description": _MEANINGS[status],
            "content": {"application/json": {"example": example}},
        }
        if status == 429:
            header = {"description": "Seconds until it may be tried again.", "schema": {"type": "integer"}}
            documented[status]["headers"] = {"Retry-After": header}
    return documented


def envelope(error: MistudioError) -> dict[str, Any]:
    """An error as the body of an answer; secrets are hidden, whoever put them there."""
    return {
        "error": {
            "code": str(error.code),
            "message": scrub(error.message),
            "next_step": scrub(error.next_step),
            "details": plain(error.details),
            "retryable": error.transient,
            "timestamp": datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z"),
        }
    }


def error_response(
    error: MistudioError, *, status: int | None = None, headers: Mapping[str, str] | None = None
) -> Response:
    """The answer that tells of an error."""
    # Escaped to ASCII: what came in may hold characters that UTF-8 cannot say.
    content = json.dumps(envelope(error), ensure_ascii=True)
    return Response(
        content, status_code=status or status_of(error), headers=dict(headers or {}), media_type="application/json"
    )


def http_error(status: int, message: str) -> MistudioError:
    """What the framework itself refuses: an address that is not there, a method that it does not know."""
    codes = {404: ErrorCode.NOT_FOUND, 405: ErrorCode.METHOD_NOT_ALLOWED, 415: ErrorCode.UNSUPPORTED_MEDIA_TYPE}
    code = codes.get(status, ErrorCode.VALIDATION_ERROR if status < 500 else ErrorCode.INTERNAL)
    return MistudioError(code, f"{message.rstrip('.')}.", "GET /api/openapi.json says what can be asked.")


def validation_error(problems: list[Any]) -> MistudioError:
    """A request that does not fit its schema: the first field that does not, and all of them in the details.

    Args:
        problems: Of pydantic. Their input is shown only where it is short and plain, and never for secrets.
    """
    shown = [
        {"field": _field(one), "reason": str(one["msg"]), **_value(one)}
        for one in problems[:20]
        if isinstance(one, Mapping)
    ] or [{"field": "body", "reason": "it cannot be read"}]
    first = shown[0]
    details: dict[str, Any] = {**first, "problems": shown}
    return MistudioError(
        ErrorCode.VALIDATION_ERROR,
        f"{first['field']}: {first['reason']}.",
        "Correct it and ask again.",
        details=details,
    )


def _field(problem: Mapping[str, Any]) -> str:
    place = [str(part) for part in problem.get("loc", ())]
    return ".".join(place[1:] or place)[:_LONGEST_VALUE] or "body"


def _value(problem: Mapping[str, Any]) -> dict[str, Any]:
    value = problem.get("input")
    if "token" in _field(problem) or not isinstance(value, str | int | float | bool):
        return {}
    return {"value": scrub(value[:_LONGEST_VALUE]) if isinstance(value, str) else value}


def plain(value: Any) -> Any:
    """A value of an error's details as JSON can say it, without secrets."""
    if isinstance(value, Mapping):
        return {scrub(str(key)): plain(one) for key, one in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [plain(one) for one in value]
    if value is None or isinstance(value, bool | int):
        return value
    if isinstance(value, float):
        return value if value - value == 0 else str(value)  # neither infinite nor "not a number"
    return scrub(str(value))


def unexpected() -> MistudioError:
    """What is said of an error that nobody foresaw; its traceback is in the log, not in the answer."""
    return MistudioError(
        ErrorCode.INTERNAL, HTTPStatus.INTERNAL_SERVER_ERROR.phrase + ".", "The log of the panel says why."
    )
