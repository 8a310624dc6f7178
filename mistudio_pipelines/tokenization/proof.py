"""Reading finished tokenizations, and the proof that no token was lost or invented.

What belongs here: reading `tokenization.json`, and checking it against itself and against the files. What does not:
the equation (`results.Counts.imbalance`).
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
from pydantic import ValidationError

from mistudio_pipelines.errors import ErrorCode, MistudioError, Stopped
from mistudio_pipelines.progress import ShouldStop, never_stop
from mistudio_pipelines.store.layout import DataStore
from mistudio_pipelines.tokenization.results import TOKENIZATION_NAME, Counts, Tokenization
from mistudio_pipelines.tokenization.row_files import hash_file


def list_tokenizations(store: DataStore, dataset_id: str) -> list[str]:
    """Names of the presets that a dataset is tokenized with."""
    folder = store.tokenized_of(dataset_id)
    if not folder.is_dir():
        return []
    return sorted(path.parent.name for path in folder.glob(f"*/{TOKENIZATION_NAME}") if path.parent.name[0] != ".")


def read_tokenization(store: DataStore, dataset_id: str, preset: str) -> Tokenization:
    """The content of `tokenization.json`.

    Raises:
        MistudioError: `data_missing` where there is none, `data_corrupt` where it cannot be read.
    """
    path = store.tokenized(dataset_id, preset) / TOKENIZATION_NAME
    try:
        return Tokenization.model_validate_json(path.read_bytes())
    except (FileNotFoundError, NotADirectoryError) as error:
        known = list_tokenizations(store, dataset_id)
        raise MistudioError(
            ErrorCode.DATA_MISSING,
            f"Dataset {dataset_id} is not tokenized with {preset}.",
            f"Tokenize it: `mistudio tokenize {dataset_id} --preset {preset}`."
            + (f" It has {', '.join(known)}." if known else ""),
            details={"tokenizations": known},
        ) from error
    except (OSError, ValidationError, ValueError) as error:
        raise MistudioError(
            ErrorCode.DATA_CORRUPT,
            f"The description of tokenization {preset} of dataset {dataset_id} cannot be read.",
            f"Tokenize it again: `mistudio tokenize {dataset_id} --preset {preset}`.",
        ) from error


def missing_files(folder: Path, tokenization: Tokenization) -> list[str]:
    """Files that are not there or not as long as they were; quick."""
    problems = []
    for file in tokenization.files:
        path = folder / file.path
        if not path.is_file() or path.stat().st_size != file.size:
            problems.append(file.path)
        if file.sources is not None and not (folder / file.sources).is_file():
            problems.append(file.sources)
    return problems


def check_tokenization(
    store: DataStore, dataset_id: str, preset: str, should_stop: ShouldStop = never_stop
) -> list[str]:
    """What does not balance or is damaged; an empty list is the proof that no token was lost or invented.

    The counts come from different places: the encoder counted documents and tokens, the layout counted what was put
    in and left out, and what is in the rows was counted in what was written. Files are hashed.

    Args:
        store: The data folder.
        dataset_id: The dataset.
        preset: The preset it is tokenized with.
        should_stop: Polled before each file.

    Raises:
        MistudioError: `data_missing` or `data_corrupt` where there is nothing to check.
        Stopped: Where `should_stop` said so.
    """
    tokenization = read_tokenization(store, dataset_id, preset)
    folder = store.tokenized(dataset_id, preset)
    return [
        *_unbalanced(tokenization),
        *_unbalanced_shards(tokenization),
        *_damaged_files(folder, tokenization, should_stop),
        *_wrong_id_counts(folder, tokenization),
    ]


def _unbalanced(tokenization: Tokenization) -> list[str]:
    problems = []
    for name, counts in [*tokenization.counts_by_split.items(), ("all splits", tokenization.counts)]:
        if counts.imbalance():
            verb = "lost" if counts.imbalance() > 0 else "invented"
            problems.append(f"{name}: {abs(counts.imbalance()):,} tokens were {verb}.")
        width = tokenization.width
        if width is not None and counts.row_tokens + counts.padded != counts.rows * width:
            problems.append(f"{name}: {counts.rows:,} rows of {width} do not hold the tokens that were written.")
    if sum(tokenization.counts_by_split.values(), Counts()) != tokenization.counts:
        problems.append("The counts of the splits do not add up to the counts in all.")
    return problems


def _unbalanced_shards(tokenization: Tokenization) -> list[str]:
    problems = []
    for shard in tokenization.shards:
        if shard.tokens_encoded + shard.specials_added != shard.stream_length:
            problems.append(f"Shard {shard.shard}: its stream is not the tokens encoded and the marks put in.")
        if sum(shard.engines.values()) + shard.nulls + shard.skipped != shard.documents:
            problems.append(f"Shard {shard.shard}: its documents are not those encoded, without text and skipped.")
    for name in ("documents", "nulls", "skipped", "empty", "tokens_encoded", "rows", "tail", "truncated", "dropped"):
        if sum(getattr(shard, name) for shard in tokenization.shards) != getattr(tokenization.counts, name):
            problems.append(f"The {name.replace('_', ' ')} of the shards do not add up to those in all.")
    return problems


def _damaged_files(folder: Path, tokenization: Tokenization, should_stop: ShouldStop) -> list[str]:
    problems = []
    for file in tokenization.files:
        if should_stop():
            raise Stopped("Checking the tokenization")
        path = folder / file.path
        if not path.is_file():
            problems.append(f"{file.path} is missing.")
        elif hash_file(path) != file.sha256:
            problems.append(f"{file.path} is damaged.")
        elif pq.read_metadata(path).num_rows != file.rows:
            problems.append(f"{file.path} does not have {file.rows} rows.")
        if file.sources is None:
            continue
        if not (folder / file.sources).is_file():
            problems.append(f"{file.sources} is missing.")
        elif hash_file(folder / file.sources) != file.sources_sha256:
            problems.append(f"{file.sources} is damaged.")
    return problems


def _wrong_id_counts(folder: Path, tokenization: Tokenization) -> list[str]:
    name = tokenization.statistics.counts_file
    try:
        counts = np.load(folder / name)
    except (OSError, ValueError):
        return [f"{name} is missing or damaged."]
    if int(counts.sum()) != tokenization.counts.row_tokens:
        return [f"{name} does not count the tokens that are in the rows."]
    return []
