"""The proof that an engine gives the ids of `AutoTokenizer`, and its cache.

What belongs here: comparing engines on texts, and keeping the outcome. What does not: the texts
(`hard_sample.py`), the decision that follows (`engine_choice.py`), the check on real rows (`encoding.py`).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from os import sched_getaffinity
from pathlib import Path
from typing import Literal

import numpy as np
from pydantic import BaseModel, ConfigDict, ValidationError

from mistudio_pipelines.errors import Stopped
from mistudio_pipelines.progress import Progress, ProgressCallback, ShouldStop
from mistudio_pipelines.store.atomic import write_bytes
from mistudio_pipelines.store.layout import DataStore
from mistudio_pipelines.tokenization.engines import Engine, EngineName, engine_version
from mistudio_pipelines.tokenization.hard_sample import all_code_points, in_contexts

# Code points compared in one call, and in one text.
_CHUNK = 4_096
_BLOCK = 64
# An engine that differs on more is not an engine for this tokenizer.
MOST_DIFFERING_CHARACTERS = 2_000


class EngineProof(BaseModel):
    """What comparing an engine with the reference gave.

    Attributes:
        engine: The engine.
        version: Its version.
        tokenizer_sha256: Content hash of the tokenizer.
        reference: What it was compared with, `tokenizers-<version>` or `transformers-<version>`.
        equal: True where it may be used (but for the differing characters).
        reason: One phrase that says why, or why not.
        differing_characters: Characters on which the engines differ.
    """

    model_config = ConfigDict(frozen=True)

    format_version: Literal[1] = 1
    engine: EngineName
    version: str
    tokenizer_sha256: str
    reference: str
    equal: bool
    reason: str
    differing_characters: str = ""


def read_proof(
    store: DataStore, tokenizer_sha256: str, engine: EngineName, reference: EngineName
) -> EngineProof | None:
    """The proof for the installed versions, or None."""
    path = _path(store, tokenizer_sha256, engine, engine_version(engine), f"{reference}-{engine_version(reference)}")
    try:
        return EngineProof.model_validate_json(path.read_bytes())
    except (OSError, ValidationError, ValueError):
        return None


def write_proof(store: DataStore, proof: EngineProof) -> None:
    """Keep a proof."""
    path = _path(store, proof.tokenizer_sha256, proof.engine, proof.version, proof.reference)
    write_bytes(path, proof.model_dump_json(indent=2).encode())


def _path(store: DataStore, sha256: str, engine: EngineName, version: str, reference: str) -> Path:
    return store.cache_root / "engine_proofs" / f"{sha256[:32]}-{engine}-{version}-{reference}.json"


def proved(
    store: DataStore,
    tokenizer_sha256: str,
    engine: EngineName,
    reference: EngineName,
    prove: Callable[[], tuple[bool, str, str]],
) -> EngineProof:
    """The proof for exactly these versions: from the cache, or made now and kept.

    Args:
        store: The data folder.
        tokenizer_sha256: Content hash of the tokenizer.
        engine: What is proved equal.
        reference: To what.
        prove: Compares them: whether the engine may be used, why, and but for which characters.
    """
    version, against = engine_version(engine), f"{reference}-{engine_version(reference)}"
    known = read_proof(store, tokenizer_sha256, engine, reference)
    if known is not None:
        return known
    equal, reason, differing = prove()
    proof = EngineProof(
        engine=engine,
        version=version,
        tokenizer_sha256=tokenizer_sha256,
        reference=against,
        equal=equal,
        reason=reason,
        differing_characters=differing,
    )
    write_proof(store, proof)
    return proof


def withdraw_proof(
    store: DataStore, tokenizer_sha256: str, engine: EngineName, reference: EngineName, why: str
) -> None:
    """Never use an engine again for a tokenizer: real text was found where it differs.

    Args:
        store: The data folder.
        tokenizer_sha256: Content hash of the tokenizer.
        engine: The engine.
        reference: What it was compared with.
        why: Where it differed.
    """
    known = read_proof(store, tokenizer_sha256, engine, reference)
    if known is not None:
        write_proof(store, known.model_copy(update={"equal": False, "reason": why}))


def same(engine: Engine, reference: Engine, texts: Sequence[str]) -> bool:
    """True where two engines give the same ids for all texts, and refuse the same texts."""
    try:
        return first_difference(engine, reference, texts) is None
    except Exception:  # noqa: BLE001  (some text is refused by the tokenizer; they are compared one by one)
        return all(_ids_or_refusal(engine, text) == _ids_or_refusal(reference, text) for text in texts)


def _ids_or_refusal(engine: Engine, text: str) -> list[int] | None:
    try:
        ids: list[int] = engine.encode([text]).ids.tolist()
    except Exception:  # noqa: BLE001  (a refusal is an answer here)
        return None
    return ids


def first_difference(engine: Engine, reference: Engine, texts: Sequence[str]) -> str | None:
    """The first text that the engines encode differently, or None. An engine that raises differs."""
    if not texts:
        return None
    theirs = reference.encode(texts)
    try:
        ours = engine.encode(texts)
    except Exception:  # noqa: BLE001  (an engine that raises is not one for this tokenizer)
        return texts[0]
    if np.array_equal(ours.bounds, theirs.bounds) and np.array_equal(ours.ids, theirs.ids):
        return None
    for index, text in enumerate(texts):
        if not np.array_equal(ours.of(index), theirs.of(index)):
            return text
    return None


def differing_code_points(
    engine: Engine, reference: Engine, on_progress: ProgressCallback, should_stop: ShouldStop
) -> list[int]:
    """Code points that the engines encode differently in some context; ends beyond `MOST_DIFFERING_CHARACTERS`.

    Raises:
        Stopped: Where `should_stop` said so.
    """
    code_points = all_code_points()
    chunks = [code_points[begin : begin + _CHUNK] for begin in range(0, len(code_points), _CHUNK)]
    found: list[int] = []
    done = 0

    def compare(chunk: list[int]) -> list[int]:
        if should_stop():
            raise Stopped("Tokenization")
        return _differing_of(engine, reference, chunk)

    # Both engines release the interpreter's lock, so threads use all cores.
    threads = ThreadPoolExecutor(len(sched_getaffinity(0)))
    try:
        for chunk, differing in zip(chunks, threads.map(compare, chunks), strict=True):
            found += differing
            done += len(chunk)
            on_progress(Progress(done, len(code_points), "rows", "proving the fast engine"))
            if len(found) > MOST_DIFFERING_CHARACTERS:
                break
    finally:
        threads.shutdown(wait=True, cancel_futures=True)
    return found


def _differing_of(engine: Engine, reference: Engine, code_points: list[int]) -> list[int]:
    blocks = [code_points[begin : begin + _BLOCK] for begin in range(0, len(code_points), _BLOCK)]
    texts = ["".join(map(in_contexts, block)) for block in blocks]
    if first_difference(engine, reference, texts) is None:
        return []
    found: list[int] = []
    for block, text in zip(blocks, texts, strict=True):
        if first_difference(engine, reference, [text]) is not None:
            alone = [point for point in block if first_difference(engine, reference, [in_contexts(point)]) is not None]
            # A difference that no character shows alone is put down to all of them.
            found += alone or block
    return found
