"""A thin typed client of the GraphQL API, for the command and for other tools.

The queries are files in `mistudio_pipelines/graphql/`, so that tools in other languages can use the very same; what
their answers mean is `client_answers.py`.
"""

from __future__ import annotations

import json
import time
import urllib.error
import urllib.request
from collections.abc import Mapping, Sequence
from importlib import resources
from typing import Any

from mistudio_pipelines.client_answers import (
    DatasetState,
    RunState,
    dataset_states,
    metadata_values,
    require,
    run_list,
    run_state,
)
from mistudio_pipelines.errors import ErrorCode, MistudioError

__all__ = ["DatasetState", "MistudioClient", "RunState"]

_SECONDS_TO_ANSWER = 60.0
_SECONDS_BETWEEN_LOOKS = 0.25
_SECONDS_TO_START = 60.0
_NOT_STARTED = frozenset({"NOT_STARTED", "QUEUED", "STARTING"})


class MistudioClient:
    """Talks to a webserver.

    Methods that start something long (`retry`, `update`, `tokenize`) return the id of the run; `wait` waits for it.
    Those that answer a question or change something at once wait by themselves.

    Args:
        url: Its address, for example `http://127.0.0.1:3000`.
    """

    def __init__(self, url: str) -> None:
        self._url = url.rstrip("/")

    def plan(self, repository: str = "", **form: Any) -> dict[str, Any]:
        """What adding a dataset would take; adds nothing.

        Args:
            repository: Id on the Hub; leave it out for local files and give `paths`.
            **form: Further fields of the form of the job `add_dataset`.

        Raises:
            MistudioError: With the code of what is wrong with the request.
        """
        return self._do("add_dataset", "validate_and_register", {"repository": repository, **form, "dry_run": True})

    def add(self, repository: str = "", **form: Any) -> str:
        """Add a dataset; its download, statistics and index then start by themselves.

        Args:
            repository: Id on the Hub; leave it out for local files and give `paths`.
            **form: Further fields of the form of the job `add_dataset`: `paths`, `config`, `splits`, `revision`,
                `text_column`, `name`, `token_name`, `tokenizations` …

        Returns:
            The id of the dataset.

        Raises:
            MistudioError: With the code of what is wrong with the request.
        """
        values = self._do("add_dataset", "validate_and_register", {"repository": repository, **form})
        return str(values["dataset_id"])

    def datasets(self) -> list[DatasetState]:
        """Every dataset with its status, in the order in which they were added."""
        return dataset_states(self.query("list_datasets"))

    def dataset(self, dataset_id: str) -> DatasetState:
        """One dataset with its status.

        Raises:
            MistudioError: `unknown_dataset`.
        """
        for state in self.datasets():
            if state.dataset_id == dataset_id:
                return state
        raise MistudioError(ErrorCode.UNKNOWN_DATASET, f"There is no dataset {dataset_id}.")

    def records(self, dataset_ids: Sequence[str]) -> dict[str, dict[str, Any]]:
        """What the newest download of some datasets says: name, source, revision, size, splits, files and more.

        Returns:
            Values by name, by dataset; datasets that are not there yet are left out.
        """
        return self._materializations("show_datasets", {"datasetIds": list(dataset_ids)})

    def statistics(self, dataset_id: str) -> dict[str, Any]:
        """The statistics of a dataset: numbers, tables and pictures by name.

        Raises:
            MistudioError: `data_missing` where there are none yet.
        """
        found = self._materializations("show_statistics", {"datasetId": dataset_id})
        if dataset_id not in found:
            raise MistudioError(ErrorCode.DATA_MISSING, f"Dataset {dataset_id} has no statistics yet.")
        return found[dataset_id]

    def samples(self, dataset_id: str, search: str = "", **form: Any) -> dict[str, Any]:
        """A page of samples; takes a second or two, because it is a run.

        Args:
            dataset_id: The dataset.
            search: Words, "exact phrases", prefix*, AND, OR, NOT.
            **form: Further fields of the form of the job `browse_samples`: `splits`, `min_tokens`, `page` …

        Returns:
            `total`, `page`, `pages`, `samples` …

        Raises:
            MistudioError: `invalid_query`, `unknown_dataset`, `index_missing` …
        """
        values = self._do("browse_samples", "browse", {"dataset_id": dataset_id, "search": search, **form})
        page: dict[str, Any] = values["result"]
        return page

    def save_tokenization(self, name: str, tokenizer: str, **form: Any) -> dict[str, Any]:
        """Save a tokenization preset and return it as it was saved.

        Raises:
            MistudioError: `invalid_preset`, `preset_exists`, `tokenizer_not_found` …
        """
        form = {"name": name, "tokenizer": tokenizer, **form}
        preset: dict[str, Any] = self._do("save_tokenization", "validate_and_save", form)["preset"]
        return preset

    def tokenizations(self) -> list[str]:
        """The names of the saved presets."""
        answer = require(self.query("list_tokenizations")["assetNodeOrError"], "AssetNode")
        by_dimension = {one["name"]: one["partitionKeys"] for one in answer["partitionKeysByDimension"]}
        return sorted(by_dimension["tokenization"])

    def tokenize(self, dataset_id: str, preset: str) -> str:
        """Tokenize a dataset with a saved preset; returns the id of the run."""
        pair = f"{dataset_id}|{preset}"
        return self._launched("tokenize_dataset", {"datasetId": dataset_id, "preset": preset, "pair": pair})

    def update(self, dataset_id: str) -> str:
        """Fetch the newest revision of a Hub dataset; returns the id of the run."""
        return self._launched("update_dataset", {"datasetId": dataset_id})

    def retry(self, dataset_id: str) -> str:
        """Continue what failed or was cancelled for a dataset; returns the id of the run.

        Raises:
            MistudioError: `busy` where nothing failed, `unknown_dataset`.
        """
        state = self.dataset(dataset_id)
        if state.status != "error":
            raise MistudioError(ErrorCode.BUSY, f"Dataset {dataset_id} is not in error: it is {state.status}.")
        if state.stage == "tokenize" and state.preset is not None:
            return self.tokenize(dataset_id, state.preset)
        return self._launched(f"{state.stage}_dataset", {"datasetId": dataset_id})

    def cancel_dataset(self, dataset_id: str) -> list[str]:
        """End what is being done to a dataset; what is there is kept and `retry` continues it.

        Returns:
            The ids of the runs that were ended.
        """
        answer = self.query("runs_of_dataset", {"datasetId": dataset_id})
        runs = {run.run_id: run for part in answer.values() for run in run_list(part)}
        active = [run.run_id for run in runs.values() if not run.is_finished]
        for run_id in active:
            self.cancel(run_id)
        return active

    def delete(self, dataset_ids: Sequence[str], *, dry_run: bool = False, **form: Any) -> dict[str, Any]:
        """Delete datasets with everything.

        Args:
            dataset_ids: Which.
            dry_run: Only say what would be deleted.
            **form: Further fields of the form of the job `delete_datasets`: `tokenization`, `cancel_runs`.

        Returns:
            `bytes`, `datasets` (what goes of each, and who uses it) and, where they were deleted, `bytes_freed`.

        Raises:
            MistudioError: `in_use`, `unknown_dataset`, `busy`.
        """
        ids = list(dataset_ids)
        return self._do("delete_datasets", "delete", {"dataset_ids": ids, "confirm": [] if dry_run else ids, **form})

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
        return self._launched("launch_run", {"job": job, "runConfig": dict(run_config or {}), "tags": pairs})

    def retry_run(self, run_id: str) -> str:
        """Do a run that ended badly again; returns the id of the new one."""
        answer = self.query("retry_run", {"runId": run_id})["launchRunReexecution"]
        return str(require(answer, "LaunchRunSuccess")["run"]["runId"])

    def cancel(self, run_id: str) -> None:
        """End a run; what it has done so far is kept. One that is just starting is waited for: Dagster refuses it.

        Raises:
            MistudioError: `server_unreachable`, `invalid_config` where it cannot be ended.
        """
        deadline = time.monotonic() + _SECONDS_TO_START
        status = self.run_state(run_id).status
        while True:
            answer = self.query("cancel_run", {"runId": run_id})["terminateRun"]
            if answer["__typename"] == "TerminateRunSuccess":
                return
            # It may have begun to start after the first look, and have started before the second.
            before, status = status, self.run_state(run_id).status
            if not {before, status} & _NOT_STARTED or time.monotonic() > deadline:
                require(answer, "TerminateRunSuccess")
            time.sleep(_SECONDS_BETWEEN_LOOKS)

    def run_state(self, run_id: str) -> RunState:
        """How a run stands.

        Raises:
            MistudioError: `server_unreachable`, `invalid_config` where there is no such run.
        """
        return run_state(require(self.query("run_status", {"runId": run_id})["runOrError"], "Run"))

    def wait(self, run_id: str, seconds: float = 600.0) -> RunState:
        """Wait for the end of a run that succeeds.

        Raises:
            MistudioError: With the run's own code where it failed; `busy` where it takes longer than `seconds`.
        """
        deadline = time.monotonic() + seconds
        while not (state := self.run_state(run_id)).is_finished:
            if time.monotonic() > deadline:
                raise MistudioError(ErrorCode.BUSY, f"Run {run_id[:8]} has not ended after {seconds:.0f} s.")
            time.sleep(_SECONDS_BETWEEN_LOOKS)
        if state.status != "SUCCESS":
            raise state.error()
        return state

    def query(self, name: str, variables: Mapping[str, Any] | None = None) -> dict[str, Any]:
        """Send one of the queries of `mistudio_pipelines/graphql/`.

        Args:
            name: The file's name without its ending.
            variables: Its variables.

        Raises:
            MistudioError: `server_unreachable`, or `internal` where the query itself is refused.
        """
        text = (resources.files("mistudio_pipelines") / "graphql" / f"{name}.graphql").read_text()
        body = json.dumps({"query": text, "variables": dict(variables or {})}).encode()
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

    def _launched(self, query: str, variables: Mapping[str, Any]) -> str:
        return str(require(self.query(query, variables)["launchRun"], "LaunchRunSuccess")["run"]["runId"])

    def _do(self, job: str, op: str, form: Mapping[str, Any]) -> dict[str, Any]:
        """Run a job of one op to its end and return the metadata of its output."""
        run_id = self._launched(job, {"runConfig": {"ops": {op: {"config": dict(form)}}}})
        self.wait(run_id)
        answer = require(self.query("run_output", {"runId": run_id})["runOrError"], "Run")
        outputs = (event for event in answer["eventConnection"]["events"] if "metadataEntries" in event)
        return metadata_values(next(outputs)["metadataEntries"])

    def _materializations(self, query: str, variables: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
        answer = require(self.query(query, variables)["assetNodeOrError"], "AssetNode")
        found = (one for one in answer["latestMaterializationByPartition"] if one is not None)
        return {one["partition"]: metadata_values(one["metadataEntries"]) for one in found}


def _error_body(error: urllib.error.HTTPError) -> dict[str, Any]:
    try:
        body: dict[str, Any] = json.load(error)
    except ValueError:
        return {"errors": [{"message": f"HTTP {error.code}"}]}
    return body
