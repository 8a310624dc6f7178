"""One row of a tokenization, read back: its ids, what each stands for, and the document that it came from.

What belongs here: reading one row for a person to look at. What does not: reading rows for training (any reader of
Parquet), where tokens came from (`sources.py`).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq

from mistudio_pipelines.errors import ErrorCode, MistudioError
from mistudio_pipelines.store.layout import DataStore
from mistudio_pipelines.text.utf8 import REPLACEMENT
from mistudio_pipelines.tokenization.loading import load_tokenizer
from mistudio_pipelines.tokenization.proof import read_tokenization
from mistudio_pipelines.tokenization.sources import SourceStretch, find_row, read_stretches

# SentencePiece's mark of a space before a piece, which decoding a single token leaves out.
_SPACE_BEFORE = "▁"
# A character has at most four bytes, each of which may be a token; the last may begin the next character.
_MOST_PARTS = 8


@dataclass(frozen=True)
class RowToken:
    """A token of a row.

    Attributes:
        id: Its id.
        text: What it stands for; for a special token its name. Empty where it goes on with a character that began in
            a token before.
        special: It is a special token, or padding.
        sample: Number of the sample that it came from; None for tokens that were put in, and where it is not known.
    """

    id: int
    text: str
    special: bool
    sample: int | None


@dataclass(frozen=True)
class RowPreview:
    """A row.

    Attributes:
        rows: Rows of the split.
        length: Tokens of the row, padding included.
        tokens: Its first tokens.
        sources: The documents that it was made of, in its order; empty where the preset keeps none.
    """

    rows: int
    length: int
    tokens: list[RowToken]
    sources: list[SourceStretch]


def preview_row(store: DataStore, dataset_id: str, preset: str, split: str, row: int, most: int) -> RowPreview:
    """Read one row back.

    Args:
        store: The data folder.
        dataset_id: The dataset.
        preset: The preset it is tokenized with.
        split: The split.
        row: Number of the row in the split, as `load_dataset` counts.
        most: Most tokens to decode.

    Raises:
        MistudioError: `data_missing`, `data_corrupt`; `invalid_query` where there is no such row; what loading the
            tokenizer raises.
    """
    tokenization = read_tokenization(store, dataset_id, preset)
    file, row_in_file = find_row(tokenization, split, row)
    folder = store.tokenized(dataset_id, preset)
    ids = _read_row(folder / file.path, tokenization.preset.column_name, row_in_file)
    sources = [] if file.sources is None else read_stretches(folder / file.sources, row_in_file)
    samples = samples_by_position(len(ids), sources)
    identity = tokenization.tokenizer
    loaded = load_tokenizer(store, identity.name, identity.revision, tokenization.preset.token_name)
    special = set(loaded.all_special_ids)
    shown = [int(token) for token in ids[:most]]
    texts = []
    for token, name in zip(shown, loaded.convert_ids_to_tokens(shown), strict=True):
        # A tokenizer may have fewer names than ids.
        text = str(name) if token in special or name is None else str(loaded.decode([token]))
        if name is not None and str(name).startswith(_SPACE_BEFORE) and not text.startswith(" "):
            text = f" {text}"
        texts.append(text)
    texts = join_cut_characters(texts, lambda start, end: str(loaded.decode(shown[start:end])))
    tokens = [RowToken(token, texts[place], token in special, samples[place]) for place, token in enumerate(shown)]
    return RowPreview(tokenization.rows_by_split[split], len(ids), tokens, sources)


def join_cut_characters(texts: Sequence[str], decode: Callable[[int, int], str]) -> list[str]:
    """Give a character that tokens cut to the first of them.

    Args:
        texts: What each token stands for by itself: U+FFFD where it holds some bytes of a character.
        decode: What the tokens from a place up to another stand for together.

    Returns:
        The same; where a few tokens together make whole characters the first has them all, the others are empty.
        What never becomes whole stays as it is: the text itself may hold U+FFFD.
    """
    joined = list(texts)
    place = 0
    while place < len(texts):
        end = place + 1
        if REPLACEMENT in texts[place]:
            for further in range(place + 2, min(place + _MOST_PARTS, len(texts)) + 1):
                if REPLACEMENT not in (together := decode(place, further)):
                    joined[place:further] = [together, *[""] * (further - place - 1)]
                    end = further
                    break
        place = end
    return joined


def samples_by_position(length: int, sources: list[SourceStretch]) -> list[int | None]:
    """For each token of a row the sample that it came from; None for what was put in.

    Args:
        length: Tokens of the row.
        sources: Its stretches.
    """
    samples: list[int | None] = [None] * length
    for one in sources:
        samples[one.position : one.position + one.length] = [one.sample] * one.length
    return samples[:length]


def _read_row(path: Path, column: str, row: int) -> np.ndarray:
    """The ids of a row of a file, int64; one row group is read."""
    with pq.ParquetFile(path) as file:
        first = 0
        for group in range(file.num_row_groups):
            rows = file.metadata.row_group(group).num_rows
            if row < first + rows:
                values = file.read_row_group(group, columns=[column], use_threads=False).column(column)
                return np.asarray(values[row - first].as_py(), np.int64)
            first += rows
    raise MistudioError(
        ErrorCode.DATA_CORRUPT,
        f"The file {path.name} has fewer rows than it should.",
        "Delete the tokenization and tokenize again.",
    )
