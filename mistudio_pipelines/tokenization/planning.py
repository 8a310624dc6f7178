"""The plan of a tokenization: what is encoded, with what, in which shards, and its fingerprint.

What belongs here: everything decided before the first text is encoded. What does not: doing it (`tokenize.py`).
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from mistudio_pipelines.errors import ErrorCode, MistudioError
from mistudio_pipelines.store.atomic import write_bytes
from mistudio_pipelines.store.layout import DataStore
from mistudio_pipelines.store.manifest import Manifest
from mistudio_pipelines.tokenization.engines import ENGINE_NAMES, engine_version
from mistudio_pipelines.tokenization.laying_out import RowPolicy
from mistudio_pipelines.tokenization.loading import (
    TokenizerIdentity,
    backend_json,
    load_tokenizer,
    tokenizer_identity,
)
from mistudio_pipelines.tokenization.presets import TokenizationPreset
from mistudio_pipelines.tokenization.results import TOKENIZATION_CODE_VERSION
from mistudio_pipelines.tokenization.validation import special_token_id

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

    from mistudio_pipelines.text.reading import RowGroup

# A crash costs at most one shard per worker; a shard is some tens of megabytes of text. Small datasets have small
# shards, so that all workers have something to do.
SHARD_BYTES = 32_000_000
_SMALLEST_SHARD_BYTES = 2_000_000
_WANTED_SHARDS = 64


@dataclass(frozen=True)
class InputShard:
    """Row groups that are encoded together.

    Attributes:
        number: Its number, over all splits.
        split: Its split.
        row_groups: (file, row group) pairs, in sample order.
        documents: Its samples.
    """

    number: int
    split: str
    row_groups: tuple[tuple[int, int], ...]
    documents: int


@dataclass(frozen=True)
class Plan:
    """Everything that is known before the first text is encoded.

    Attributes:
        fingerprint: Of everything that decides about the rows.
        work_fingerprint: Of how they are made too; unfinished work of another one is not continued.
        manifest: What is tokenized.
        preset: How.
        tokenizer: The loaded tokenizer.
        identity: Which one it is.
        policy: What rows are to be, in ids.
        backend_file: Serialized backend, or None.
        encode_specials: Whether documents are encoded with the tokenizer's own special tokens.
        shards: The input, in order.
        item_bytes: Bytes of a token in the pieces.
    """

    fingerprint: str
    work_fingerprint: str
    manifest: Manifest
    preset: TokenizationPreset
    tokenizer: PreTrainedTokenizerBase
    identity: TokenizerIdentity
    policy: RowPolicy
    backend_file: Path | None
    encode_specials: bool
    shards: tuple[InputShard, ...]
    item_bytes: Literal[2, 4]

    @property
    def splits(self) -> list[str]:
        """The splits that are tokenized, in the manifest's order."""
        asked = self.preset.splits
        return [split for split in self.manifest.rows_by_split if asked is None or split in asked]


def fingerprint_of(manifest: Manifest, preset: TokenizationPreset) -> str:
    """Hash of everything that decides about the rows: the raw files, the preset with its pinned tokenizer, the code."""
    what = {
        "code_version": TOKENIZATION_CODE_VERSION,
        "revision": manifest.revision,
        "text_column": manifest.text_column,
        "files": [(file.path, file.split, file.rows, file.sha256) for file in manifest.files],
        "preset": preset.model_dump(mode="json", exclude={"name", "token_name", "tokenizer"}),
    }
    return hashlib.sha256(json.dumps(what, sort_keys=True).encode()).hexdigest()


def _work_fingerprint(fingerprint: str, shards: Sequence[InputShard]) -> str:
    """As `fingerprint_of`, and of the shards and the libraries, which decide about unfinished work only."""
    versions = [engine_version(name) for name in ENGINE_NAMES]
    what = [fingerprint, versions, [(shard.split, shard.row_groups) for shard in shards]]
    return hashlib.sha256(json.dumps(what).encode()).hexdigest()


def make_plan(store: DataStore, manifest: Manifest, preset: TokenizationPreset) -> Plan:
    """Load the tokenizer and plan the work.

    Args:
        store: The data folder.
        manifest: The raw dataset.
        preset: The saved preset.

    Raises:
        MistudioError: `unknown_split_or_config`, `invalid_preset` where the tokenizer changed, what loading raises.
    """
    from mistudio_pipelines.text.reading import list_row_groups

    check_splits(manifest, preset)
    tokenizer = load_tokenizer(store, preset.tokenizer, preset.tokenizer_revision, preset.token_name)
    identity = tokenizer_identity(tokenizer, preset.tokenizer, preset.tokenizer_revision)
    if identity.sha256 != preset.tokenizer_sha256:
        raise MistudioError(
            ErrorCode.INVALID_PRESET,
            f"The tokenizer {preset.tokenizer} is not the one that preset {preset.name} was saved with.",
            "Restore it, or save a preset with the new one under a new name.",
        )
    row_groups = list_row_groups(store.raw(manifest.dataset_id), manifest)
    wanted = [group for group in row_groups if preset.splits is None or group.split in preset.splits]
    shards = tuple(plan_shards(wanted))
    fingerprint = fingerprint_of(manifest, preset)
    return Plan(
        fingerprint=fingerprint,
        work_fingerprint=_work_fingerprint(fingerprint, shards),
        manifest=manifest,
        preset=preset,
        tokenizer=tokenizer,
        identity=identity,
        policy=row_policy(preset, tokenizer, identity),
        backend_file=keep_backend(store, tokenizer),
        encode_specials=preset.add_special_tokens and preset.mode != "padded",
        shards=shards,
        item_bytes=2 if identity.vocabulary_size <= 2**16 else 4,
    )


