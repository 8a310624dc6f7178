"""Tokenization presets: what a preset says, and keeping it under a name.

What belongs here: the model, its storage, and when two presets are the same. What does not: whether a preset fits
its tokenizer (`validation.py`).
"""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from mistudio_pipelines.errors import ErrorCode, MistudioError
from mistudio_pipelines.store.atomic import write_json
from mistudio_pipelines.store.layout import DataStore

Mode = Literal["packed", "padded", "per_document"]
SpecialToken = Literal["auto", "bos", "eos", "sep"] | int | None
TokenType = Literal["int32", "int64", "uint16", "uint32"]


class TokenizationPreset(BaseModel):
    """How texts become rows of tokens; every field's description is shown as help where it is asked for."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    format_version: Literal[1] = 1
    name: str = Field(description="Name of the preset, for example gpt2-1024: letters, digits, '-' and '_'.")
    tokenizer: str = Field(
        min_length=1,
        description="The tokenizer: id of a model on the Hugging Face Hub (openai-community/gpt2), or a folder.",
    )
    tokenizer_revision: str | None = Field(
        None, description="Branch, tag or commit on the Hub; the default branch otherwise. Pinned when saved."
    )
    tokenizer_sha256: str | None = Field(
        None, description="Content hash of the tokenizer. Filled in when saved; a tokenizer that changed is refused."
    )
    token_name: str | None = Field(
        None, description="Name of the secret to use for a private or gated tokenizer (never the secret itself)."
    )
    mode: Mode = Field(
        "packed",
        description="packed: documents are joined into rows of exactly the context size (what SAE trainers want). "
        "padded: each document in rows of its own, padded, with attention_mask. "
        "per_document: rows of exactly the context size from one document each; shorter documents are dropped.",
    )
    context_size: int | None = Field(
        None, ge=1, description="Tokens in a row, or the most of a padded row. Default: the model's maximum length."
    )
    truncation: Literal["truncate", "split", "none"] = Field(
        "truncate",
        description="Documents longer than a row (modes padded and per_document). truncate: the rest is dropped and "
        "counted. split: it goes on in further rows. none: rows as long as their document (mode padded only).",
    )
    stride: int = Field(
        0, ge=0, description="Tokens that consecutive rows of a split document have in common (truncation split)."
    )
    padding: Literal["max_length", "longest", "do_not_pad"] = Field(
        "max_length",
        description="Mode padded. max_length: to the context size. longest: to the longest row of the dataset. "
        "do_not_pad: rows of different length.",
    )
    add_special_tokens: bool = Field(
        True, description="Add the special tokens that the tokenizer itself puts around a document ([CLS], <s>, …)."
    )
    begin_of_batch: SpecialToken = Field(
        "auto",
        description="Token that begins each row (packed, per_document): bos, eos, sep, a token id, or nothing. "
        "auto: bos where the tokenizer has one. Never doubled.",
    )
    begin_of_sequence: SpecialToken = Field(
        None, description="Token that begins each document (packed, per_document): bos, eos, sep, an id, or nothing."
    )
    separator: SpecialToken = Field(
        "auto",
        description="Token between two documents in one row (packed): bos, eos, sep, a token id, or nothing. "
        "auto: bos where the tokenizer has one.",
    )
    shuffle_seed: int | None = Field(
        None, ge=0, lt=2**63, description="Shuffle the rows of each split with this seed; in document order otherwise."
    )
    column_name: str = Field(
        "input_ids",
        pattern=r"^[A-Za-z_][A-Za-z0-9_]{0,62}$",
        description="Column that holds the tokens: input_ids, or tokens for older trainers.",
    )
    dtype: TokenType = Field("int32", description="Type of a token in the output.")
    skip_invalid: bool = Field(
        False, description="Skip and count a sample that the tokenizer refuses, instead of stopping at it."
    )
    splits: tuple[str, ...] | None = Field(None, description="Splits to tokenize; all otherwise.")
    keep_sources: bool = Field(
        True, description="Keep which document and offset every token came from (a few bytes for each document)."
    )

    @property
    def row_size(self) -> int:
        """The context size of a saved preset.

        Raises:
            MistudioError: `invalid_preset` where it is not known yet.
        """
        if self.context_size is None:
            raise MistudioError(
                ErrorCode.INVALID_PRESET,
                f"Preset {self.name} has no context size.",
                "Save it first; that fills it in from the tokenizer.",
            )
        return self.context_size


class SavedPreset(BaseModel):
    """A preset as it lies on disk.

    Attributes:
        preset: With everything filled in and pinned.
        requested: As it was asked for.
    """

    model_config = ConfigDict(frozen=True)

    format_version: Literal[1] = 1
    preset: TokenizationPreset
    requested: TokenizationPreset


def save_preset(store: DataStore, preset: TokenizationPreset) -> TokenizationPreset:
    """Validate a preset, pin its tokenizer, and keep it under its name.

    A saved preset never changes, because tokenizations refer to it. Saving the same again does nothing.

    Args:
        store: The data folder.
        preset: What is asked for.

    Returns:
        The preset with everything filled in: tokenizer commit and hash, context size, special tokens.

    Raises:
        MistudioError: `preset_exists` where the name holds another preset; `invalid_preset`, `tokenizer_not_found`
            and the errors of the Hub where it does not fit.
    """
    from mistudio_pipelines.tokenization.validation import resolve_preset

    path = store.preset(preset.name)
    if path.exists():
        existing = _read(path)
        if preset in (existing.requested, existing.preset):
            return existing.preset
        different = differing_fields(existing, preset)
        raise MistudioError(
            ErrorCode.PRESET_EXISTS,
            f"Preset {preset.name} exists already, with another {' and '.join(different)}.",
            "Save this one under a new name: a saved preset never changes.",
            details={"different": different},
        )
    resolved = resolve_preset(store, preset)
    saved = SavedPreset(preset=resolved, requested=preset)
    write_json(path, saved.model_dump(mode="json"))
    return resolved


def differing_fields(existing: SavedPreset, preset: TokenizationPreset) -> list[str]:
    """Names of the fields in which a request differs from what a saved preset was asked for."""
    return [
        field
        for field in TokenizationPreset.model_fields
        if getattr(preset, field) not in (getattr(existing.requested, field), getattr(existing.preset, field))
    ] or ["tokenizer_revision"]


def load_preset(store: DataStore, name: str) -> TokenizationPreset:
    """Read a saved preset.

    Raises:
        MistudioError: `unknown_preset` where there is none, `data_corrupt` where it cannot be read.
    """
    path = store.preset(name)
    if not path.exists():
        known = [preset.name for preset in list_presets(store)]
        raise MistudioError(
            ErrorCode.UNKNOWN_PRESET,
            f"There is no preset {name}.",
            f"Saved presets: {', '.join(known)}." if known else "Save one: `mistudio tokenization save`.",
            details={"presets": known},
        )
    return _read(path).preset


def list_presets(store: DataStore) -> list[TokenizationPreset]:
    """All saved presets that can be read, by name."""
    folder = store.metadata_root / "presets"
    presets = []
    for path in sorted(folder.glob("*.json")):
        try:
            presets.append(_read(path).preset)
        except MistudioError:
            # One damaged file must not hide the others; using it by name says what is wrong with it.
            continue
    return presets


def _read(path: Path) -> SavedPreset:
    try:
        return SavedPreset.model_validate_json(path.read_bytes())
    except (OSError, ValidationError, ValueError) as error:
        raise MistudioError(
            ErrorCode.DATA_CORRUPT,
            f"The preset file {path.name} cannot be read.",
            "Restore it from a backup, or remove it and save the preset again under a new name.",
        ) from error
