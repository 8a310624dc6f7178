"""Whether a preset fits its tokenizer, and what its open fields become.

What belongs here: pure decisions about a preset and a loaded tokenizer. Every refusal comes before any work.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from mistudio_pipelines.errors import ErrorCode, MistudioError
from mistudio_pipelines.store.layout import DataStore
from mistudio_pipelines.tokenization.loading import (
    TokenizerIdentity,
    load_tokenizer,
    model_vocabulary_size,
    pin_revision,
    tokenizer_folder,
    tokenizer_identity,
)
from mistudio_pipelines.tokenization.presets import SpecialToken, TokenizationPreset

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

_LARGEST_ID = {"int32": 2**31 - 1, "int64": 2**63 - 1, "uint16": 2**16 - 1, "uint32": 2**32 - 1}
_RESERVED_COLUMNS = {"attention_mask"}


def resolve_preset(store: DataStore, preset: TokenizationPreset) -> TokenizationPreset:
    """Load the tokenizer, check the preset against it, and fill in and pin what was left open.

    Raises:
        MistudioError: `invalid_preset`, or what loading the tokenizer raises.
    """
    commit = pin_revision(store, preset.tokenizer, preset.tokenizer_revision, preset.token_name)
    tokenizer = load_tokenizer(store, preset.tokenizer, commit, preset.token_name)
    folder = tokenizer_folder(preset.tokenizer)
    name = preset.tokenizer if folder is None else str(folder.resolve())
    embedding = model_vocabulary_size(store, preset.tokenizer, commit, preset.token_name)
    identity = tokenizer_identity(tokenizer, name, commit, embedding)
    return fill_preset(preset, tokenizer, identity)


def fill_preset(
    preset: TokenizationPreset, tokenizer: PreTrainedTokenizerBase, identity: TokenizerIdentity
) -> TokenizationPreset:
    """The preset with its open fields filled in from the tokenizer, checked.

    Raises:
        MistudioError: `invalid_preset`.
    """
    begin_of_batch, begin_of_sequence, separator = (
        _known_token(choice, field, identity) if preset.mode != "padded" else None
        for field, choice in (
            ("begin_of_batch", preset.begin_of_batch),
            ("begin_of_sequence", preset.begin_of_sequence),
            ("separator", preset.separator),
        )
    )
    filled = preset.model_copy(
        update={
            "tokenizer": identity.name,
            "tokenizer_revision": identity.revision,
            "tokenizer_sha256": identity.sha256,
            "context_size": _context_size(preset, identity),
            "begin_of_batch": begin_of_batch,
            "begin_of_sequence": begin_of_sequence,
            "separator": separator if preset.mode == "packed" else None,
        }
    )
    _check_mode(filled)
    _check_room(filled, tokenizer, identity)
    _check_padding(filled, identity)
    _check_column_and_type(filled, identity)
    if filled.splits is not None and not filled.splits:
        raise _invalid(filled, "names no split", "Leave splits out for all of them.")
    return filled


def special_token_id(choice: SpecialToken, identity: TokenizerIdentity) -> int | None:
    """The id that a special token of a saved preset means."""
    return identity.special_tokens[choice] if isinstance(choice, str) else choice


def _invalid(preset: TokenizationPreset, what: str, next_step: str) -> MistudioError:
    return MistudioError(ErrorCode.INVALID_PRESET, f"Preset {preset.name} {what}.", next_step)


def _known_token(choice: SpecialToken, field: str, identity: TokenizerIdentity) -> SpecialToken:
    has = ", ".join(f"{kind} ({identity.special_tokens[kind]})" for kind in identity.special_tokens) or "none"
    if choice == "auto":
        return "bos" if "bos" in identity.special_tokens else None
    if isinstance(choice, str) and choice not in identity.special_tokens:
        raise MistudioError(
            ErrorCode.INVALID_PRESET,
            f"The tokenizer {identity.name} has no {choice} token for {field}.",
            f"It has: {has}. Choose one of bos, eos, sep that it has, a token id, or nothing.",
        )
    if isinstance(choice, int) and not 0 <= choice < identity.vocabulary_size:
        raise MistudioError(
            ErrorCode.INVALID_PRESET,
            f"Token id {choice} for {field} is outside the vocabulary of {identity.name}.",
            f"Ids are from 0 to {identity.vocabulary_size - 1}.",
        )
    return choice


def _context_size(preset: TokenizationPreset, identity: TokenizerIdentity) -> int:
    longest = identity.model_max_length
    if preset.context_size is None:
        if longest is None:
            raise _invalid(
                preset,
                f"needs a context size: the tokenizer {identity.name} does not say its model's",
                "Set context_size to the model's context, for example 2048.",
            )
        return longest
    if longest is not None and preset.context_size > longest:
        raise _invalid(
            preset,
            f"has a context size of {preset.context_size}, more than the model's {longest}",
            f"Choose {longest} or less.",
        )
    return preset.context_size


def _check_mode(preset: TokenizationPreset) -> None:
    if preset.truncation == "none" and preset.mode != "padded":
        raise _invalid(
            preset, f"asks for truncation none in mode {preset.mode}", "Use truncate or split, or mode padded."
        )
    if preset.truncation == "none" and preset.padding == "max_length":
        raise _invalid(
            preset,
            "pads to the context size but lets rows be longer (truncation none)",
            "Use padding longest or do_not_pad, or truncation truncate or split.",
        )
    if preset.stride and (preset.truncation != "split" or preset.mode == "packed"):
        raise _invalid(
            preset,
            "has a stride but does not split documents",
            "A stride needs truncation split and mode padded or per_document.",
        )


def _check_room(preset: TokenizationPreset, tokenizer: PreTrainedTokenizerBase, identity: TokenizerIdentity) -> None:
    """A row must have room for at least one token of a document beside what is added to every row."""
    if preset.mode == "padded":
        added = len(tokenizer("")["input_ids"]) if preset.add_special_tokens else 0
    else:
        tokens = (preset.begin_of_batch, preset.begin_of_sequence)
        added = len({special_token_id(token, identity) for token in tokens if token is not None})
    if preset.row_size <= added + preset.stride:
        raise _invalid(
            preset,
            f"has a context size of {preset.row_size}, but special tokens and stride take {added + preset.stride}",
            "Choose a larger context size or a smaller stride.",
        )


def _check_padding(preset: TokenizationPreset, identity: TokenizerIdentity) -> None:
    if preset.mode != "padded" or preset.padding == "do_not_pad":
        return
    pad = identity.special_tokens.get("pad")
    if pad is None:
        raise _invalid(
            preset,
            f"asks for padding, but the tokenizer {identity.name} has no pad token",
            "Use padding do_not_pad, mode packed, or a tokenizer folder whose tokenizer_config.json names a pad_token.",
        )
    embedding = identity.model_vocabulary_size
    if embedding is not None and pad >= embedding:
        raise _invalid(
            preset,
            f"would pad with id {pad}, outside the model's vocabulary of {embedding}",
            "Name a pad_token of the vocabulary in tokenizer_config.json, or use padding do_not_pad.",
        )


def _check_column_and_type(preset: TokenizationPreset, identity: TokenizerIdentity) -> None:
    if preset.column_name in _RESERVED_COLUMNS:
        raise _invalid(preset, f"names its column {preset.column_name}", "Use input_ids or tokens.")
    if identity.vocabulary_size - 1 > _LARGEST_ID[preset.dtype]:
        raise _invalid(
            preset,
            f"stores tokens as {preset.dtype}, too small for {identity.vocabulary_size} ids",
            "Use int32.",
        )
