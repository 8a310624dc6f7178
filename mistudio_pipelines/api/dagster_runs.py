"""Launching, ending and looking at runs: the only way in which the API changes anything about datasets.

What belongs here: talking to Dagster. What does not: which run does what (`defs/retrying.py`, the jobs' forms).
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mistudio_pipelines.errors import ErrorCode, MistudioError

if TYPE_CHECKING:
    import dagster as dg

    from mistudio_pipelines.client import MistudioClient
    from mistudio_pipelines.defs.retrying import LaunchRequest

SECONDS_TO_WAIT = 30.0
_SECONDS_BETWEEN_LOOKS = 0.2


class DagsterRuns:
    """The runs of one installation.

    Args:
        instance: Where they are.
        home: The Dagster home, whose note says where the webserver is.
        url: Address of the webserver, or None to ask the note.
    """

    def __init__(self, instance: dg.DagsterInstance, home: Path, url: str | None) -> None:
        self._instance = instance
        self._home = home
        self._url = url

    def webserver(self) -> str | None:
        """Address of Dagster's webserver, or None where none is known to run."""
        if self._url is not None:
            return self._url
        from mistudio_pipelines.serving import find_server

        server = find_server(self._home)
        return None if server is None else server.url

    def require_webserver(self) -> None:
        """Refuse what is about to need Dagster where it does not run.

        Raises:
            MistudioError: `server_unreachable`.
        """
        self._client()

    def launch(self, request: LaunchRequest, run_config: Mapping[str, Any] | None = None) -> str:
        """Launch a run and return its id.

        Raises:
            MistudioError: `server_unreachable`, `invalid_config`.
        """
        return self._client().launch(request.job, run_config=run_config, tags=request.tags)

    def launch_op(self, job: str, op: str, config: Mapping[str, Any]) -> str:
        """Launch a job that has one op with a form, and return the run's id."""
        from mistudio_pipelines.defs.retrying import LaunchRequest

        return self.launch(LaunchRequest(job, {}), {"ops": {op: {"config": dict(config)}}})

    def cancel(self, run_id: str) -> None:
        """End a run.

        Raises:
            MistudioError: `server_unreachable`, or `busy` where it cannot be ended.
        """
        try:
            self._client().cancel(run_id)
        except MistudioError as error:
            if error.code != ErrorCode.INVALID_CONFIG:
                raise
            raise MistudioError(ErrorCode.BUSY, error.message, "Look again: it may have ended by itself.") from error

    def find(self, run_id: str) -> dg.DagsterRun | None:
        """A run, or None where there is none of that id."""
        return self._instance.get_run_by_id(run_id)

    def wait(self, run_id: str, seconds: float = SECONDS_TO_WAIT) -> bool:
        """Wait for the end of a run.

        Args:
            run_id: The run.
            seconds: How long.

        Returns:
            False where it goes on.

        Raises:
            MistudioError: What the run says of itself where it failed.
        """
        deadline = time.monotonic() + seconds
        while True:
            run = self.find(run_id)
            if run is not None and run.is_finished:
                if not run.is_success:
                    raise run_error(run)
                return True
            if time.monotonic() > deadline:
                return False
            time.sleep(_SECONDS_BETWEEN_LOOKS)

    def output_number(self, run_id: str, key: str) -> int:
        """A number in the metadata of what a run gave; 0 where it is not there."""
        import dagster as dg

        for record in self._instance.get_records_for_run(run_id, of_type=dg.DagsterEventType.STEP_OUTPUT).records:
            event = record.event_log_entry.dagster_event
            value = None if event is None else event.step_output_data.metadata.get(key)
            if value is not None and isinstance(value.value, int):
                return value.value
        return 0

    def _client(self) -> MistudioClient:
        from mistudio_pipelines.client import MistudioClient

        url = self.webserver()
        if url is None:
            raise MistudioError(
                ErrorCode.SERVER_UNREACHABLE,
                "Dagster is not running for this data folder.",
                "Start it with `mistudio up`, then try again.",
                transient=True,
            )
        return MistudioClient(url)


def run_error(run: dg.DagsterRun) -> MistudioError:
    """What a run that did not succeed says of itself."""
    from mistudio_pipelines.defs import names
    from mistudio_pipelines.defs.history import reported_tags

    tags = reported_tags(run)
    code = tags.get(names.ERROR_CODE_TAG)
    message = tags.get(names.ERROR_TAG) or f"Run {run.run_id[:8]} of job {run.job_name} ended as {run.status.value}."
    known = code if code in set(ErrorCode) else ErrorCode.RUN_FAILED
    return MistudioError(ErrorCode(known), message, details={"job_id": run.run_id})
