"""Comparing tokenizers on a sample of a dataset, before anything is tokenized.

What belongs here: the sample, and what follows from it for the whole. What does not: tokenizing.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from os import sched_getaffinity
from pathlib import Path

import numpy as np
import pyarrow as pa

from mistudio_pipelines.progress import ShouldStop, never_stop
from mistudio_pipelines.store.layout import DataStore
from mistudio_pipelines.store.manifest import Manifest, read_manifest
from mistudio_pipelines.tokenization.engine_choice import WORTH_PROVING_BYTES
from mistudio_pipelines.tokenization.engine_proof import read_proof
from mistudio_pipelines.tokenization.engines import Encoded, Engine, TransformersEngine, open_engine
from mistudio_pipelines.tokenization.loading import load_tokenizer, sane_context, tokenizer_identity
from mistudio_pipelines.tokenization.planning import keep_backend
from mistudio_pipelines.tokenization.row_files import file_schema, open_writer

_SAMPLED_ROW_GROUPS = 16
_SAMPLED_BYTES = 2_000_000
# Where the files account for less text than this share of what the sample says, they store equal texts once.
_PLAUSIBLE_SHARE = 0.8
_FALLBACK_CONTEXT = 1024
# One core proves so many seconds; measured with vocabularies of 50,000 to 128,000.
_PROOF_SECONDS = 12.0


@dataclass(frozen=True)
class Estimate:
    """What tokenizing a dataset with one tokenizer would give, packed.

    Attributes:
        tokenizer: Hub id or folder.
        vocabulary_size: Its ids.
        context_size: Tokens in a row.
        tokens: Tokens in all.
        bytes_per_token: Bytes of UTF-8 for each token.
        rows: Rows of `context_size`, with the default special tokens.
        disk_bytes: Bytes of the result on disk.
        minutes: Time on this machine's cores.
        engine: The engine that would encode.
        sampled_documents: How many documents this is drawn from; all of them where `exact`.
        exact: True where the whole dataset was the sample.
    """

    tokenizer: str
    vocabulary_size: int
    context_size: int
    tokens: int
    bytes_per_token: float
    rows: int
    disk_bytes: int
    minutes: float
    engine: str
    sampled_documents: int
    exact: bool


@dataclass(frozen=True)
class _Sample:
    """Texts from all over a dataset.

    Attributes:
        texts: The texts.
        stand_for: For each, how many documents of the dataset it stands for.
        documents: Documents of the dataset.
        exact: True where the sample is the dataset.
    """

    texts: list[str]
    stand_for: np.ndarray
    documents: int
    exact: bool

    @property
    def text_bytes(self) -> float:
        """Bytes of UTF-8 of the whole dataset."""
        return float((np.array([len(text.encode()) for text in self.texts], np.int64) * self.stand_for).sum())


def estimate(
    store: DataStore,
    dataset_id: str,
    tokenizers: Sequence[str],
    context_size: int | None = None,
    *,
    token_name: str | None = None,
    should_stop: ShouldStop = never_stop,
) -> list[Estimate]:
    """Compare tokenizers on texts from all over a dataset.

    Args:
        store: The data folder.
        dataset_id: The dataset; its raw files must be there.
        tokenizers: Hub ids or folders.
        context_size: Tokens in a row; each model's maximum otherwise, or 1,024 where that is not known.
        token_name: Name of the secret to use for the Hub.
        should_stop: Polled between batches.

    Returns:
        One estimate for each tokenizer, in the order given.

    Raises:
        MistudioError: `data_missing`, and what loading a tokenizer raises.
    """
    sample = _take_sample(store.raw(dataset_id), read_manifest(store.raw(dataset_id)), should_stop)
    return [_estimate_one(store, name, sample, context_size, token_name) for name in tokenizers]


def _take_sample(folder: Path, manifest: Manifest, should_stop: ShouldStop) -> _Sample:
    from mistudio_pipelines.text.reading import iter_text_batches, list_row_groups

    groups = list_row_groups(folder, manifest)
    numbers = np.linspace(0, len(groups) - 1, min(len(groups), _SAMPLED_ROW_GROUPS)).round().astype(int).tolist()
    chosen = [groups[number] for number in dict.fromkeys(numbers)]
    texts: list[str] = []
    weights: list[np.ndarray] = []
    documents = 0
    for group in chosen:
        of_group: list[str] = []
        taken = read = 0
        pair = (group.file_index, group.row_group)
        for batch in iter_text_batches(folder, manifest, row_groups=[pair], batch_rows=64, should_stop=should_stop):
            of_group += [text for text in batch.texts.to_pylist() if text is not None]
            taken += batch.texts.nbytes
            read += len(batch.texts)
            if taken >= _SAMPLED_BYTES // len(chosen):
                break
        texts += of_group
        weights.append(np.full(len(of_group), group.rows / read))
        documents += read
    in_groups = sum(group.rows for group in chosen)
    stand_for = np.concatenate([np.zeros(0), *weights]) * (manifest.rows / in_groups if in_groups else 0.0)
    sample = _Sample(texts, stand_for, manifest.rows, documents == manifest.rows)
    # The files say how long their texts are, with four bytes beside each, unless equal texts are stored once.
    by_files = sum(group.bytes for group in groups) - 4.0 * manifest.rows
    if sample.exact or by_files < _PLAUSIBLE_SHARE * sample.text_bytes:
        return sample
    return replace(sample, stand_for=stand_for * (by_files / sample.text_bytes))


def _estimate_one(
    store: DataStore, name: str, sample: _Sample, context_size: int | None, token_name: str | None
) -> Estimate:
    tokenizer = load_tokenizer(store, name, None, token_name)
    identity = tokenizer_identity(tokenizer, name, None)
    context = context_size or sane_context(tokenizer.model_max_length) or _FALLBACK_CONTEXT
    backend_file = keep_backend(store, tokenizer)
    if backend_file is None:
        encoded, seconds = _timed(TransformersEngine(tokenizer, True), sample.texts)
        engine, cores = "transformers", 1
    else:
        encoded, seconds = _timed(open_engine("tokenizers", backend_file, True), sample.texts)
        engine, cores = "tokenizers", len(sched_getaffinity(0))
    sampled_bytes = sum(len(text.encode()) for text in sample.texts)
    growth = sample.text_bytes / sampled_bytes if sampled_bytes else 0.0
    total_seconds = seconds * growth / cores
    if backend_file is not None and sample.text_bytes >= WORTH_PROVING_BYTES:
        fast_seconds = _fast_seconds(store, identity.sha256, backend_file, sample.texts)
        if fast_seconds is not None:
            engine = "fastokens"
            total_seconds = (fast_seconds * growth + _proof_seconds(store, identity.sha256)) / cores
    tokens = float((np.diff(encoded.bounds) * sample.stand_for).sum())
    return Estimate(
        tokenizer=name,
        vocabulary_size=identity.vocabulary_size,
        context_size=context,
        tokens=round(tokens),
        bytes_per_token=sample.text_bytes / tokens if tokens else 0.0,
        rows=_packed_rows(tokens, sample.documents, context, encoded, identity.special_tokens.get("bos")),
        disk_bytes=round(tokens * _disk_bytes_of_token(encoded.ids)),
        minutes=total_seconds / 60,
        engine=engine,
        sampled_documents=len(sample.texts),
        exact=sample.exact,
    )


def _packed_rows(tokens: float, documents: int, context: int, encoded: Encoded, bos: int | None) -> int:
    """Rows of packed documents with bos, where there is one, before rows and between documents, none doubled."""
    if bos is None:
        return int(tokens // context)
    begins_itself = len(encoded.ids) > 0 and encoded.ids[0] == bos
    return int((tokens + (0 if begins_itself else documents)) // max(1, context - 1))


def _timed(engine: Engine, texts: Sequence[str]) -> tuple[Encoded, float]:
    """The texts encoded, and the seconds that took."""
    began = time.perf_counter()
    parts = [engine.encode(texts[begin : begin + 256]) for begin in range(0, len(texts), 256)]
    seconds = time.perf_counter() - began
    ids = np.concatenate([np.zeros(0, np.uint32), *(part.ids for part in parts)])
    lengths = np.concatenate([np.zeros(1, np.int64), *(np.diff(part.bounds) for part in parts)])
    return Encoded(ids, np.cumsum(lengths)), seconds


def _fast_seconds(store: DataStore, sha256: str, backend_file: Path, texts: Sequence[str]) -> float | None:
    """Seconds that fastokens takes for the sample; None where it is known, or seen at once, not to be usable."""
    proof = read_proof(store, sha256, "fastokens", "tokenizers")
    if proof is not None and not proof.equal:
        return None
    try:
        engine = open_engine("fastokens", backend_file, True)
    except Exception:  # noqa: BLE001  (it refuses kinds of tokenizers that it does not know, in any way)
        return None
    return _timed(engine, texts)[1]


def _proof_seconds(store: DataStore, sha256: str) -> float:
    return 0.0 if read_proof(store, sha256, "fastokens", "tokenizers") else _PROOF_SECONDS


def _disk_bytes_of_token(ids: np.ndarray) -> float:
    """Bytes on disk for each token, by writing the sample as it would be written."""
    if not len(ids):
        return 0.0
    schema = file_schema("input_ids", "int32", None, False)
    sink = pa.BufferOutputStream()
    rows = pa.ListArray.from_arrays(pa.array([0, len(ids)], pa.int32()), pa.array(ids.astype(np.int32)))
    with open_writer(sink, schema) as writer:
        writer.write_table(pa.Table.from_arrays([rows.cast(schema.field(0).type)], schema=schema))
    return float(len(sink.getvalue()) / len(ids))
