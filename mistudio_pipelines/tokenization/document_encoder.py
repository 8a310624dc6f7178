"""Sending each document to the engine that may encode it, and watching the fast engine on real text.

What belongs here: routing, refusals, the random check. What does not: files (`encoding.py`) and the choice of the
engine (`engine_choice.py`).
"""

from __future__ import annotations

import random
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pyarrow.compute as pc

from mistudio_pipelines.errors import ErrorCode, MistudioError, Stopped
from mistudio_pipelines.store.layout import DataStore
from mistudio_pipelines.tokenization.engines import (
    Encoded,
    Engine,
    EngineName,
    LoadedBackendEngine,
    TransformersEngine,
    open_engine,
)
from mistudio_pipelines.tokenization.loading import load_tokenizer

if TYPE_CHECKING:
    from mistudio_pipelines.text.reading import TextBatch
    from mistudio_pipelines.tokenization.encoding import EncodeTask

# A stretch of about this many characters in each so many bytes of text is encoded by both engines.
_CHECKED_CHARACTERS = 400
_BYTES_FOR_EACH_CHECK = 1 << 20
_NAMED_SKIPPED_SAMPLES = 20


@dataclass(frozen=True)
class EngineSetup:
    """Everything a worker needs to build its engines.

    Attributes:
        store_root: The data folder.
        tokenizer: Hub id or folder.
        revision: Commit, for the Hub.
        token_name: Name of the secret, for the Hub.
        backend_file: Serialized backend, or None for a tokenizer without one.
        engine: The engine to use.
        add_special_tokens: Whether the tokenizer's own special tokens are added.
        call_backend: True where `transformers` may call the backend inside the loaded tokenizer directly.
        differing_characters: Documents with one of these go to Hugging Face's engine.
    """

    store_root: Path
    tokenizer: str
    revision: str | None
    token_name: str | None
    backend_file: Path | None
    engine: EngineName
    add_special_tokens: bool
    call_backend: bool = False
    differing_characters: str = ""

    def open(self, name: EngineName) -> Engine:
        """Build an engine (or take the one this process has)."""
        if name == "transformers":
            store = DataStore(self.store_root)
            tokenizer = load_tokenizer(store, self.tokenizer, self.revision, self.token_name)
            kind = LoadedBackendEngine if self.call_backend else TransformersEngine
            return kind(tokenizer, self.add_special_tokens)
        if self.backend_file is None:
            raise ValueError("a tokenizer without a backend has no such engine")
        return open_engine(name, self.backend_file, self.add_special_tokens)


class EnginesDifferError(Exception):
    """A stretch of real text was encoded differently by the two engines."""

    def __init__(self, sample: int) -> None:
        super().__init__(sample)
        self.sample = sample


@dataclass
class Tally:
    """What was counted while a shard was encoded; the fields of `PieceReport`."""

    documents: int = 0
    nulls: int = 0
    skipped: int = 0
    empty: int = 0
    replaced_characters: int = 0
    text_bytes: int = 0
    tokens_encoded: int = 0
    checked: int = 0
    first_skipped: list[int] = field(default_factory=list)
    by_engine: dict[str, int] = field(default_factory=dict)


