"""Engines: three ways to turn texts into the ids of `AutoTokenizer`, as flat buffers.

What belongs here: calling each engine, and building one in a worker from plain values. What does not: whether an
engine may be used (`engine_choice.py`, `engine_proof.py`).
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Protocol

import numpy as np

from mistudio_pipelines.errors import ErrorCode, MistudioError

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

EngineName = Literal["fastokens", "tokenizers", "transformers"]
_NO_IDS = np.zeros(0, np.uint32)
ENGINE_NAMES: tuple[EngineName, ...] = ("fastokens", "tokenizers", "transformers")


@dataclass(frozen=True)
class Encoded:
    """The ids of a batch of texts, one after the other.

    Attributes:
        ids: uint32, all tokens of the batch.
        bounds: int64, one more than texts; text i has `ids[bounds[i]:bounds[i + 1]]`.
    """

    ids: np.ndarray
    bounds: np.ndarray

    def __len__(self) -> int:
        return len(self.bounds) - 1

    def of(self, index: int) -> np.ndarray:
        """The ids of one text."""
        return self.ids[self.bounds[index] : self.bounds[index + 1]]


class Engine(Protocol):
    """Something that encodes texts. It raises whatever it likes for a text that it cannot encode."""

    name: EngineName

    def encode(self, texts: Sequence[str]) -> Encoded:
        """The ids of each text, as `AutoTokenizer(...)(text)` gives them, without truncation."""
        ...


class FastokensEngine:
    """The fast byte-level BPE engine.

    Args:
        tokenizer: The `fastokens.Tokenizer`.
        add_special_tokens: Whether the tokenizer's own special tokens are added.
    """

    name: EngineName = "fastokens"

    def __init__(self, tokenizer: Any, add_special_tokens: bool) -> None:
        self._tokenizer = tokenizer
        self._add_special_tokens = add_special_tokens

    def encode(self, texts: Sequence[str]) -> Encoded:
        """See `Engine`."""
        ids, bounds = self._tokenizer.encode_batch_flat(list(texts), add_special_tokens=self._add_special_tokens)
        return Encoded(np.frombuffer(ids, "<u4"), np.frombuffer(bounds, "<u8").astype(np.int64))


class TokenizersEngine:
    """Hugging Face's engine, called without the wrapping that transformers puts around it.

    Args:
        tokenizer: The `tokenizers.Tokenizer`.
        add_special_tokens: Whether the tokenizer's own special tokens are added.
    """

    name: EngineName = "tokenizers"

    def __init__(self, tokenizer: Any, add_special_tokens: bool) -> None:
        self._tokenizer = tokenizer
        self._add_special_tokens = add_special_tokens

    def encode(self, texts: Sequence[str]) -> Encoded:
        """See `Engine`."""
        encodings = self._tokenizer.encode_batch_fast(list(texts), add_special_tokens=self._add_special_tokens)
        return _flatten([encoding.ids for encoding in encodings])


class TransformersEngine:
    """The loaded tokenizer itself: the reference, and the only way for tokenizers written in Python.

    Args:
        tokenizer: The loaded tokenizer; not used by anyone else meanwhile.
        add_special_tokens: Whether the tokenizer's own special tokens are added.
    """

    name: EngineName = "transformers"

    def __init__(self, tokenizer: PreTrainedTokenizerBase, add_special_tokens: bool) -> None:
        self._tokenizer = tokenizer
        self._add_special_tokens = add_special_tokens

    def encode(self, texts: Sequence[str]) -> Encoded:
        """See `Engine`."""
        output: Any = self._tokenizer(
            list(texts),
            add_special_tokens=self._add_special_tokens,
            padding=False,
            truncation=False,
            return_attention_mask=False,
            return_token_type_ids=False,
            verbose=False,
        )
        return _flatten(output["input_ids"])


class LoadedBackendEngine(TokenizersEngine):
    """Hugging Face's engine inside the loaded tokenizer, for tokenizers that serializing changes.

    The scores of a Unigram model are not the same to the last bit after they were written and read again, and then
    equally good ways to cut a word may change places.

    Args:
        tokenizer: The loaded tokenizer; not used by anyone else meanwhile.
        add_special_tokens: Whether the tokenizer's own special tokens are added.
    """

    name: EngineName = "transformers"

    def __init__(self, tokenizer: PreTrainedTokenizerBase, add_special_tokens: bool) -> None:
        backend = tokenizer.backend_tokenizer
        backend.no_truncation()
        backend.no_padding()
        super().__init__(backend, add_special_tokens)


def _flatten(lists: Sequence[Sequence[int]]) -> Encoded:
    bounds = np.zeros(len(lists) + 1, np.int64)
    np.cumsum([len(ids) for ids in lists], out=bounds[1:])
    return Encoded(np.concatenate([_NO_IDS, *(np.array(ids, np.uint32) for ids in lists)]), bounds)


def engine_version(name: EngineName) -> str:
    """Installed version of the package behind an engine."""
    return version(name)


def open_engine(name: Literal["fastokens", "tokenizers"], backend_file: Path, add_special_tokens: bool) -> Engine:
    """Build an engine from the serialized backend in a file; what is slow to build is kept for the process's life.

    Args:
        name: Which engine.
        backend_file: File named by the backend's content hash, so that the same path is the same content.
        add_special_tokens: Whether the tokenizer's own special tokens are added.
    """
    if name == "fastokens":
        return FastokensEngine(_fastokens_tokenizer(backend_file), add_special_tokens)
    return TokenizersEngine(_tokenizers_tokenizer(backend_file), add_special_tokens)


def _read_backend(backend_file: Path) -> str:
    content = backend_file.read_bytes()
    if hashlib.sha256(content).hexdigest() != backend_file.stem:
        # A damaged vocabulary would give wrong ids without any error. The next run writes the file again.
        backend_file.unlink(missing_ok=True)
        raise MistudioError(
            ErrorCode.DATA_CORRUPT, f"The cached tokenizer {backend_file.name} is damaged.", "Start it again."
        )
    return content.decode()


@lru_cache(maxsize=4)
def _fastokens_tokenizer(backend_file: Path) -> Any:
    import fastokens

    return fastokens.Tokenizer.from_json_str(_read_backend(backend_file))


@lru_cache(maxsize=4)
def _tokenizers_tokenizer(backend_file: Path) -> Any:
    import tokenizers

    return tokenizers.Tokenizer.from_str(_read_backend(backend_file))
