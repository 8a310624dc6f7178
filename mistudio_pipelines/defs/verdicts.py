"""Results of asset checks: from what the plain functions found wrong to a sentence and a severity."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import dagster as dg

from mistudio_pipelines.progress import ProgressCallback
from mistudio_pipelines.store.damage import mark_damaged
from mistudio_pipelines.store.layout import DataStore
from mistudio_pipelines.store.manifest import read_manifest

if TYPE_CHECKING:
    from mistudio_pipelines.text.statistics_model import DatasetStatistics

_MOST_SHOWN = 20


def _verdict(asset: str, check: str, problems: Sequence[str], fine: str) -> dg.AssetCheckResult:
    return dg.AssetCheckResult(
        passed=not problems,
        asset_key=dg.AssetKey(asset),
        check_name=check,
        description="\n".join(problems[:_MOST_SHOWN]) if problems else fine,
        metadata={"problems": len(problems)},
    )


def raw_verdict(store: DataStore, dataset_id: str, on_progress: ProgressCallback) -> dg.AssetCheckResult:
    """Are the raw files the ones that were downloaded? What is found turns the dataset to `error`, or back."""
    from mistudio_pipelines.store.raw_folder import verify_raw

    folder = store.raw(dataset_id)
    manifest = read_manifest(folder)
    problems = verify_raw(folder, manifest, on_progress=on_progress)
    mark_damaged(folder, problems)
    fine = f"{len(manifest.files)} file(s) are what was downloaded."
    return _verdict("raw", "raw_files_intact", problems, fine)


def statistics_verdict(store: DataStore, dataset_id: str, statistics: DatasetStatistics) -> dg.AssetCheckResult:
    """Do the statistics add up to the manifest?"""
    from mistudio_pipelines.text.statistics_model import check_statistics

    problems = check_statistics(statistics, read_manifest(store.raw(dataset_id)))
    return _verdict("statistics", "statistics_add_up", problems, "Splits, histogram bins and totals add up.")


def text_verdict(statistics: DatasetStatistics) -> dg.AssetCheckResult:
    """Is there text that a person should know of before training on it? Only ever a warning."""
    total = statistics.total
    counts = {
        "without a text": total.nulls,
        "empty": total.empties,
        "blank": total.blanks,
        "exact duplicates of earlier ones": total.duplicates,
    }
    problems = [f"{count:,} of {total.samples:,} samples are {what}." for what, count in counts.items() if count]
    if total.replacement_characters:
        problems.append(f"The texts have {total.replacement_characters:,} replacement characters (U+FFFD).")
    return dg.AssetCheckResult(
        passed=not problems,
        asset_key=dg.AssetKey("statistics"),
        check_name="text_is_clean",
        severity=dg.AssetCheckSeverity.WARN,
        description="\n".join(problems) or "No nulls, empty texts, duplicates or replaced characters.",
        metadata={"nulls": total.nulls, "empties": total.empties, "duplicates": total.duplicates},
    )


def index_verdict(store: DataStore, dataset_id: str) -> dg.AssetCheckResult:
    """Does the index hold every sample? What is found turns the dataset to `error`, or back."""
    from mistudio_pipelines.text.sample_index import check_index

    problems = check_index(store, dataset_id)
    mark_damaged(store.index(dataset_id), problems)
    return _verdict("sample_index", "index_is_complete", problems, "The index opens and holds every sample.")


def tokens_verdict(store: DataStore, dataset_id: str, preset: str) -> dg.AssetCheckResult:
    """Is every token accounted for?"""
    from mistudio_pipelines.tokenization.proof import check_tokenization

    problems = check_tokenization(store, dataset_id, preset)
    return _verdict("tokenized", "no_token_lost", problems, "Every token that was encoded is accounted for.")
