"""Every error that a person may see: one code, one sentence, one next step.

What belongs here: the list of codes and the exception that carries them. What does not: the decision when an
error is raised (that is beside the code that finds it) and how Dagster shows it (`defs/`).
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from typing import Any


class ErrorCode(StrEnum):
    """Stable names of what can go wrong; other tools may depend on them."""

    # What was asked for
    INVALID_ID = "invalid_id"
    INVALID_CONFIG = "invalid_config"
    UNKNOWN_DATASET = "unknown_dataset"
    DATASET_EXISTS = "dataset_exists"
    PARTITION_NOT_REGISTERED = "partition_not_registered"
    # The Hub
    REPOSITORY_NOT_FOUND = "repository_not_found"
    REVISION_NOT_FOUND = "revision_not_found"
    AUTHENTICATION_REQUIRED = "authentication_required"
    ACCESS_DENIED = "access_denied"
    SECRET_NOT_FOUND = "secret_not_found"  # noqa: S105  (a code, not a secret)
    UNKNOWN_SPLIT_OR_CONFIG = "unknown_split_or_config"
    NO_TEXT_COLUMN = "no_text_column"
    UNSUPPORTED_FORMAT = "unsupported_format"
    HUB_UNREACHABLE = "hub_unreachable"
    RATE_LIMITED = "rate_limited"
    FILE_GONE = "file_gone"
    CORRUPT_DOWNLOAD = "corrupt_download"
    # Local files
    PATH_NOT_FOUND = "path_not_found"
    UNREADABLE_FILE = "unreadable_file"
    # The disk
    INSUFFICIENT_STORAGE = "insufficient_storage"
    DATASET_TOO_LARGE = "dataset_too_large"
    DATA_CORRUPT = "data_corrupt"
    DATA_MISSING = "data_missing"
    DATA_FOLDER_UNUSABLE = "data_folder_unusable"
    BUSY = "busy"
    # Browsing
    INVALID_QUERY = "invalid_query"
    INDEX_MISSING = "index_missing"
    # Tokenization
    UNKNOWN_PRESET = "unknown_preset"
    PRESET_EXISTS = "preset_exists"
    INVALID_PRESET = "invalid_preset"
    TOKENIZER_NOT_FOUND = "tokenizer_not_found"
    TOKENIZATION_FAILED = "tokenization_failed"
    # Deleting
    IN_USE = "in_use"
    NOT_CONFIRMED = "not_confirmed"
    # The REST API
    VALIDATION_ERROR = "validation_error"
    NOT_FOUND = "not_found"
    METHOD_NOT_ALLOWED = "method_not_allowed"
    UNSUPPORTED_MEDIA_TYPE = "unsupported_media_type"
    BODY_TOO_LARGE = "body_too_large"
    READ_ONLY = "read_only"
    CROSS_SITE = "cross_site"
    HOST_NOT_ALLOWED = "host_not_allowed"
    TOO_MANY_REQUESTS = "too_many_requests"
    # Running
    CANCELLED = "cancelled"
    NO_DAGSTER_HOME = "no_dagster_home"
    PORT_IN_USE = "port_in_use"
    SERVER_UNREACHABLE = "server_unreachable"
    CLUSTER_UNREACHABLE = "cluster_unreachable"
    WORKER_LOST = "worker_lost"
    RUN_FAILED = "run_failed"
    INTERNAL = "internal"


class MistudioError(Exception):
    """An error with a stable code, one sentence, and what to do next.

    Args:
        code: Stable name of the kind of error.
        message: One sentence that says what is wrong and where.
        next_step: One sentence that says what to do about it; may be empty.
        transient: True where the same call may succeed later without any change (a dropped connection, a
            busy Hub). Only transient errors are retried.
        details: Plain values for tools, for example the valid choices.
    """

    def __init__(
        self,
        code: ErrorCode,
        message: str,
        next_step: str = "",
        *,
        transient: bool = False,
        details: Mapping[str, Any] | None = None,
    ) -> None:
        self.code = code
        self.message = message
        self.next_step = next_step
        self.transient = transient
        self.details: dict[str, Any] = dict(details or {})
        super().__init__(message, next_step)

    def __str__(self) -> str:
        return f"{self.message} {self.next_step}".strip()

    def __reduce__(self) -> tuple[Any, ...]:
        # The arguments of a subclass are not those of the message, so that the usual way would fail in the process
        # that receives the error of a worker.
        return _restore_error, (type(self), self.args, self.__dict__)

    def as_dict(self) -> dict[str, Any]:
        """The error as plain values, for JSON output and metadata."""
        return {
            "code": str(self.code),
            "message": self.message,
            "next_step": self.next_step,
            "transient": self.transient,
            "details": self.details,
        }


def _restore_error(kind: type[MistudioError], arguments: tuple[Any, ...], state: dict[str, Any]) -> MistudioError:
    error = kind.__new__(kind, *arguments)
    error.__dict__.update(state)
    return error


class Stopped(MistudioError):
    """Work ended early because the caller's `should_stop` said so; what was done so far is kept."""

    def __init__(self, what: str) -> None:
        super().__init__(ErrorCode.CANCELLED, f"{what} was stopped.", "Start it again to continue.")
