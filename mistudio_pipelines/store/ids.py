"""Ids of datasets and names of presets: how they are made and what is accepted.

An id becomes a folder name and a Dagster partition key, so only `[A-Za-z0-9_-]` is allowed. A key is never used
twice: Dagster cannot forget a partition's events, so a re-added key would show as materialized without files.
"""

from __future__ import annotations

import re
import secrets
import unicodedata

from mistudio_pipelines.errors import ErrorCode, MistudioError

# What `datasets` accepts, and no longer than a file name can be with what is added to it.
_SPLIT = re.compile(r"\w+(\.\w+)*\Z")
_LONGEST_SPLIT_BYTES = 120
_SAFE = re.compile(r"[A-Za-z0-9_-]{1,120}\Z")
_ALPHABET = "abcdefghijkmnpqrstuvwxyz23456789"  # pragma: allowlist secret
_RANDOM_CHARACTERS = 6
_LONGEST_SLUG = 60


def slugify(name: str) -> str:
    """A readable `[a-z0-9_-]` form of any name; `dataset` where nothing readable is left."""
    plain = unicodedata.normalize("NFKD", name).encode("ascii", "ignore").decode().lower()
    slug = re.sub(r"[^a-z0-9]+", "_", plain).strip("_")[:_LONGEST_SLUG].strip("_")
    return slug or "dataset"


def new_dataset_id(name: str, *, local: bool) -> str:
    """A new id, `ds_<slug>_<6 characters>` or `ds_local_<slug>_<6 characters>`.

    Args:
        name: What people call the dataset, for example its repository's name.
        local: True for local files.
    """
    suffix = "".join(secrets.choice(_ALPHABET) for _ in range(_RANDOM_CHARACTERS))
    return f"ds_{'local_' if local else ''}{slugify(name)}_{suffix}"


def is_dataset_id(value: str) -> bool:
    """True where this could be the id of a dataset."""
    return isinstance(value, str) and value.startswith("ds_") and _SAFE.match(value) is not None


def check_dataset_id(dataset_id: str) -> str:
    """Return the id unchanged, or refuse it.

    Raises:
        MistudioError: `invalid_id`.
    """
    if not is_dataset_id(dataset_id):
        raise MistudioError(
            ErrorCode.INVALID_ID,
            f"{dataset_id!r} is not a dataset id.",
            "Ids look like ds_tinystories_a1b2c3; `mistudio list` shows them.",
        )
    return dataset_id


def check_preset_name(name: str) -> str:
    """Return the preset's name unchanged, or refuse it.

    Raises:
        MistudioError: `invalid_preset`.
    """
    if not isinstance(name, str) or not _SAFE.match(name):
        raise MistudioError(
            ErrorCode.INVALID_PRESET,
            f"{name!r} is not a name for a tokenization.",
            "Use letters, digits, '-' and '_' only, for example gpt2-1024.",
        )
    return name


def check_split_name(split: str) -> str:
    """Return the split's name unchanged, or refuse it: it becomes part of a file name.

    Letters of any script are allowed, but not characters that only look like others (full-width letters, ligatures):
    two splits must not look the same.

    Raises:
        MistudioError: `unknown_split_or_config`.
    """
    if (
        not isinstance(split, str)
        or not _SPLIT.match(split)
        or len(split.encode(errors="surrogatepass")) > _LONGEST_SPLIT_BYTES
        or unicodedata.normalize("NFKC", split) != split
    ):
        raise MistudioError(
            ErrorCode.UNKNOWN_SPLIT_OR_CONFIG,
            f"{split!r} is not a name for a split.",
            "Split names are letters, digits, '_' and single dots, for example train or test.clean.",
        )
    return split
