"""Reading what browsers send with forms: plain fields, bounded, never files.

What belongs here: from the body to values, and what a form is filled with. What does not: what is done with them
(`routes/`).
"""

from __future__ import annotations

from typing import Annotated, Any
from urllib.parse import parse_qs

from fastapi import Depends, Request

from mistudio_pipelines.errors import ErrorCode, MistudioError

LARGEST_FORM_BYTES = 200_000
_MOST_FIELDS = 5000
_FORM_TYPE = "application/x-www-form-urlencoded"


class Fields:
    """The fields of a form, white space around them taken away.

    Args:
        values: Each field with all its values.
    """

    def __init__(self, values: dict[str, list[str]]) -> None:
        self._values = values

    def text(self, name: str) -> str:
        """A field, or nothing."""
        return self.texts(name)[0] if self.texts(name) else ""

    def optional(self, name: str) -> str | None:
        """A field, or None where nothing was filled in."""
        return self.text(name) or None

    def texts(self, name: str) -> list[str]:
        """All values of a field that are not empty."""
        return [value.strip() for value in self._values.get(name, []) if value.strip()]

    def is_checked(self, name: str) -> bool:
        """True where a box was ticked."""
        return bool(self.text(name))


def parse_fields(body: bytes) -> Fields:
    """The fields of a form's body.

    Raises:
        MistudioError: `validation_error`.
    """
    try:
        values = parse_qs(body.decode("ascii"), encoding="utf-8", errors="strict", max_num_fields=_MOST_FIELDS)
    except ValueError as error:
        raise MistudioError(
            ErrorCode.VALIDATION_ERROR, "The form cannot be read.", "Reload the page and fill it in again."
        ) from error
    return Fields(values)


async def read_fields(request: Request) -> Fields:
    """The fields that came with a request.

    Raises:
        MistudioError: `unsupported_media_type`, `body_too_large`, `validation_error`.
    """
    given = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if given not in ("", _FORM_TYPE):
        raise MistudioError(
            ErrorCode.UNSUPPORTED_MEDIA_TYPE, f"A form is sent as {_FORM_TYPE}.", "Use the panel's own pages."
        )
    body = b""
    async for chunk in request.stream():
        body += chunk
        if len(body) > LARGEST_FORM_BYTES:
            raise MistudioError(
                ErrorCode.BODY_TOO_LARGE, f"A form has at most {LARGEST_FORM_BYTES:,} bytes.", "Fill in less."
            )
    return parse_fields(body)


Form = Annotated[Fields, Depends(read_fields)]


def adding_values(fields: Fields) -> dict[str, Any]:
    """What is filled in where the form that adds datasets is shown again; never a token."""
    texts = ("repo_id", "config", "revision", "text_column", "name", "token_name", "path", "kind")
    return {
        **{name: fields.text(name) for name in texts},
        "splits": fields.texts("splits"),
        "allow_large": fields.is_checked("allow_large"),
    }
