"""What a tokenizer makes of one text, piece by piece."""

from __future__ import annotations

from dataclasses import dataclass

from mistudio_pipelines.errors import ErrorCode, MistudioError
from mistudio_pipelines.store.layout import DataStore
from mistudio_pipelines.tokenization.loading import load_tokenizer


@dataclass(frozen=True)
class Piece:
    """One token of a text.

    Attributes:
        id: Its id.
        text: The characters it stands for; for a special token that was added, its name. A character that several
            tokens share (a byte each, for example) stands with each of them.
        start: First character, or None where the token stands for none or the tokenizer does not say.
        end: One after the last.
        special: True for special tokens.
    """

    id: int
    text: str
    start: int | None
    end: int | None
    special: bool


def preview_tokens(
    store: DataStore,
    tokenizer: str,
    text: str,
    *,
    revision: str | None = None,
    token_name: str | None = None,
    add_special_tokens: bool = True,
) -> list[Piece]:
    """The tokens of one text, in order.

    Args:
        store: The data folder.
        tokenizer: Hub id or folder.
        text: The text.
        revision: Branch, tag or commit on the Hub.
        token_name: Name of the secret to use for the Hub.
        add_special_tokens: Whether the tokenizer's own special tokens are added.

    Raises:
        MistudioError: What loading raises; `tokenization_failed` where the text cannot be encoded.
    """
    loaded = load_tokenizer(store, tokenizer, revision, token_name)
    with_offsets = loaded.is_fast
    try:
        output = loaded(
            text,
            add_special_tokens=add_special_tokens,
            truncation=False,
            padding=False,
            return_offsets_mapping=with_offsets,
            verbose=False,
        )
    except Exception as error:
        raise MistudioError(
            ErrorCode.TOKENIZATION_FAILED,
            f"The tokenizer {tokenizer} cannot encode this text: {str(error)[:300]}.",
            "Choose another tokenizer for it.",
        ) from error
    ids = output["input_ids"]
    offsets = output["offset_mapping"] if with_offsets else [(0, 0)] * len(ids)
    special = set(loaded.all_special_ids)
    names = loaded.convert_ids_to_tokens(ids)
    return [
        Piece(
            id=token,
            text=text[start:end] if end > start else name or "",
            start=start if end > start else None,
            end=end if end > start else None,
            special=token in special,
        )
        for token, name, (start, end) in zip(ids, names, offsets, strict=True)
    ]
