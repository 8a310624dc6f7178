"""What every asset and op does around its one step: check the partition, report progress, explain errors.

What belongs here: the bridge between Dagster's context and the plain functions below. What does not: the steps.
"""

from __future__ import annotations

import errno
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import dagster as dg

from mistudio_pipelines.defs.names import DATASET_TAG, ERROR_CODE_TAG, ERROR_TAG
from mistudio_pipelines.defs.partitions import DATASETS, TOKENIZATIONS, split_pair_key
from mistudio_pipelines.defs.progress import RunProgress
from mistudio_pipelines.errors import ErrorCode, MistudioError
from mistudio_pipelines.logs import log_event
from mistudio_pipelines.store.layout import DataStore
from mistudio_pipelines.store.records import DatasetRecord, read_record

_LONGEST_ERROR = 1000  # characters; a tag is read with every list of runs

Context = dg.AssetExecutionContext | dg.OpExecutionContext | dg.AssetCheckExecutionContext


@dataclass(frozen=True)
class Operation:
    """One step that is being done in a run.

    Attributes:
        on_progress: Where the step reports how far it is.
    """

    on_progress: RunProgress


@contextmanager
def operation(context: Context, name: str, dataset_id: str | None = None) -> Iterator[Operation]:
    """Do one step: progress goes to the run, an error becomes one sentence on the run and in its log.

    Args:
        context: Of the asset or op.
        name: What is being done, for example `download`.
        dataset_id: What it is being done to.

    Raises:
        dagster.Failure: Where the step raised a `MistudioError`; Dagster does not retry it, because what can be
            retried was retried where it happened.
    """
    instance, run_id = context.instance, context.run.run_id
    if dataset_id is not None:
        instance.add_run_tags(run_id, {DATASET_TAG: dataset_id})
    started = time.monotonic()
    progress = RunProgress(instance, run_id, context.log)
    outcome = "interrupted"
    try:
        yield Operation(progress)
        outcome = "done"
    except MistudioError as error:
        outcome = str(error.code)
        raise note_error(instance, run_id, error) from error
    except Exception as error:
        if isinstance(error, OSError) and error.errno in (errno.EROFS, errno.EACCES, errno.EPERM):
            outcome = str(ErrorCode.DATA_FOLDER_UNUSABLE)
            raise note_error(instance, run_id, _unusable(error)) from error
        outcome = str(ErrorCode.INTERNAL)
        message = f"{name} failed unexpectedly: {type(error).__name__}: {error}"
        instance.add_run_tags(run_id, {ERROR_TAG: message[:_LONGEST_ERROR], ERROR_CODE_TAG: str(ErrorCode.INTERNAL)})
        raise
    finally:
        log_event(
            "operation_ended",
            level="info" if outcome == "done" else "error",
            operation=name,
            dataset_id=dataset_id,
            seconds=round(time.monotonic() - started, 3),
            bytes=progress.bytes_done,
            error_code=None if outcome == "done" else outcome,
            run_id=run_id,
        )
    context.log.info(f"{name} took {time.monotonic() - started:.1f} s", extra={"dataset_id": dataset_id})


def _unusable(error: OSError) -> MistudioError:
    return MistudioError(
        ErrorCode.DATA_FOLDER_UNUSABLE,
        f"{error.filename or 'A file'} cannot be read or written: {error.strerror}.",
        "Mend the permissions or the disk, then try again.",
    )


def require_dataset(instance: dg.DagsterInstance, store: DataStore, dataset_id: str) -> DatasetRecord:
    """The record of a dataset whose partition key is registered.

    Dagster launches runs for unknown keys and notices only after the body has run, so every asset asks first.

    Raises:
        MistudioError: `partition_not_registered`, `unknown_dataset`.
    """
    _require_dataset_key(instance, dataset_id)
    record = read_record(store, dataset_id)
    if record.deleting:
        raise MistudioError(ErrorCode.UNKNOWN_DATASET, f"Dataset {dataset_id} is being deleted.")
    return record


def require_tokenization(instance: dg.DagsterInstance, preset: str) -> None:
    """Refuse a preset whose partition key is not registered.

    Raises:
        MistudioError: `partition_not_registered`.
    """
    _require_key(
        instance,
        TOKENIZATIONS,
        preset,
        "tokenization",
        "Save the preset first: job `save_tokenization` or `mistudio tokenization save`.",
    )


def require_partition(instance: dg.DagsterInstance, partition_key: str) -> None:
    """Refuse the partition of a run whose dataset or preset is not registered.

    Raises:
        MistudioError: `partition_not_registered`.
    """
    dataset_id, preset = split_pair_key(partition_key)
    _require_dataset_key(instance, dataset_id)
    if preset:
        require_tokenization(instance, preset)


def note_error(instance: dg.DagsterInstance, run_id: str, error: MistudioError) -> dg.Failure:
    """Write an error on its run, for the status and for other tools; returns what is to be raised in Dagster."""
    instance.add_run_tags(run_id, {ERROR_TAG: str(error)[:_LONGEST_ERROR], ERROR_CODE_TAG: str(error.code)})
    return dg.Failure(
        description=str(error),
        metadata={
            "code": str(error.code),
            "next_step": error.next_step,
            **({"details": dg.MetadataValue.json(error.details)} if error.details else {}),
        },
        allow_retries=False,
    )


def _require_dataset_key(instance: dg.DagsterInstance, dataset_id: str) -> None:
    _require_key(instance, DATASETS, dataset_id, "dataset", "Add it first: job `add_dataset` or `mistudio add`.")


def _require_key(
    instance: dg.DagsterInstance,
    partitions: dg.DynamicPartitionsDefinition,
    key: str,
    noun: str,
    next_step: str,
) -> None:
    if not instance.has_dynamic_partition(str(partitions.name), key):
        raise MistudioError(
            ErrorCode.PARTITION_NOT_REGISTERED, f"There is no {noun} {key!r} on this Dagster instance.", next_step
        )
