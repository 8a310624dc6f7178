"""Samples of a dataset."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from mistudio_pipelines.api.models.common import Pagination

_SAMPLE_EXAMPLE: dict[str, Any] = {
    "id": 234,
    "text": "Once upon a time, there was a brave knight who went on an adventure …",
    "text_truncated": True,
    "tokens": ["Once", "upon", "a", "time,", "there"],
    "token_count": 247,
    "split": "train",
    "snippets": [
        {
            "text": "a brave knight who went on an adventure to find",
            "highlights": [[30, 39]],
            "starts_inside": True,
            "ends_inside": True,
        }
    ],
    "metadata": {"theme": "adventure"},
}


class SampleSnippet(BaseModel):
    """A piece of a text around what was searched. Plain text: highlights are places in it, never markup."""

    text: str
    highlights: list[tuple[int, int]] = Field(description="First character and one past the last, ascending.")
    starts_inside: bool = Field(description="The text goes on before it.")
    ends_inside: bool = Field(description="The text goes on after it.")


class SampleItem(BaseModel):
    """A sample on a page."""

    model_config = ConfigDict(json_schema_extra={"examples": [_SAMPLE_EXAMPLE]})

    id: int = Field(description="Its number in the dataset, from 0.")
    text: str | None = Field(description="Its text, at most `text_limit` characters of it; null where it has none.")
    text_truncated: bool = Field(description="The whole text is at `GET /api/datasets/{id}/samples/{number}`.")
    tokens: list[str] = Field(description="Its first whitespace tokens, at most 20.")
    token_count: int
    split: str
    snippets: list[SampleSnippet]
    metadata: dict[str, Any] = Field(description="Its other columns; long values are cut, bytes only counted.")


class SamplesMeta(BaseModel):
    """About the search."""

    elapsed_ms: float
    removed_by: str | None = Field(
        description="Why there is nothing to show, as a sentence.",
        examples=["12 samples match the search, but none of these has 500 to 1,000 tokens."],
    )


class SamplesPage(BaseModel):
    """A page of samples."""

    data: list[SampleItem]
    pagination: Pagination
    meta: SamplesMeta


class WholeSample(BaseModel):
    """One sample, whole."""

    id: int
    text: str | None
    metadata: dict[str, Any]


class TokenPiece(BaseModel):
    """One token of a text."""

    id: int
    text: str = Field(description="The characters it stands for; for a special token its name.")
    start: int | None = Field(description="First character in the text.")
    end: int | None = Field(description="One past the last.")
    special: bool


class SampleTokens(BaseModel):
    """The tokens that a tokenizer makes of a sample."""

    tokenizer: str
    total: int = Field(description="Tokens of the part of the text that was tokenized.")
    text_truncated: bool = Field(description="Only the beginning of the text was tokenized.")
    pieces: list[TokenPiece]
