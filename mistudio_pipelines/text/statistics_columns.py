"""The columns beside the text: type, nulls, how many different values, which range.

What belongs here: the one read of each column that this takes. What does not: the text itself (`statistics.py`).
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from mistudio_pipelines.errors import ErrorCode, MistudioError, Stopped
from mistudio_pipelines.progress import ShouldStop, never_stop
from mistudio_pipelines.store.manifest import Manifest
from mistudio_pipelines.text.statistics_model import ColumnStatistics

MOST_DISTINCT: Final = 1000
"""More different values than this are not counted: such a column does not group the samples."""

_LONGEST_SHOWN: Final = 200
_BATCH_ROWS: Final = 16_384


def column_statistics(
    folder: Path, manifest: Manifest, should_stop: ShouldStop = never_stop
) -> tuple[ColumnStatistics, ...]:
    """Statistics of every top-level column but the text.

    Args:
        folder: The raw folder.
        manifest: Its manifest.
        should_stop: Polled while reading.

    Raises:
        MistudioError: `data_corrupt` where a file cannot be read.
        Stopped: As soon as `should_stop` says so.
    """
    types: dict[str, list[pa.DataType]] = {}
    for file in manifest.files:
        for field in _guarded(manifest, lambda path=folder / file.path: pq.read_schema(path)):
            known = types.setdefault(field.name, [])
            if field.type not in known:
                known.append(field.type)
    types.pop(manifest.text_column, None)
    return tuple(_describe(folder, manifest, name, kinds, should_stop) for name, kinds in types.items())


def _describe(
    folder: Path, manifest: Manifest, name: str, kinds: list[pa.DataType], should_stop: ShouldStop
) -> ColumnStatistics:
    shown = " or ".join(map(str, kinds))
    kind = _common_type(kinds)
    if kind is None:
        # No order, no equality that people would count by: its nulls are all there is to say.
        return ColumnStatistics(name=name, type=shown, nulls=_count_nulls(folder, manifest, name, should_stop))
    nulls = 0
    seen: pa.Array = pa.array([], kind)
    smallest: list[Any] = []
    largest: list[Any] = []
    for array in _read(folder, manifest, name, kind, should_stop):
        nulls += array.null_count
        if len(seen) <= MOST_DISTINCT:
            seen = pc.unique(pa.concat_arrays([seen, pc.unique(array.drop_null())]))
        if not pa.types.is_boolean(kind) and array.null_count < len(array):
            both = pc.min_max(array)
            smallest = [min([*smallest, both["min"].as_py()])]
            largest = [max([*largest, both["max"].as_py()])]
    known = len(seen) <= MOST_DISTINCT
    return ColumnStatistics(
        name=name,
        type=shown,
        nulls=nulls,
        distinct=len(seen) if known else None,
        distinct_over=None if known else MOST_DISTINCT,
        minimum=_shown(smallest),
        maximum=_shown(largest),
    )


def _common_type(kinds: list[pa.DataType]) -> pa.DataType | None:
    """The type to compare a column's values in, where the files agree on one that has an order or is yes and no."""
    plain = [kind.value_type if pa.types.is_dictionary(kind) else kind for kind in kinds]
    try:
        schemas = [pa.schema([("column", kind)]) for kind in plain]
        common = pa.unify_schemas(schemas, promote_options="permissive").field(0).type
    except pa.ArrowException:
        return None
    comparable = (
        pa.types.is_boolean,
        pa.types.is_integer,
        pa.types.is_floating,
        pa.types.is_decimal,
        pa.types.is_date,
        pa.types.is_time,
        pa.types.is_timestamp,
        pa.types.is_string,
        pa.types.is_large_string,
    )
    return common if any(is_type(common) for is_type in comparable) else None


def _count_nulls(folder: Path, manifest: Manifest, name: str, should_stop: ShouldStop) -> int:
    return sum(array.null_count for array in _read(folder, manifest, name, None, should_stop))


def _read(
    folder: Path, manifest: Manifest, name: str, kind: pa.DataType | None, should_stop: ShouldStop
) -> Iterator[pa.Array]:
    for file in manifest.files:
        path = folder / file.path
        with _guarded(
            manifest, lambda path=path: pq.ParquetFile(path, pre_buffer=False, buffer_size=1 << 20)
        ) as parquet:
            if name not in parquet.schema_arrow.names:
                yield pa.nulls(file.rows, kind or pa.null())
                continue
            batches = parquet.iter_batches(_BATCH_ROWS, columns=[name], use_threads=False)
            while (batch := _guarded(manifest, lambda batches=batches: next(batches, None))) is not None:
                if should_stop():
                    raise Stopped("Reading the columns")
                array = batch.column(0)
                yield array if kind is None else array.cast(kind)


def _shown(values: list[Any]) -> str | None:
    return str(values[0])[:_LONGEST_SHOWN] if values else None


def _guarded(manifest: Manifest, read: Any) -> Any:
    try:
        return read()
    except (pa.ArrowException, OSError) as error:
        raise MistudioError(
            ErrorCode.DATA_CORRUPT,
            f"A raw file of dataset {manifest.dataset_id} cannot be read.",
            f"Download it again: `mistudio retry {manifest.dataset_id}`.",
        ) from error
