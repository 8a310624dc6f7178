"""Progress on a real run: seldom enough for the database, exact at the end."""

from __future__ import annotations

import json
import logging

import dagster as dg

from mistudio_pipelines.defs.names import PROGRESS_DATA_TAG, PROGRESS_TAG
from mistudio_pipelines.defs.progress import RunProgress
from mistudio_pipelines.progress import Progress


class _Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def _new_run(instance: dg.DagsterInstance) -> str:
    @dg.op
    def nothing() -> None: ...

    @dg.job
    def something() -> None:
        nothing()

    return instance.create_run_for_job(something).run_id


def test_tags_are_written_once_a_second_and_exactly_at_the_end() -> None:
    with dg.DagsterInstance.ephemeral() as instance:
        run_id, clock, seen = _new_run(instance), _Clock(), []
        progress = RunProgress(instance, run_id, logging.getLogger("test"), clock)

        def tags() -> dict[str, str]:
            run = instance.get_run_by_id(run_id)
            assert run is not None
            return dict(run.tags)

        for step in range(101):
            clock.now = step * 0.1
            progress(Progress(step * 10, 1000, "bytes", "downloading"))
            if tags().get(PROGRESS_DATA_TAG) not in seen[-1:]:
                seen.append(tags()[PROGRESS_DATA_TAG])
        assert len(seen) == 11
        last = json.loads(seen[-1])
        assert (last["done"], last["total"], last["percent"], last["seconds_left"]) == (1000, 1000, 100.0, 0.0)
        assert tags()[PROGRESS_TAG].startswith("downloading 100% 1 kB of 1 kB")


def test_log_lines_are_written_every_tenth_and_when_the_stage_changes() -> None:
    lines: list[str] = []

    class _Log(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            lines.append(record.getMessage())

    log = logging.Logger("test")
    log.addHandler(_Log())
    with dg.DagsterInstance.ephemeral() as instance:
        progress = RunProgress(instance, _new_run(instance), log, _Clock())
        for step in range(101):
            progress(Progress(step, 100, "rows", "reading"))
        progress(Progress(1, None, "rows", "merging"))
    assert len(lines) == 12
