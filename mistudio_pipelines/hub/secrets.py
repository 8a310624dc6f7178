"""Finds a token by the name it was given, and keeps tokens out of everything we write.

A dataset names *which* secret to use; only this module ever holds the secret's value, on its way to a request
header. What does not belong here: asking for a token, storing one.
"""

from __future__ import annotations

import os
import re

from mistudio_pipelines.errors import ErrorCode, MistudioError
from mistudio_pipelines.store.layout import DataStore

_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_-]{0,99}")
_TOKEN = re.compile(r"[!-~]{1,4096}")
_LARGEST_SECRET_FILE = 8192
_HIDDEN = "[hidden]"
_LOOKS_SECRET = (
    re.compile(r"\bhf_[A-Za-z0-9_]{8,}"),
    re.compile(r"(?i)(?<=bearer )\s*[!-~]+"),
    # Signed addresses of the storage behind the Hub open the file to whoever reads them.
    re.compile(r"(?<=\?)[^\s'\"<>]*(?:signature|x-amz-|key-pair-id|policy|token)[^\s'\"<>]*", re.IGNORECASE),
)


def find_token(store: DataStore, token_name: str | None) -> str | None:
    """The token to send to the Hub.

    A named one is the environment variable of that name, else the file of that name in the secrets folder. Without
    a name: `HF_TOKEN`, else what `hf auth login` stored, else None.

    Args:
        store: The data folder.
        token_name: Name of the secret, or None.

    Raises:
        MistudioError: `secret_not_found`; the message names places, never values.
    """
    if token_name is None:
        from huggingface_hub import get_token

        return get_token()
    if not _NAME.fullmatch(token_name):
        raise MistudioError(
            ErrorCode.SECRET_NOT_FOUND,
            "A secret's name has letters, digits, '-' and '_' only.",
            "Name an environment variable or a file in the secrets folder; never put a token itself there.",
        )
    value = os.environ.get(token_name, "").strip() or _read_secret_file(store, token_name)
    if value is None:
        raise MistudioError(
            ErrorCode.SECRET_NOT_FOUND,
            f"There is no secret named {scrub(token_name)!r}.",
            f"Set the environment variable {scrub(token_name)}, or write the token into the file "
            f"{scrub(token_name)} in the secrets folder of the data folder.",
        )
    if not _TOKEN.fullmatch(value):
        raise MistudioError(
            ErrorCode.SECRET_NOT_FOUND,
            f"The secret {scrub(token_name)!r} is not a token: it must be one line of plain characters.",
            "Store the access token from https://huggingface.co/settings/tokens, and nothing else.",
        )
    return value


def _read_secret_file(store: DataStore, token_name: str) -> str | None:
    try:
        with (store.secrets_root / token_name).open("rb") as file:
            content = file.read(_LARGEST_SECRET_FILE)
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as error:
        raise MistudioError(
            ErrorCode.SECRET_NOT_FOUND,
            f"The secret {scrub(token_name)!r} cannot be read: {error.strerror}.",
            "Make the file in the secrets folder readable for the user that runs this.",
        ) from error
    return content.decode("utf-8", "replace").strip() or None


def scrub(text: str, *tokens: str | None) -> str:
    """The text without secrets: the given ones, and whatever looks like a token or a signed address.

    Args:
        text: Anything on its way to an error, a log or a file.
        tokens: Secrets that must not appear; None and empty ones are ignored.
    """
    for token in sorted({token for token in tokens if token}, key=len, reverse=True):
        text = text.replace(token, _HIDDEN)
    for pattern in _LOOKS_SECRET:
        text = pattern.sub(_HIDDEN, text)
    return text
