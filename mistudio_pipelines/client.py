"""A thin typed client of the GraphQL API, for the command and for other tools.

The queries are files in `mistudio_pipelines/graphql/`, so that tools in other languages can use the very same.
"""

from __future__ import annotations

import json
import urllib.error
import urllib.request
from collections.abc import Mapping
from dataclasses import dataclass, field
from importlib import resources
from typing import Any

from mistudio_pipelines.errors import ErrorCode, MistudioError

_SECONDS_TO_ANSWER = 60.0


@dataclass(frozen=True)
class RunState:
    """How a run stands.

    Attributes:
        run_id: Its id.
        status: Dagster's word for it: QUEUED, STARTED, SUCCESS, FAILURE, CANCELED …
        tags: Its tags, among them `mistudio/progress` and `mistudio/error`.
    """

    run_id: str
    status: str
    tags: Mapping[str, str] = field(default_factory=dict)

    @property
    def is_finished(self) -> bool:
        """True where nothing more will happen."""
        return self.status in ("SUCCESS", "FAILURE", "CANCELED")


class MistudioClient:
    """Talks to a webserver.

    Args:
        url: Its address, for example `http://127.0.0.1:3000`.
    """

    def __init__(self, url: str) -> None:
        self._url = url.rstrip("/")

    def launch(
        self, job: str, *, run_config: Mapping[str, Any] | None = None, tags: Mapping[str, str] | None = None
    ) -> str:
        """Launch a job.

        Args:
            job: Its name.
            run_config: As in the launchpad.
            tags: Tags of the run, among them the partition.

        Returns:
            The id of the run.

        Raises:
            MistudioError: `server_unreachable`, `invalid_config`.
        """
        pairs = [{"key": key, "value": value} for key, value in (tags or {}).items()]
        variables = {"job": job, "runConfig": dict(run_config or {}), "tags": pairs}
        answer = self.query("launch_run", variables)["launchRun"]
        if answer["__typename"] != "LaunchRunSuccess":
            raise _refused(answer)
        return str(answer["run"]["runId"])

    def cancel(self, run_id: str) -> None:
        """End a run; what it has done so far is kept.

        Raises:
            MistudioError: `server_unreachable`, `invalid_config` where it cannot be ended.
        """
        answer = self.query("cancel_run", {"runId": run_id})["terminateRun"]
        if answer["__typename"] != "TerminateRunSuccess":
            raise _refused(answer)

    def run_state(self, run_id: str) -> RunState:
        """How a run stands.

        Raises:
            MistudioError: `server_unreachable`, `invalid_config` where there is no such run.
        """
        answer = self.query("run_status", {"runId": run_id})["runOrError"]
        if answer["__typename"] != "Run":
            raise _refused(answer)
        return RunState(answer["runId"], answer["status"], {tag["key"]: tag["value"] for tag in answer["tags"]})

    def query(self, name: str, variables: Mapping[str, Any]) -> dict[str, Any]:
        """Send one of the queries of `mistudio_pipelines/graphql/`.

        Args:
            name: The file's name without its ending.
            variables: Its variables.

        Raises:
            MistudioError: `server_unreachable`, or `internal` where the query itself is refused.
        """
        text = (resources.files("mistudio_pipelines") / "graphql" / f"{name}.graphql").read_text()
        body = json.dumps({"query": text, "variables": dict(variables)}).encode()
        request = urllib.request.Request(  # noqa: S310  (the address is the caller's own server)
            f"{self._url}/graphql", body, {"Content-Type": "application/json"}
        )
        try:
            with urllib.request.urlopen(request, timeout=_SECONDS_TO_ANSWER) as response:  # noqa: S310  (as above)
                answer: dict[str, Any] = json.load(response)
        except urllib.error.HTTPError as error:
            answer = _error_body(error)
        except (urllib.error.URLError, OSError) as error:
            raise MistudioError(
                ErrorCode.SERVER_UNREACHABLE,
                f"No Dagster webserver answers at {self._url}.",
                "Start it with `mistudio up`.",
                transient=True,
            ) from error
        if answer.get("errors"):
            raise MistudioError(ErrorCode.INTERNAL, f"GraphQL refused {name}: {answer['errors'][0]['message']}.")
        data: dict[str, Any] = answer["data"]
        return data


def _error_body(error: urllib.error.HTTPError) -> dict[str, Any]:
    try:
        body: dict[str, Any] = json.load(error)
    except ValueError:
        return {"errors": [{"message": f"HTTP {error.code}"}]}
    return body


def _refused(answer: Mapping[str, Any]) -> MistudioError:
    errors = answer.get("errors") or [{"message": answer.get("message", answer["__typename"])}]
    message = str(errors[0]["message"]).splitlines()[0]
    return MistudioError(ErrorCode.INVALID_CONFIG, f"Dagster refused: {message}")
