"""What a finished tokenization says of itself: `tokenization.json` and the value that tokenizing returns.

What belongs here: the models, and the equation that must balance. What does not: checking files (`proof.py`).
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict

from mistudio_pipelines.tokenization.loading import TokenizerIdentity
from mistudio_pipelines.tokenization.presets import TokenizationPreset
from mistudio_pipelines.tokenization.statistics import TokenStatistics

TOKENIZATION_NAME = "tokenization.json"
# Counts up whenever the same input and preset would give other files.
TOKENIZATION_CODE_VERSION = "1"


class Counts(BaseModel):
    """Where every document and every token went.

    Attributes:
        documents: Samples read.
        nulls: Of them without text.
        skipped: Of them refused by the tokenizer.
        empty: Of them encoded to no token.
        replaced_characters: Invalid UTF-8 sequences that were read as U+FFFD.
        text_bytes: Bytes of UTF-8 encoded.
        tokens_encoded: Tokens that the tokenizer gave.
        specials_added: Tokens in rows that were put there beside: heads, separators, begins, prefixes, suffixes.
        repeated: Tokens that are in a further row because of the stride.
        tail: Encoded tokens at the end of a split that fill no row.
        truncated: Encoded tokens of long documents that are in no row.
        dropped: Encoded tokens of short documents, and of last parts, that fill no row.
        rows: Rows.
        row_tokens: Tokens in rows, padding left out, counted while the rows were written.
        padded: Padding in rows.
    """

    model_config = ConfigDict(frozen=True)

    documents: int = 0
    nulls: int = 0
    skipped: int = 0
    empty: int = 0
    replaced_characters: int = 0
    text_bytes: int = 0
    tokens_encoded: int = 0
    specials_added: int = 0
    repeated: int = 0
    tail: int = 0
    truncated: int = 0
    dropped: int = 0
    rows: int = 0
    row_tokens: int = 0
    padded: int = 0

    def __add__(self, other: Counts) -> Counts:
        return Counts(**{name: getattr(self, name) + getattr(other, name) for name in Counts.model_fields})

    def imbalance(self) -> int:
        """Tokens that are unaccounted for: 0 where none was lost or invented."""
        used = self.row_tokens - self.specials_added - self.repeated
        return self.tokens_encoded - (used + self.tail + self.truncated + self.dropped)


class ShardCounts(BaseModel):
    """One shard of the input: what went in and what became of it.

    Attributes:
        shard: Its number.
        split: Its split.
        documents: Samples read.
        nulls: Without text.
        skipped: Refused by the tokenizer.
        empty: Encoded to no token.
        tokens_encoded: Tokens that the tokenizer gave.
        specials_added: Separators and begins put into the stream.
        stream_length: Tokens of the shard in the stream of its split; must be the sum of the two before.
        rows: Rows that begin in it.
        tail: Encoded tokens of it that fill no row at the end of the split.
        truncated: Tokens of long documents that are in no row.
        dropped: Tokens of short documents that are in no row.
        engines: How many documents each engine encoded.
        checked: Stretches of text that two engines encoded the same.
        difference: Sample where the engines differed, which made the shard start again.
    """

    model_config = ConfigDict(frozen=True)

    shard: int
    split: str
    documents: int
    nulls: int
    skipped: int
    empty: int
    tokens_encoded: int
    specials_added: int
    stream_length: int
    rows: int
    tail: int
    truncated: int
    dropped: int
    engines: dict[str, int]
    checked: int
    difference: int | None = None


class TokenFile(BaseModel):
    """One Parquet file of rows.

    Attributes:
        path: Inside the tokenization's folder.
        split: Its split.
        rows: Its rows.
        tokens: Tokens in it, padding left out.
        padded: Padding in it.
        size: Its bytes.
        sha256: Of its bytes.
        sources: The file that says where its tokens came from, or None.
        sources_sha256: Of that file.
    """

    model_config = ConfigDict(frozen=True)

    path: str
    split: str
    rows: int
    tokens: int
    padded: int
    size: int
    sha256: str
    sources: str | None = None
    sources_sha256: str | None = None


class EngineReport(BaseModel):
    """Which engine encoded, and why.

    Attributes:
        engine: The engine that was chosen.
        version: Its version.
        reason: One sentence.
        documents: How many documents each engine encoded.
        checked: Stretches of real text that were encoded by two engines and gave the same.
        differing_characters: Number of characters whose documents went to Hugging Face's engine.
        differences: Samples where the engines differed while running; their shards were encoded again.
    """

    model_config = ConfigDict(frozen=True)

    engine: str
    version: str
    reason: str
    documents: dict[str, int]
    checked: int
    differing_characters: int
    differences: tuple[int, ...] = ()


class Source(BaseModel):
    """What was tokenized.

    Attributes:
        repository: Hub id, or None for local files.
        config: Config of the repository.
        revision: Commit of the Hub, or content hash of local files.
        text_column: The column of texts.
        files: Name to sha256 of the raw files.
    """

    model_config = ConfigDict(frozen=True)

    repository: str | None
    config: str | None
    revision: str
    text_column: str
    files: dict[str, str]


class Tokenization(BaseModel):
    """The whole of `tokenization.json`.

    Attributes:
        code_version: `TOKENIZATION_CODE_VERSION` when it was made.
        fingerprint: Of everything that decides about the rows.
        dataset_id: The dataset.
        source: What was tokenized.
        preset: How.
        tokenizer: With which tokenizer.
        pad_id: Id of the padding, or None where nothing is padded.
        width: Tokens in each row, padding included, or None for rows of different length.
        engine: Which engine encoded, and why.
        libraries: Versions of what decides about ids and files.
        counts: In all.
        counts_by_split: For each split.
        shards: For each shard of the input.
        files: The files of rows.
        statistics: Of the tokens.
        bytes: Of the whole folder, this file left out.
        seconds: Time it took, resumed work left out.
        created_at: When it was finished, UTC.
    """

    model_config = ConfigDict(frozen=True)

    format_version: Literal[1] = 1
    code_version: str
    fingerprint: str
    dataset_id: str
    source: Source
    preset: TokenizationPreset
    tokenizer: TokenizerIdentity
    pad_id: int | None
    width: int | None
    engine: EngineReport
    libraries: dict[str, str]
    counts: Counts
    counts_by_split: dict[str, Counts]
    shards: tuple[ShardCounts, ...]
    files: tuple[TokenFile, ...]
    statistics: TokenStatistics
    bytes: int
    seconds: float
    created_at: datetime

    @property
    def rows_by_split(self) -> dict[str, int]:
        """Rows of each split."""
        return {split: counts.rows for split, counts in self.counts_by_split.items()}


@dataclass(frozen=True)
class TokenizationResult:
    """What `tokenize_dataset` returns.

    Attributes:
        tokenization: The content of `tokenization.json`.
        unchanged: True where it was there already and nothing was done.
    """

    tokenization: Tokenization
    unchanged: bool

    @property
    def counts(self) -> Counts:
        """Where every document and token went."""
        return self.tokenization.counts

    @property
    def statistics(self) -> TokenStatistics:
        """Statistics of the tokens."""
        return self.tokenization.statistics

    @property
    def engine(self) -> EngineReport:
        """Which engine encoded, and why."""
        return self.tokenization.engine

    @property
    def tokenizer(self) -> TokenizerIdentity:
        """Exactly which tokenizer."""
        return self.tokenization.tokenizer

    @property
    def bytes(self) -> int:
        """Bytes on disk."""
        return self.tokenization.bytes

    @property
    def rows_by_split(self) -> dict[str, int]:
        """Rows of each split."""
        return self.tokenization.rows_by_split

    def as_dict(self) -> dict[str, Any]:
        """Everything as plain values."""
        return {**self.tokenization.model_dump(mode="json"), "unchanged": self.unchanged}
