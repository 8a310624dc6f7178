"""Following datasets in a terminal until they are ready, whoever started the runs."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import click

from mistudio_pipelines.commands.session import open_instance
from mistudio_pipelines.errors import ErrorCode, MistudioError

if TYPE_CHECKING:
    import dagster as dg

    from mistudio_pipelines.defs.status import DatasetOverview
    from mistudio_pipelines.defs.status_rule import DatasetStatus
    from mistudio_pipelines.store.layout import DataStore

_SECONDS_BETWEEN_LOOKS = 0.5
_COLORS = {"ready": "green", "error": "red", "downloading": "blue", "ingesting": "yellow", "tokenizing": "yellow"}


def follow(
    instance: dg.DagsterInstance,
    store: DataStore,
    dataset_ids: Sequence[str],
    *,
    tokenizations: Sequence[str] = (),
    check: Callable[[], None] = lambda: None,
) -> list[DatasetOverview]:
    """Show the progress of datasets until each is ready (with these tokenizations) or in error.

    Args:
        instance: Where their runs are.
        store: Where their files are.
        dataset_ids: Which.
        tokenizations: Presets that must be done too.
        check: Called at every look, for example to keep services up.

    Returns:
        How they ended.
    """
    from mistudio_pipelines.defs.status import list_datasets

    shown: dict[str, str] = {}
    with _Display() as display:
        while True:
            check()
            overviews = [one for one in list_datasets(instance, store) if one.record.id in dataset_ids]
            for one in overviews:
                line = status_line(one.status)
                display(one.record.name, one.status, line, line != shown.get(one.record.id))
                shown[one.record.id] = line
            if len(overviews) < len(dataset_ids) or all(_is_done(one, tokenizations) for one in overviews):
                return overviews
            time.sleep(_SECONDS_BETWEEN_LOOKS)


def follow_to_end(store: DataStore, dataset_ids: list[str], *, tokenizations: Sequence[str] = ()) -> None:
    """Follow datasets; one that ends in error ends the command with its sentence.

    Raises:
        MistudioError: `run_failed`.
    """
    with open_instance(store) as instance:
        ended = follow(instance, store, dataset_ids, tokenizations=tokenizations)
    for one in ended:
        if one.status.status == "error":
            raise MistudioError(
                ErrorCode.RUN_FAILED, f"{one.record.id}: {one.status.error}", one.status.next_step or ""
            )


def _is_done(overview: DatasetOverview, tokenizations: Sequence[str]) -> bool:
    if overview.status.status == "error":
        return True
    return overview.status.status == "ready" and set(tokenizations) <= set(overview.tokenizations)


def status_line(status: DatasetStatus) -> str:
    """A status as one line."""
    parts: list[str] = [status.status]
    if status.preset:
        parts.append(f"({status.preset})")
    if status.error:
        parts.append(status.error)
    elif status.detail:
        parts.append(status.detail)
    return " ".join(parts)


class _Display:
    """Bars in a terminal; in a pipe or file a line for each change of status and every tenth."""

    def __init__(self) -> None:
        from rich.console import Console
        from rich.progress import BarColumn, Progress, TextColumn

        self._live = Console().is_terminal
        self._bars = Progress(
            TextColumn("{task.description}"),
            BarColumn(bar_width=30),
            TextColumn("{task.fields[line]}"),
            disable=not self._live,
        )
        self._tasks: dict[str, int] = {}
        self._last: dict[str, tuple[str, int]] = {}

    def __enter__(self) -> Callable[[str, DatasetStatus, str, bool], None]:
        self._bars.start()
        return self._show

    def __exit__(self, *_: object) -> None:
        self._bars.stop()

    def _show(self, name: str, status: DatasetStatus, line: str, changed: bool) -> None:
        if not self._live:
            self._print_sparsely(name, status, line)
            return
        if name not in self._tasks:
            self._tasks[name] = self._bars.add_task(name, total=100, line="")
        done = 100.0 if status.status == "ready" else status.percent or 0.0
        self._bars.update(self._tasks[name], completed=done, line=line)  # type: ignore[arg-type]  # rich's TaskID

    def _print_sparsely(self, name: str, status: DatasetStatus, line: str) -> None:
        tenth = int((status.percent or 0) // 10)
        kind = f"{status.status}{status.preset or ''}{status.detail == 'queued'}"
        if self._last.get(name) != (kind, tenth):
            self._last[name] = (kind, tenth)
            click.secho(f"{name}: {line}", fg=_COLORS.get(status.status))
