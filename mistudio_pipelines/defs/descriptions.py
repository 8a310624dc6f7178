"""Metadata of materializations and plans: the PRD's dataset record, numbers, pictures and tables for the UI.

What belongs here: turning results into Dagster's metadata. The names are `names.py`, the drawings `text/pictures.py`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import dagster as dg

from mistudio_pipelines.defs import names
from mistudio_pipelines.progress import format_bytes
from mistudio_pipelines.store.deletion import stored_bytes
from mistudio_pipelines.store.layout import DataStore
from mistudio_pipelines.store.manifest import Manifest
from mistudio_pipelines.store.records import DatasetRecord

if TYPE_CHECKING:
    from mistudio_pipelines.adding import AddPlan
    from mistudio_pipelines.defs.deletion import DeletionPlan
    from mistudio_pipelines.text.ingestion import IngestionResult
    from mistudio_pipelines.text.statistics_model import Histogram
    from mistudio_pipelines.tokenization.results import TokenizationResult
    from mistudio_pipelines.tokenization.statistics import LengthStatistics

Metadata = dict[str, Any]
_MOST_FILES_SHOWN = 200


def picture(svg: str, description: str) -> dg.MarkdownMetadataValue:
    """A drawing that the UI shows in place."""
    from mistudio_pipelines.text.pictures import markdown_image

    return dg.MetadataValue.md(markdown_image(svg, description))


def table(rows: Sequence[Mapping[str, Any]], types: Mapping[str, str]) -> dg.TableMetadataValue:
    """A table for the UI.

    Args:
        rows: Values by column.
        types: Dagster's type of each column: `string`, `int` or `float`.
    """
    schema = dg.TableSchema([dg.TableColumn(name, kind) for name, kind in types.items()])
    return dg.MetadataValue.table([dg.TableRecord(dict(row)) for row in rows], schema)


def _of_record(record: DatasetRecord, status: str) -> Metadata:
    return {
        names.STATUS: status,
        names.NAME: record.name,
        names.SOURCE: record.source,
        names.REVISION: record.revision,
        names.CREATED_AT: record.created_at.isoformat(),
    }


def raw_metadata(store: DataStore, record: DatasetRecord, manifest: Manifest) -> Metadata:
    """Metadata of `raw`."""
    import pyarrow.parquet as pq

    folder = store.raw(record.id)
    schema = pq.read_schema(folder / manifest.files[0].path) if manifest.files else []
    columns = [dg.TableColumn(field.name, str(field.type)) for field in schema]
    files = [
        {"file": file.path, "split": file.split, "rows": file.rows, "bytes": file.size, "sha256": file.sha256[:12]}
        for file in manifest.files[:_MOST_FILES_SHOWN]
    ]
    unchanged = sum(origin.unchanged for file in manifest.files for origin in file.origins)
    return {
        **_of_record(record, "ingesting"),
        names.SIZE_BYTES: manifest.size,
        names.NUM_SAMPLES: manifest.rows,
        names.ROW_COUNT: manifest.rows,
        names.FILE_PATH: dg.MetadataValue.path(str(folder)),
        "dagster/column_schema": dg.TableSchema(columns),
        "size": format_bytes(manifest.size),
        "text_column": manifest.text_column,
        "splits": dg.MetadataValue.json(manifest.rows_by_split),
        "files": table(files, {"file": "string", "split": "string", "rows": "int", "bytes": "int", "sha256": "string"}),
        "files_kept_byte_for_byte": unchanged,
        "replaced_characters": sum(file.replaced_characters for file in manifest.files),
        "via_convert_branch": manifest.via_convert_branch,
        **_optional(repository=record.repository, config=record.config, license=record.license),
    }


def statistics_metadata(store: DataStore, record: DatasetRecord, result: IngestionResult) -> Metadata:
    """Metadata of `statistics`."""
    from mistudio_pipelines.text.pictures import histogram_svg, shares_svg, storage_svg
    from mistudio_pipelines.text.small_pictures import small_histogram, small_shares

    statistics, total = result.statistics, result.statistics.total
    histogram = total.histogram
    stored = stored_bytes(store, record.id)
    storage = {"raw": stored.raw, "index": stored.index, "tokenized": sum(stored.tokenized.values())}
    splits = {name: texts.samples for name, texts in statistics.splits.items()}
    words = [{"word": word.word, "count": word.count} for word in total.most_frequent_words]
    return {
        **_of_record(record, "ready"),
        "tokens_per_sample": picture(small_histogram(histogram.edges, histogram.counts), "Tokens per sample"),
        "samples_by_split": picture(small_shares(splits), "Samples by split"),
        "storage": picture(small_shares(storage), "Storage"),
        names.NUM_SAMPLES: total.samples,
        names.ROW_COUNT: total.samples,
        names.NUM_TOKENS: total.tokens,
        names.VOCAB_SIZE: total.vocabulary,
        names.AVG_SEQUENCE_LENGTH: round(total.mean_tokens, 2),
        names.SIZE_BYTES: stored.raw,
        names.UNCHANGED: result.unchanged,
        "first_samples": table(
            result.first_samples, {"number": "int", "split": "string", "tokens": "int", "text": "string"}
        ),
        "most_frequent_words": table(words, {"word": "string", "count": "int"}),
        "min_tokens": total.min_tokens,
        "median_tokens": round(total.median_tokens, 2),
        "p95_tokens": round(total.p95_tokens, 2),
        "p99_tokens": round(total.p99_tokens, 2),
        "max_tokens": total.max_tokens,
        "characters": total.characters,
        "nulls": total.nulls,
        "empties": total.empties,
        "duplicates": total.duplicates,
        "replacement_characters": total.replacement_characters,
        "tokens_per_sample_in_detail": picture(histogram_svg(histogram), "Tokens per sample"),
        "samples_by_split_in_detail": picture(shares_svg(splits), "Samples by split"),
        "storage_in_detail": picture(storage_svg(storage), "Storage"),
        "statistics_file": dg.MetadataValue.path(str(store.statistics(record.id))),
    }


def index_metadata(store: DataStore, record: DatasetRecord, result: IngestionResult) -> Metadata:
    """Metadata of `sample_index`."""
    return {
        **_of_record(record, "ready"),
        names.NUM_SAMPLES: result.index.samples,
        names.SIZE_BYTES: result.index.bytes,
        names.UNCHANGED: result.unchanged,
        "size": format_bytes(result.index.bytes),
        "share_of_text": result.index.bytes / max(1, result.statistics.total.bytes),
        names.FILE_PATH: dg.MetadataValue.path(str(store.index(record.id))),
    }


def tokenized_metadata(store: DataStore, record: DatasetRecord, preset: str, result: TokenizationResult) -> Metadata:
    """Metadata of `tokenized`."""
    from mistudio_pipelines.text.pictures import histogram_svg
    from mistudio_pipelines.text.small_pictures import small_histogram

    counts, statistics, engine = result.counts, result.statistics, result.engine
    lengths, title = statistics.lengths, "Tokens per document"
    frequent = [{"id": one.id, "text": one.text, "count": one.count} for one in statistics.most_frequent]
    return {
        **_of_record(record, "ready"),
        "dataset_id": record.id,
        "preset": preset,
        "tokenizer": result.tokenization.preset.tokenizer,
        "engine": engine.engine,
        "engine_reason": engine.reason,
        names.ROW_COUNT: counts.rows,
        names.NUM_TOKENS: counts.row_tokens,
        names.SIZE_BYTES: result.bytes,
        names.UNCHANGED: result.unchanged,
        names.TOKENIZED_PATH: dg.MetadataValue.path(str(store.tokenized(record.id, preset))),
        "size": format_bytes(result.bytes),
        "rows_by_split": dg.MetadataValue.json(result.rows_by_split),
        "counts": dg.MetadataValue.json(counts.model_dump(mode="json")),
        "special_tokens": dg.MetadataValue.json(statistics.special_tokens),
        "most_frequent_tokens": table(frequent, {"id": "int", "text": "string", "count": "int"}),
        "used_ids": statistics.used_ids,
        "unused_share": statistics.unused_share,
        "padding_share": statistics.padding_share,
        **_optional(bytes_per_token=statistics.bytes_per_token),
        **(
            {
                "tokens_per_document": picture(
                    small_histogram(lengths.histogram_edges, lengths.histogram_counts), title
                ),
                "tokens_per_document_in_detail": picture(histogram_svg(_histogram(lengths), title), title),
            }
            if lengths is not None
            else {}
        ),
    }


def _histogram(lengths: LengthStatistics) -> Histogram:
    from mistudio_pipelines.text.statistics_model import Histogram

    return Histogram(edges=lengths.histogram_edges, counts=lengths.histogram_counts)


def plan_metadata(plan: AddPlan) -> Metadata:
    """Metadata of a plan: what adding the dataset takes."""
    record = plan.record
    return {
        names.NAME: record.name,
        names.SOURCE: record.source,
        names.REVISION: record.revision,
        "text_column": record.text_column,
        "files": plan.file_count,
        "format": plan.file_format,
        "download_bytes": record.download_bytes,
        "pipeline_bytes": record.pipeline_bytes,
        "free_bytes": plan.free_bytes,
        "download_size": format_bytes(record.download_bytes),
        "pipeline_size": format_bytes(record.pipeline_bytes),
        "splits": dg.MetadataValue.json(list(record.splits or plan.available_splits)),
        "available_splits": dg.MetadataValue.json(list(plan.available_splits)),
        **({"warnings": dg.MetadataValue.md("\n".join(f"- {one}" for one in plan.warnings))} if plan.warnings else {}),
        **_optional(repository=record.repository, config=record.config, license=record.license),
    }


def deletion_metadata(plans: Sequence[DeletionPlan]) -> Metadata:
    """Metadata of a deletion: what goes and who uses it."""
    rows = [
        {
            "dataset_id": plan.dataset_id,
            "name": plan.name,
            "deletes": plan.preset or ", ".join(["raw", "index", *plan.stored.tokenized]),
            "bytes": plan.bytes,
            "used_by": ", ".join((*plan.users, *plan.active_runs)),
        }
        for plan in plans
    ]
    shown = table(
        rows, {"dataset_id": "string", "name": "string", "deletes": "string", "bytes": "int", "used_by": "string"}
    )
    return {"datasets": shown, "bytes": sum(plan.bytes for plan in plans)}


def _optional(**values: Any) -> Metadata:
    return {name: value for name, value in values.items() if value is not None}
