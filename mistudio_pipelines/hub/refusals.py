"""The sentences for what the Hub refuses: from a fault to an error with its next step.

What belongs here: pure functions from values to `MistudioError`. What does not: the decision what a status means
(`hub/faults.py`), choices among configs, splits and columns (`hub/repository.py`).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import urlsplit

from mistudio_pipelines.errors import ErrorCode, MistudioError
from mistudio_pipelines.hub.faults import Fault, FaultKind, classify
from mistudio_pipelines.progress import format_seconds

_BAD_TOKEN = "Invalid credentials"  # noqa: S105  (what the Hub says, not a secret)
HOW_TO_LOG_IN = (
    "set HF_TOKEN, log in with `hf auth login`, or name a secret with token_name "
    "(an environment variable or a file in the secrets folder)"
)


@dataclass(frozen=True)
class Request:
    """What a request was for.

    Attributes:
        repository: Id of the dataset repository.
        revision: Branch, tag or commit, or None for the default branch.
        path: File of the repository, or None for the repository itself.
    """

    repository: str
    revision: str | None = None
    path: str | None = None

    @property
    def page(self) -> str:
        """The dataset's page on the Hub."""
        return f"https://huggingface.co/datasets/{self.repository}"

    @property
    def subject(self) -> str:
        """What a sentence says was asked for."""
        if self.path is None:
            return f"repository '{self.repository}'"
        return f"file '{self.path}' of repository '{self.repository}'"


def refusal(
    fault: Fault,
    request: Request,
    headers: Mapping[str, str],
    *,
    authenticated: bool,
    token_name: str | None,
) -> MistudioError:
    """The error for a fault that is not (or no longer) worth a retry.

    Args:
        fault: What happened.
        request: What was asked for.
        headers: Headers of the Hub's answer, empty where none came.
        authenticated: Whether a token was sent.
        token_name: Name of the secret it came from, or None.
    """
    if fault.kind is FaultKind.NEEDS_AUTHENTICATION:
        return _needs_authentication(request, headers, authenticated, token_name)
    if fault.kind is FaultKind.NEEDS_ACCESS:
        return _needs_access(request, headers, authenticated)
    if fault.kind is FaultKind.NOT_FOUND:
        return _not_found(request, headers, authenticated)
    if fault.kind is FaultKind.GONE:
        return MistudioError(
            ErrorCode.FILE_GONE,
            f"The Hub no longer serves {request.subject}.",
            f"See {request.page}; add the dataset again if there is a newer version of it.",
        )
    if fault.kind is FaultKind.WAIT_FOR_RATE_LIMIT:
        return _rate_limited(fault, authenticated)
    if fault.kind is FaultKind.DISK_FULL:
        return _disk_full(request)
    return MistudioError(
        ErrorCode.HUB_UNREACHABLE,
        f"The Hub could not be asked for {request.subject}: {fault.reason or 'no answer'}.",
        "Check the network connection and https://status.huggingface.co, then try again."
        if fault.transient
        else "Check HF_ENDPOINT, HF_HUB_OFFLINE and the proxy settings, then try again.",
        transient=fault.transient,
    )


def not_a_hub(endpoint: str) -> MistudioError:
    """The error for an answer that makes no sense."""
    return MistudioError(
        ErrorCode.HUB_UNREACHABLE,
        f"{urlsplit(endpoint).netloc} did not answer as a Hub does.",
        "Check HF_ENDPOINT and whether a proxy or a login page is in between, then try again.",
        transient=True,
    )


def disk_trouble(request: Request, error: OSError) -> MistudioError:
    """The error for a disk that is full, or that cannot be written for another reason."""
    if classify(exception=error).kind is FaultKind.DISK_FULL:
        return _disk_full(request)
    return MistudioError(
        ErrorCode.DATA_FOLDER_UNUSABLE,
        f"While downloading {request.subject} the data folder could not be written: {error.strerror or error}.",
        "Check the permissions and the disk of the data folder (MISTUDIO_DATA), then retry.",
    )


def _disk_full(request: Request) -> MistudioError:
    return MistudioError(
        ErrorCode.INSUFFICIENT_STORAGE,
        f"The disk became full while downloading {request.subject}.",
        "Delete datasets that are not needed (`mistudio list` shows their sizes), then retry: "
        "what is downloaded already is kept.",
    )


def _needs_authentication(
    request: Request, headers: Mapping[str, str], authenticated: bool, token_name: str | None
) -> MistudioError:
    if authenticated or headers.get("x-error-message", "").startswith(_BAD_TOKEN):
        which = f"The access token of the secret '{token_name}'" if token_name else "The access token"
        return MistudioError(
            ErrorCode.AUTHENTICATION_REQUIRED,
            f"{which} was not accepted for {request.subject}.",
            "It may be expired or mistyped, or not for this repository: make a new one at "
            f"https://huggingface.co/settings/tokens and {HOW_TO_LOG_IN}.",
        )
    return MistudioError(
        ErrorCode.AUTHENTICATION_REQUIRED,
        "Repository requires authentication. Please provide a valid HuggingFace access token.",
        f"Check that '{request.repository}' is the right name, then {HOW_TO_LOG_IN}.",
    )


def _needs_access(request: Request, headers: Mapping[str, str], authenticated: bool) -> MistudioError:
    if headers.get("x-error-code") == "GatedRepo":
        return MistudioError(
            ErrorCode.ACCESS_DENIED,
            "Access denied. Please request access to this gated dataset on HuggingFace.",
            f"Ask for it at {request.page}, and retry once it is granted."
            + ("" if authenticated else f" Then {HOW_TO_LOG_IN}."),
        )
    return MistudioError(
        ErrorCode.ACCESS_DENIED,
        f"The Hub does not allow this access to {request.subject}.",
        "Use a token with read permission for this repository (https://huggingface.co/settings/tokens)."
        if authenticated
        else f"If it needs a login: {HOW_TO_LOG_IN}.",
    )


def _not_found(request: Request, headers: Mapping[str, str], authenticated: bool) -> MistudioError:
    code = headers.get("x-error-code")
    if code == "RevisionNotFound" and request.revision is not None:
        return MistudioError(
            ErrorCode.REVISION_NOT_FOUND,
            f"Repository '{request.repository}' has no revision '{request.revision}'.",
            f"Use a branch, a tag or a full commit hash from {request.page}/commits, or none for the newest.",
        )
    if request.path is not None and code != "RepoNotFound":
        return MistudioError(
            ErrorCode.FILE_GONE,
            f"The Hub no longer has {request.subject} at revision {request.revision}.",
            "The repository's history was rewritten: update the dataset to its newest revision.",
        )
    return MistudioError(
        ErrorCode.REPOSITORY_NOT_FOUND,
        f"Repository '{request.repository}' not found. Please check the repository name and try again.",
        "" if authenticated else f"If it is private: {HOW_TO_LOG_IN}.",
    )


def _rate_limited(fault: Fault, authenticated: bool) -> MistudioError:
    wait = fault.retry_after_seconds
    message = "The Hub's limit on requests is reached" + (f" for {format_seconds(wait)}." if wait else ".")
    next_step = "Retry later: what is downloaded already is kept."
    if not authenticated:
        next_step += f" The limits are higher with a token: {HOW_TO_LOG_IN}."
    return MistudioError(ErrorCode.RATE_LIMITED, message, next_step, transient=True)