def check_splits(manifest: Manifest, preset: TokenizationPreset) -> None:
    """Refuse splits that the dataset does not have.

    Raises:
        MistudioError: `unknown_split_or_config`.
    """
    known = list(manifest.rows_by_split)
    for split in preset.splits or ():
        if split not in known:
            raise MistudioError(
                ErrorCode.UNKNOWN_SPLIT_OR_CONFIG,
                f"Preset {preset.name} asks for split {split}, which dataset {manifest.dataset_id} does not have.",
                f"It has {', '.join(known)}: save a preset for those, or for all splits.",
                details={"splits": known},
            )


def plan_shards(row_groups: Sequence[RowGroup]) -> list[InputShard]:
    """Join consecutive row groups of a split to shards of at most about `SHARD_BYTES`.

    The shards depend on the input alone, never on the number of workers.
    """
    total = sum(group.bytes for group in row_groups)
    shard_bytes = min(SHARD_BYTES, max(_SMALLEST_SHARD_BYTES, total // _WANTED_SHARDS))
    shards: list[InputShard] = []
    waiting: list[RowGroup] = []

    def close() -> None:
        if waiting:
            pairs = tuple((group.file_index, group.row_group) for group in waiting)
            shards.append(InputShard(len(shards), waiting[0].split, pairs, sum(group.rows for group in waiting)))
            waiting.clear()

    for split in dict.fromkeys(group.split for group in row_groups):
        size = 0
        for group in row_groups:
            if group.split != split:
                continue
            if waiting and size + group.bytes > shard_bytes:
                close()
                size = 0
            waiting.append(group)
            size += group.bytes
        close()
    return shards


def row_policy(
    preset: TokenizationPreset, tokenizer: PreTrainedTokenizerBase, identity: TokenizerIdentity
) -> RowPolicy:
    """What the preset says about rows, in ids of its tokenizer."""
    if preset.mode != "padded":
        return RowPolicy(
            preset,
            head=special_token_id(preset.begin_of_batch, identity),
            begin=special_token_id(preset.begin_of_sequence, identity),
            separator=special_token_id(preset.separator, identity),
        )
    prefix, suffix = special_frame(tokenizer) if preset.add_special_tokens else ((), ())
    return RowPolicy(
        preset,
        prefix=prefix,
        suffix=suffix,
        pad_id=None if preset.padding == "do_not_pad" else identity.special_tokens["pad"],
        pad_side=tokenizer.padding_side,
        keep_end=tokenizer.truncation_side == "left",
    )


def special_frame(tokenizer: PreTrainedTokenizerBase) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Ids that a tokenizer puts before and after every document.

    A few tokenizers written in Python leave one out where the text itself ends with it; here it is always added.

    Raises:
        MistudioError: `invalid_preset` where they are not the same for every document.
    """
    frames = []
    for probe in ("a", "The cat sat. 123", ""):
        bare = tokenizer(probe, add_special_tokens=False)["input_ids"]
        framed = tokenizer(probe, add_special_tokens=True)["input_ids"]
        added = len(framed) - len(bare)
        frames.append(
            {
                (tuple(framed[:begin]), tuple(framed[len(framed) - added + begin :]))
                for begin in range(added + 1)
                if framed[begin : begin + len(bare)] == bare
            }
        )
    common = frames[0].intersection(*frames[1:])
    if not common:
        raise MistudioError(
            ErrorCode.INVALID_PRESET,
            "The special tokens that this tokenizer adds are not the same for every document.",
            "Set add_special_tokens to false, or use mode packed or per_document.",
        )
    return min(common)


def keep_backend(store: DataStore, tokenizer: PreTrainedTokenizerBase) -> Path | None:
    """Write the serialized backend into a file named by its content, for the workers; None where there is none."""
    backend = backend_json(tokenizer)
    if backend is None:
        return None
    content = backend.encode()
    path = store.cache_root / "tokenizer_backends" / f"{hashlib.sha256(content).hexdigest()}.json"
    if not path.exists() or path.stat().st_size != len(content):
        write_bytes(path, content)
    return path
