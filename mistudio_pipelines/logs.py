"""Structured logs: one JSON object a line, to the console or to a file, as `MISTUDIO_LOG` says.

What belongs here: how a line looks and where it goes. Every line has `time`, `level` and `event`; lines about datasets
have `dataset_id` and `operation`, ends of operations also `seconds`, `bytes` and, where they failed, `error_code`.
`JsonHandler` serves Dagster's own messages too (`python_logs` in dagster.yaml). docs/logs.md is for readers.
"""

from __future__ import annotations

import json
import logging
import os
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

LOG_VARIABLE = "MISTUDIO_LOG"
CONSOLE = "console"
_LOGGER = "mistudio_pipelines"
_FACTS = "mistudio_facts"
_LEVELS = {"info": logging.INFO, "warning": logging.WARNING, "error": logging.ERROR}
_LONGEST_MESSAGE = 4000
# What Dagster knows of a message and a reader of logs wants to select by.
_DAGSTER_FIELDS = ("run_id", "job_name", "step_key")


def log_event(event: str, *, level: str = "info", **facts: Any) -> None:
    """Write one line.

    Args:
        event: What happened, for example `operation_ended`.
        level: `info`, `warning` or `error`.
        **facts: Plain values, never a secret; None is left out.
    """
    logger = logging.getLogger(_LOGGER)
    if not any(isinstance(handler, JsonHandler) for handler in logger.handlers):
        logger.addHandler(JsonHandler())
        logger.setLevel(logging.INFO)
        logger.propagate = False
    logger.log(_LEVELS[level], event, extra={_FACTS: facts})


def line_of(record: logging.LogRecord) -> str:
    """A log record as one line of JSON.

    Texts from outside may hold line breaks and terminal control characters; JSON escapes them.
    """
    facts = getattr(record, _FACTS, None)
    moment = datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds")
    line: dict[str, Any] = {"time": moment, "level": record.levelname.lower()}
    if facts is None:
        dagster = getattr(record, "dagster_meta", None) or {}
        line |= {"event": "message", "message": record.getMessage()[:_LONGEST_MESSAGE], "logger": record.name}
        facts = {field: dagster.get(field) for field in _DAGSTER_FIELDS}
    else:
        line["event"] = record.getMessage()
    line |= {key: value for key, value in facts.items() if value is not None}
    return json.dumps(line, ensure_ascii=True, default=str)


class JsonHandler(logging.Handler):
    """Writes JSON lines where `MISTUDIO_LOG` says: `console` (standard error, the default) or the path of a file.

    A line is one write in append mode, so lines of several processes do not mix. Where the file cannot be written,
    lines go to the console: work goes on without its log.
    """

    def emit(self, record: logging.LogRecord) -> None:
        """Write one record."""
        try:
            line = line_of(record) + "\n"
            target = os.environ.get(LOG_VARIABLE) or CONSOLE
            if target == CONSOLE or not _append(Path(target).expanduser(), line):
                sys.stderr.write(line)
        except Exception:  # noqa: BLE001  (a log line must never end the work that it tells of)
            self.handleError(record)


def _append(path: Path, line: str) -> bool:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o640)
    except OSError:
        return False
    try:
        os.write(descriptor, line.encode())
    except OSError:
        return False
    finally:
        os.close(descriptor)
    return True