class DocumentEncoder:
    """Sends each document to the engine that may encode it, and checks a random share."""

    def __init__(self, task: EncodeTask, engine_name: EngineName) -> None:
        self._task = task
        self._engine = task.engines.open(engine_name)
        self._reference = task.engines.open("tokenizers") if engine_name == "fastokens" else None
        characters = task.engines.differing_characters if self._reference else ""
        self._differing = re.compile(f"[{re.escape(characters)}]") if characters else None
        self._random = random.Random(f"{task.fingerprint} {task.shard}")  # noqa: S311  (a choice, not a secret)
        self.tally = Tally()

    def encode(self, batch: TextBatch) -> tuple[np.ndarray, Encoded]:
        """The sample numbers and tokens of the documents of a batch that have any."""
        samples = np.arange(batch.first_sample, batch.first_sample + len(batch.texts))
        present = batch.texts
        if present.null_count:
            samples = samples[present.is_valid().to_numpy(zero_copy_only=False)]
            present = present.drop_null()
        texts = present.to_pylist()
        tally = self.tally
        tally.documents += len(batch.texts)
        tally.nulls += len(batch.texts) - len(texts)
        tally.replaced_characters += batch.replaced_characters
        size = int(pc.sum(pc.binary_length(batch.texts)).as_py() or 0)
        tally.text_bytes += size
        self._check(samples, texts, size)
        samples, encoded = self._encode_routed(samples, texts)
        lengths = np.diff(encoded.bounds)
        tally.tokens_encoded += len(encoded.ids)
        filled = lengths > 0
        tally.empty += int((~filled).sum())
        if not filled.all():
            samples = samples[filled]
            encoded = Encoded(encoded.ids, np.concatenate([encoded.bounds[:1], encoded.bounds[1:][filled]]))
        return samples, encoded

    def _encode_routed(self, samples: np.ndarray, texts: list[str]) -> tuple[np.ndarray, Encoded]:
        if self._differing is None or self._reference is None:
            return self._encode_with(self._engine, samples, texts)
        search = self._differing.search
        is_differing = np.array([search(text) is not None for text in texts], bool)
        if not is_differing.any():
            return self._encode_with(self._engine, samples, texts)
        parts = []
        for engine, chosen in ((self._engine, ~is_differing), (self._reference, is_differing)):
            indices = np.flatnonzero(chosen)
            parts.append(self._encode_with(engine, samples[indices], [texts[index] for index in indices]))
        return merge_encoded(parts)

    def _encode_with(self, engine: Engine, samples: np.ndarray, texts: Sequence[str]) -> tuple[np.ndarray, Encoded]:
        if not texts:
            return samples, Encoded(np.zeros(0, np.uint32), np.zeros(1, np.int64))
        try:
            encoded = engine.encode(texts)
        except Exception:  # noqa: BLE001  (engines raise anything; which text it was is found out one by one)
            # Only Hugging Face's engine decides that a text cannot be encoded.
            engine = self._reference or engine
            samples, encoded = self._encode_one_by_one(engine, samples, texts)
        by_engine = self.tally.by_engine
        by_engine[engine.name] = by_engine.get(engine.name, 0) + len(encoded)
        return samples, encoded

    def _encode_one_by_one(
        self, engine: Engine, samples: np.ndarray, texts: Sequence[str]
    ) -> tuple[np.ndarray, Encoded]:
        found: list[tuple[np.ndarray, Encoded]] = []
        for index, text in enumerate(texts):
            if self._task.stop_file.exists():
                raise Stopped("Tokenization")
            sample = samples[index : index + 1]
            try:
                found.append((sample, engine.encode([text])))
            except Exception as error:  # noqa: BLE001  (whatever the engine says is the reason)
                self._refuse(int(sample[0]), error)
        if not found:
            return samples[:0], Encoded(np.zeros(0, np.uint32), np.zeros(1, np.int64))
        return merge_encoded(found)

    def _refuse(self, sample: int, error: Exception) -> None:
        if not self._task.skip_invalid:
            raise MistudioError(
                ErrorCode.TOKENIZATION_FAILED,
                f"Sample {sample} (split {self._task.split}) cannot be tokenized: {str(error)[:300]}.",
                "Mend the text, choose another tokenizer, or set skip_invalid to skip and count such samples.",
                details={"sample": sample, "split": self._task.split},
            ) from error
        self.tally.skipped += 1
        if len(self.tally.first_skipped) < _NAMED_SKIPPED_SAMPLES:
            self.tally.first_skipped.append(sample)

    def _check(self, samples: np.ndarray, texts: list[str], size: int) -> None:
        """Encode random stretches of real text with both engines.

        Raises:
            EnginesDifferError: With the sample where they differ.
        """
        if self._reference is None or not texts:
            return
        chosen = [self._random.randrange(len(texts)) for _ in range(max(1, size // _BYTES_FOR_EACH_CHECK))]
        stretches = []
        for index in chosen:
            begin = self._random.randrange(max(1, len(texts[index]) - _CHECKED_CHARACTERS))
            stretches.append(texts[index][begin : begin + _CHECKED_CHARACTERS])
        wanted = [
            number
            for number, text in enumerate(stretches)
            if self._differing is None or not self._differing.search(text)
        ]
        stretches = [stretches[number] for number in wanted]
        if not stretches:
            return
        theirs = self._reference.encode(stretches)
        try:
            ours = self._engine.encode(stretches)
        except Exception as error:
            raise EnginesDifferError(int(samples[chosen[wanted[0]]])) from error
        for position, number in enumerate(wanted):
            if not np.array_equal(ours.of(position), theirs.of(position)):
                raise EnginesDifferError(int(samples[chosen[number]]))
        self.tally.checked += len(stretches)


def merge_encoded(parts: Sequence[tuple[np.ndarray, Encoded]]) -> tuple[np.ndarray, Encoded]:
    """Put parts that were encoded apart back into the order of their samples.

    Args:
        parts: (int64 sample numbers in order, their tokens).
    """
    samples = np.concatenate([part for part, _ in parts])
    order = np.argsort(samples, kind="stable")
    lengths = np.concatenate([np.diff(encoded.bounds) for _, encoded in parts])
    starts = np.cumsum(lengths) - lengths
    ids = np.concatenate([encoded.ids for _, encoded in parts])
    bounds = np.zeros(len(samples) + 1, np.int64)
    np.cumsum(lengths[order], out=bounds[1:])
    source = np.repeat(starts[order] - bounds[:-1], lengths[order]) + np.arange(len(ids))
    return samples[order], Encoded(ids[source], bounds)
