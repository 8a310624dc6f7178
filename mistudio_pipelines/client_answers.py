"""What the answers of GraphQL mean: metadata as plain values, and the status of each dataset in one word.

What belongs here: pure functions from answers to values. What does not: asking (`client.py`), and the status that the
command and the sensor show (`defs/status.py`), which looks at the disk too.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from mistudio_pipelines.errors import ErrorCode, MistudioError

_STAGES = {"download": "downloading", "ingest": "ingesting", "tokenize": "tokenizing"}
# Runs that were launched with Materialize in the UI have no job of ours; what they make tells.
_STAGE_OF_ASSET = {"raw": "download", "statistics": "ingest", "sample_index": "ingest", "tokenized": "tokenize"}
_PARTITION_TAG = "dagster/partition"


@dataclass(frozen=True)
class RunState:
    """How a run stands.

    Attributes:
        run_id: Its id.
        status: Dagster's word for it: QUEUED, STARTED, SUCCESS, FAILURE, CANCELED …
        tags: Its tags, among them `mistudio/progress` and `mistudio/error`.
        job: Its job.
        assets: The assets that it makes.
    """

    run_id: str
    status: str
    tags: Mapping[str, str] = field(default_factory=dict)
    job: str = ""
    assets: tuple[str, ...] = ()

    @property
    def is_finished(self) -> bool:
        """True where nothing more will happen."""
        return self.status in ("SUCCESS", "FAILURE", "CANCELED")

    @property
    def stage(self) -> str | None:
        """`download`, `ingest` or `tokenize`, or None for another run."""
        if self.job in _STAGES:
            return self.job
        return next((stage for asset, stage in _STAGE_OF_ASSET.items() if asset in self.assets), None)

    @property
    def dataset_id(self) -> str | None:
        """The dataset that it works on, or None."""
        partition = self.tags.get("dagster/partition/dataset") or self.tags.get(_PARTITION_TAG)
        return self.tags.get("mistudio/dataset_id") or partition

    def error(self) -> MistudioError:
        """Why it did not succeed, as the error that the step raised."""
        code = self.tags.get("mistudio/error_code", ErrorCode.RUN_FAILED)
        known = code if code in set(ErrorCode) else ErrorCode.INTERNAL
        message = self.tags.get("mistudio/error") or f"Run {self.run_id[:8]} of job {self.job} ended as {self.status}."
        return MistudioError(ErrorCode(known), message)


@dataclass(frozen=True)
class DatasetState:
    """A dataset as GraphQL knows it.

    Attributes:
        dataset_id: Its id.
        status: `downloading`, `ingesting`, `tokenizing`, `ready` or `error`.
        run_id: The run that it speaks of, where one works or ended badly.
        progress: What that run last reported.
        error: One sentence, for `error`.
        error_code: Its code.
        stage: The job that made or makes it so: `download`, `ingest` or `tokenize`; None for `ready`.
        preset: The preset, for `tokenize`.
        tokenizations: Presets whose tokenization is there.
    """

    dataset_id: str
    status: Literal["downloading", "ingesting", "tokenizing", "ready", "error"]
    run_id: str | None = None
    progress: str | None = None
    error: str | None = None
    error_code: str | None = None
    stage: str | None = None
    preset: str | None = None
    tokenizations: tuple[str, ...] = ()


def require(answer: Mapping[str, Any], *types: str) -> Mapping[str, Any]:
    """An answer that is of one of the expected types.

    Raises:
        MistudioError: `invalid_config` with Dagster's own sentence, where it is another.
    """
    if answer["__typename"] in types:
        return answer
    errors = answer.get("errors") or [{"message": answer.get("message") or answer["__typename"]}]
    raise MistudioError(ErrorCode.INVALID_CONFIG, f"Dagster refused: {str(errors[0]['message']).splitlines()[0]}")


def run_state(answer: Mapping[str, Any]) -> RunState:
    """A run of an answer."""
    tags = {tag["key"]: tag["value"] for tag in answer["tags"]}
    assets = tuple(asset["path"][0] for asset in answer["assetSelection"] or ())
    return RunState(answer["runId"], answer["status"], tags, answer["jobName"], assets)


def run_list(answer: Mapping[str, Any]) -> list[RunState]:
    """The runs of an answer, newest first."""
    return [run_state(one) for one in require(answer, "Runs")["results"]]


def metadata_values(entries: Iterable[Mapping[str, Any]]) -> dict[str, Any]:
    """Metadata by its label: numbers, text, JSON values; tables as lists of rows."""
    return {entry["label"]: _value(entry) for entry in entries}


def _value(entry: Mapping[str, Any]) -> Any:
    if "intRepr" in entry:
        return int(entry["intRepr"])
    if "jsonString" in entry:
        return json.loads(entry["jsonString"])
    if "table" in entry:
        return [json.loads(record) for record in entry["table"]["records"]]
    return next((entry[key] for key in ("text", "floatValue", "boolValue", "path", "mdStr") if key in entry), None)


def dataset_states(answer: Mapping[str, Any]) -> list[DatasetState]:
    """The datasets of an answer to `list_datasets`, in the order in which they were added."""
    raw = _partitions(answer["raw"])
    statistics = _partitions(answer["statistics"])
    ids: list[str] = answer["raw"]["partitionKeys"]
    made, failed = _tokenizations(answer["tokenized"], ids)
    active = _newest_by_stage(run_list(answer["active"]))
    ended = _newest_by_stage(run_list(answer["ended"]))
    raw_done = set(raw["materializedPartitions"]) - set(raw["failedPartitions"])
    statistics_done = set(statistics["materializedPartitions"]) - set(statistics["failedPartitions"])
    return [
        _state(
            dataset_id,
            # In the order of the pipeline: the first stage that is not done decides.
            {
                "download": dataset_id in raw_done,
                "ingest": dataset_id in statistics_done,
                "tokenize": dataset_id not in failed,
            },
            active,
            ended,
            tuple(sorted(made.get(dataset_id, ()))),
        )
        for dataset_id in ids
    ]


def _state(
    dataset_id: str,
    done: Mapping[str, bool],
    active: Mapping[tuple[str, str | None], RunState],
    ended: Mapping[tuple[str, str | None], RunState],
    tokenizations: tuple[str, ...],
) -> DatasetState:
    for stage, is_done in done.items():
        run = active.get((stage, dataset_id))
        if run is not None:
            progress = run.tags.get("mistudio/progress") or run.status.lower()
            return DatasetState(
                dataset_id,
                _STAGES[stage],  # type: ignore[arg-type]  # its values are those words
                run.run_id,
                progress,
                stage=stage,
                preset=_preset(run),
                tokenizations=tokenizations,
            )
        if not is_done:
            return _undone(dataset_id, stage, ended.get((stage, dataset_id)), tokenizations)
    return DatasetState(dataset_id, "ready", tokenizations=tokenizations)


def _undone(dataset_id: str, stage: str, run: RunState | None, tokenizations: tuple[str, ...]) -> DatasetState:
    if run is None:
        word = _STAGES[stage]
        return DatasetState(
            dataset_id,
            word,  # type: ignore[arg-type]  # as above
            progress="waiting to be started",
            stage=stage,
            tokenizations=tokenizations,
        )
    code, error = run.tags.get("mistudio/error_code"), run.tags.get("mistudio/error")
    if run.status == "CANCELED":
        code, error = str(ErrorCode.CANCELLED), f"Job {stage} was cancelled."
    return DatasetState(
        dataset_id,
        "error",
        run.run_id,
        error=error or f"Job {stage} failed.",
        error_code=code or str(ErrorCode.RUN_FAILED),
        stage=stage,
        preset=_preset(run),
        tokenizations=tokenizations,
    )


def _preset(run: RunState) -> str | None:
    return run.tags.get(_PARTITION_TAG, "").partition("|")[2] or None


def _newest_by_stage(runs: Sequence[RunState]) -> dict[tuple[str, str | None], RunState]:
    found: dict[tuple[str, str | None], RunState] = {}
    for run in runs:
        if run.stage is not None:
            found.setdefault((run.stage, run.dataset_id), run)
    return found


def _partitions(answer: Mapping[str, Any]) -> Mapping[str, list[str]]:
    statuses: Mapping[str, list[str]] = require(answer, "AssetNode")["assetPartitionStatuses"]
    return statuses


def _tokenizations(answer: Mapping[str, Any], ids: Sequence[str]) -> tuple[dict[str, set[str]], set[str]]:
    """Presets that are there by dataset, and the datasets with one that failed.

    Dagster says it in ranges of datasets (in the order in which they were added) that have the same presets.
    """
    made: dict[str, set[str]] = {}
    failed: set[str] = set()
    for one in require(answer, "AssetNode")["assetPartitionStatuses"].get("ranges", ()):
        first, last, presets = one["primaryDimStartKey"], one["primaryDimEndKey"], one["secondaryDim"]
        within = [first] if first == last else _between(ids, first, last)
        for dataset_id in within:
            made.setdefault(dataset_id, set()).update(presets["materializedPartitions"])
            if presets["failedPartitions"]:
                failed.add(dataset_id)
    return made, failed


def _between(ids: Sequence[str], first: str, last: str) -> Sequence[str]:
    return ids[ids.index(first) : ids.index(last) + 1] if first in ids and last in ids else [first, last]
