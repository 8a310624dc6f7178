"""Presets, the tokenizations made with them, and estimates."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, create_model

from mistudio_pipelines.api.models.common import PresetName, SecretName, Strict
from mistudio_pipelines.tokenization.presets import TokenizationPreset

FILLED_IN_WHEN_SAVED = frozenset({"format_version", "tokenizer_sha256"})
SPECIAL_TOKEN_FIELDS = ("begin_of_batch", "begin_of_sequence", "separator")

Tokenizer = Annotated[str, Field(min_length=1, max_length=500, examples=["openai-community/gpt2"])]


class DatasetTokenization(BaseModel):
    """A tokenization of a dataset: finished, being made, or failed."""

    preset: str
    state: Literal["ready", "waiting", "running", "failed", "interrupted", "lost", "canceled", "damaged"]
    progress: float | None = Field(None, description="Percent, while it is made and it is known.")
    detail: str | None = Field(None, examples=["45% 12,000 rows of 26,000 rows 300 rows/s 46s left"])
    job_id: str | None = None
    error_code: str | None = None
    error_message: str | None = None
    tokenizer: str | None = Field(None, description="This and what follows: null until it is finished.")
    mode: str | None = Field(None, examples=["packed"])
    context_size: int | None = None
    rows: int | None = None
    rows_by_split: dict[str, int] | None = None
    tokens: int | None = Field(None, description="Tokens in rows, padding left out.")
    bytes: int | None = None
    tokenized_path: str | None = None
    created_at: datetime | None = None


class StartRequest(Strict):
    """A saved preset to tokenize a dataset with."""

    model_config = ConfigDict(extra="forbid", json_schema_extra={"examples": [{"preset": "gpt2-1024"}]})

    preset: PresetName


class EstimateRequest(Strict):
    """Tokenizers to compare on texts of a dataset."""

    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra={"examples": [{"tokenizers": ["openai-community/gpt2"], "context_size": 1024}]},
    )

    tokenizers: list[Tokenizer] = Field(min_length=1, max_length=5)
    context_size: int | None = Field(None, ge=1, le=1_000_000, description="Tokens in a row; null: each model's own.")
    token_name: SecretName | None = Field(None, description="NAME of the secret to use for them, never a token.")


class TokenizationEstimate(BaseModel):
    """What tokenizing a dataset with one tokenizer would give, packed."""

    tokenizer: str
    vocabulary_size: int
    context_size: int
    tokens: int
    bytes_per_token: float
    rows: int
    disk_bytes: int
    minutes: float = Field(description="On this machine's cores.")
    engine: str
    sampled_documents: int
    exact: bool = Field(description="The whole dataset was the sample.")


class RowSource(BaseModel):
    """A stretch of a row that came from one document."""

    position: int = Field(description="Where it begins in the row.")
    length: int = Field(description="Its tokens.")
    sample: int = Field(description="Number of the document's sample.")
    offset: int = Field(description="Number of its first token among the document's tokens.")


class RowToken(BaseModel):
    """A token of a row."""

    id: int
    text: str = Field(
        description="What it stands for; for a special token its name. Empty: more of a character that began before."
    )
    special: bool = Field(description="It is a special token, or padding.")
    sample: int | None = Field(
        description="Number of the document's sample; null for tokens that were put in, and where it is not kept."
    )


class TokenRow(BaseModel):
    """A row of a tokenization."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "split": "train",
                    "row": 0,
                    "rows": 26_000,
                    "length": 1024,
                    "tokens": [
                        {"id": 50256, "text": "<|endoftext|>", "special": True, "sample": None},
                        {"id": 7454, "text": "Once", "special": False, "sample": 0},
                        {"id": 2402, "text": " upon", "special": False, "sample": 0},
                    ],
                    "sources": [{"position": 1, "length": 1023, "sample": 0, "offset": 0}],
                }
            ]
        }
    )

    split: str
    row: int = Field(description="Its number in the split, from 0, as `datasets.load_dataset` counts.")
    rows: int = Field(description="Rows of the split.")
    length: int = Field(description="Its tokens, padding included.")
    tokens: list[RowToken] = Field(description="The first of them, at most `limit`.")
    sources: list[RowSource] = Field(
        description="The documents that it was made of, in its order; `GET /api/datasets/{id}/samples/{sample}` shows "
        "one. Empty where the preset does not keep them."
    )


# The fields of a preset without those that are filled in when it is saved, so that the two cannot differ.
if TYPE_CHECKING:

    class _PresetFields(TokenizationPreset):
        """The fields of a preset that is asked for."""

else:
    _PresetFields = create_model(
        "_PresetFields",
        __config__=ConfigDict(extra="forbid"),
        **{
            name: (field.annotation, field)
            for name, field in TokenizationPreset.model_fields.items()
            if name not in FILLED_IN_WHEN_SAVED
        },
    )


class PresetRequest(_PresetFields):
    """A preset to save under a name."""

    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra={
            "examples": [{"name": "gpt2-1024", "tokenizer": "openai-community/gpt2", "context_size": 1024}]
        },
    )

    name: PresetName

    def form(self) -> dict[str, Any]:
        """The fields of the form of `save_tokenization`, which says nothing with the word `none`."""
        values = self.model_dump(mode="json")
        words = {name: "none" if values[name] is None else str(values[name]) for name in SPECIAL_TOKEN_FIELDS}
        return {name: value for name, value in {**values, **words}.items() if value is not None}
