"""What can be chosen about the REST API, in one place; the command and the tests fill it in."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from mistudio_pipelines.errors import ErrorCode, MistudioError

DOWNLOADS_PER_HOUR = 10
UPLOAD_LIMIT_BYTES = 10 * 10**9
_PREFIX = re.compile(r"(?:/[A-Za-z0-9._~-]+)*\Z")


@dataclass(frozen=True)
class ApiSettings:
    """Settings of one running API.

    Attributes:
        data_folder: The data folder.
        home: The Dagster home (prepared).
        dagster_url: Address of Dagster's webserver; None: the one that `mistudio up` noted in the home.
        allowed_hosts: Names under which the API may be asked, besides those of the loopback interface.
        path_prefix: Path below which a reverse proxy serves it, for example `/mistudio`; empty: none.
        trust_forwarded_prefix: Take the prefix from the header `X-Forwarded-Prefix`; only behind a proxy that sets it.
        read_only: Refuse whatever changes anything.
        downloads_per_hour: Downloads that may be started in an hour; 0: any number.
        upload_limit_bytes: Most bytes of an uploaded file.
        local_paths: Whether files and folders of this machine may be added by their path.
    """

    data_folder: Path
    home: Path
    dagster_url: str | None = None
    allowed_hosts: tuple[str, ...] = ()
    path_prefix: str = ""
    trust_forwarded_prefix: bool = False
    read_only: bool = False
    downloads_per_hour: int = DOWNLOADS_PER_HOUR
    upload_limit_bytes: int = UPLOAD_LIMIT_BYTES
    local_paths: bool = True

    def __post_init__(self) -> None:
        if not is_path_prefix(self.path_prefix):
            raise MistudioError(
                ErrorCode.INVALID_CONFIG,
                f"{self.path_prefix!r} is not a path prefix.",
                "It begins with a slash and does not end in one, for example /mistudio.",
            )


def is_path_prefix(value: str) -> bool:
    """True where this could be the path prefix of a reverse proxy: plain segments, nothing that could be markup."""
    return len(value) <= 200 and _PREFIX.match(value) is not None and "/." not in value
