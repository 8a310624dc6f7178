"""Statistics of a dataset as tools and the panel's charts take them."""

from __future__ import annotations

from datetime import datetime

from pydantic import BaseModel, Field


class DistributionBin(BaseModel):
    """Samples whose number of tokens lies in a range."""

    range: str = Field(description="First and last number of tokens.", examples=["100-199"])
    count: int


class StatisticsSummary(BaseModel):
    """The numbers that describe a dataset's texts. A token is what is between white space."""

    total_samples: int = Field(examples=[10_000])
    total_tokens: int
    avg_tokens_per_sample: float
    median_tokens_per_sample: float
    min_tokens: int
    max_tokens: int
    unique_tokens: int = Field(description="Size of the vocabulary.")
    splits: dict[str, int] = Field(description="Samples of each split.", examples=[{"train": 9000, "test": 1000}])
    token_distribution: list[DistributionBin] = Field(description="20 bins, equally wide.")


class WordCount(BaseModel):
    """A word and how often it occurs."""

    word: str
    count: int


class TextNumbers(BaseModel):
    """The texts of one split, or of all."""

    samples: int
    tokens: int
    min_tokens: int
    max_tokens: int
    mean_tokens: float
    median_tokens: float
    p5_tokens: float
    p95_tokens: float
    p99_tokens: float
    vocabulary: int
    characters: int
    bytes: int
    nulls: int
    empties: int
    blanks: int
    duplicates: int
    replacement_characters: int
    invalid_sequences: int
    histogram_edges: list[float] = Field(description="21 ascending numbers of tokens.")
    histogram_counts: list[int] = Field(description="Samples in each of the 20 bins.")


class ColumnNumbers(BaseModel):
    """A column beside the text."""

    name: str
    type: str = Field(examples=["string"])
    nulls: int
    distinct: int | None
    minimum: str | None
    maximum: str | None


class FullStatistics(StatisticsSummary):
    """Everything that was counted."""

    computed_at: datetime
    seconds: float
    text_column: str
    total: TextNumbers
    by_split: dict[str, TextNumbers]
    most_frequent_words: list[WordCount]
    columns: list[ColumnNumbers]
    storage: dict[str, int] = Field(
        description="Bytes on disk: raw, index, and each tokenization.",
        examples=[{"raw": 1_000_000, "index": 400_000, "gpt2-1024": 1_200_000}],
    )
