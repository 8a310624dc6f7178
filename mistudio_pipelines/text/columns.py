"""Which column is the text: one pure decision, the same for the Hub, for local files and for converted ones.

What belongs here: the choice from column names and types. What does not: finding the columns of a file
(`hub/peek.py` before a download, the readers of `text/` afterwards).
"""

from __future__ import annotations

import re
from collections.abc import Mapping

from mistudio_pipelines.errors import ErrorCode, MistudioError

WELL_KNOWN_TEXT_COLUMNS = ("text", "content", "document")
_TEXT_TYPE = re.compile(r"(?:large_)?string(?:_view)?|dictionary<values=(?:large_)?string(?:_view)?,.*>")
_LISTED_COLUMNS = 40


def is_text_type(type_name: str) -> bool:
    """Whether a column of this Arrow type holds text.

    Args:
        type_name: The type as Arrow writes it, `str(pyarrow.DataType)`, for example `string` or `list<item: int64>`.
    """
    return _TEXT_TYPE.fullmatch(type_name) is not None


def list_names(names: list[str]) -> str:
    """Names for a sentence, quoted, with an end where there are very many."""
    shown = ", ".join(repr(name) for name in names[:_LISTED_COLUMNS])
    more = len(names) - _LISTED_COLUMNS
    return f"{shown} and {more} more" if more > 0 else shown


def choose_text_column(columns: Mapping[str, str], requested: str | None = None) -> str:
    """The column that holds the text.

    The one asked for; else the first of `text`, `content`, `document` that holds text; else the only column that
    holds text. Where several could be meant nobody guesses: the error lists them.

    Args:
        columns: Arrow type of each column, by name, in the order of the file.
        requested: The column asked for, or None.

    Raises:
        MistudioError: `no_text_column`; its `details` carry `columns` and `candidates`.
    """
    candidates = [name for name, type_name in columns.items() if is_text_type(type_name)]
    if requested is not None:
        if requested in candidates or columns.get(requested) == "null":  # nothing but nulls in what was looked at
            return requested
        raise _wrong_request(columns, candidates, requested)
    for name in WELL_KNOWN_TEXT_COLUMNS:
        if name in candidates:
            return name
    if len(candidates) == 1:
        return candidates[0]
    if candidates:
        raise _error(
            columns,
            candidates,
            f"Several columns hold text: {list_names(candidates)}.",
            f"Choose one, for example text_column={candidates[0]!r}.",
        )
    raise _error(
        columns,
        candidates,
        f"No column holds text; the columns are {_with_types(columns)}."
        if columns
        else "No column holds text; there are no columns.",
        "Choose a dataset, config or file with a column of strings.",
    )


def _wrong_request(columns: Mapping[str, str], candidates: list[str], requested: str) -> MistudioError:
    next_step = (
        f"Choose one of the columns that hold text: {list_names(candidates)}."
        if candidates
        else "Choose a dataset, config or file with a column of strings."
    )
    if requested in columns:
        return _error(columns, candidates, f"Column {requested!r} holds {columns[requested]}, not text.", next_step)
    return _error(
        columns,
        candidates,
        f"There is no column {requested!r}; the columns are {list_names(list(columns))}.",
        next_step,
    )


def _with_types(columns: Mapping[str, str]) -> str:
    shown = ", ".join(f"{name!r} ({type_name[:60]})" for name, type_name in list(columns.items())[:_LISTED_COLUMNS])
    more = len(columns) - _LISTED_COLUMNS
    return f"{shown} and {more} more" if more > 0 else shown


def _error(columns: Mapping[str, str], candidates: list[str], message: str, next_step: str) -> MistudioError:
    details = {"columns": dict(columns), "candidates": candidates}
    return MistudioError(ErrorCode.NO_TEXT_COLUMN, message, next_step, details=details)
