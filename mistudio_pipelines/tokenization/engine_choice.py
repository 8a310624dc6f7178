"""Which engine encodes, and why: proved equal or not used.

What belongs here: the decision at plan time. What does not: the comparison itself (`engine_proof.py`) and the check
on real rows while encoding (`encoding.py`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from mistudio_pipelines.progress import ProgressCallback, ShouldStop
from mistudio_pipelines.store.layout import DataStore
from mistudio_pipelines.tokenization.engine_proof import (
    MOST_DIFFERING_CHARACTERS,
    differing_code_points,
    proved,
    read_proof,
    same,
)
from mistudio_pipelines.tokenization.engines import (
    Engine,
    EngineName,
    LoadedBackendEngine,
    TransformersEngine,
    engine_version,
    open_engine,
)
from mistudio_pipelines.tokenization.hard_sample import hard_texts

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

    from mistudio_pipelines.tokenization.planning import Plan

# Proving costs about ten seconds of one core; Hugging Face's engine encodes this much text meanwhile.
WORTH_PROVING_BYTES = 24_000_000
_FIRST_TEXTS = 200
_FIRST_TEXTS_CHARACTERS = 100_000


@dataclass(frozen=True)
class EngineChoice:
    """The engine that encodes.

    Attributes:
        engine: Its name.
        version: Its version.
        reason: One sentence on why this one.
        call_backend: True where `transformers` may call the backend inside the loaded tokenizer directly.
        differing_characters: Documents with one of these go to Hugging Face's engine.
    """

    engine: EngineName
    version: str
    reason: str
    call_backend: bool = False
    differing_characters: str = ""


def choose_engine(
    store: DataStore,
    tokenizer: PreTrainedTokenizerBase,
    backend_file: Path | None,
    sha256: str,
    *,
    add_special_tokens: bool,
    text_bytes: int,
    first_texts: Sequence[str],
    on_progress: ProgressCallback,
    should_stop: ShouldStop,
) -> EngineChoice:
    """Choose the fastest engine that is proved to give the ids of `AutoTokenizer`.

    Args:
        store: The data folder, for the cache of proofs.
        tokenizer: The loaded tokenizer.
        backend_file: File of its serialized backend, named by its content; None where it has none.
        sha256: Its content hash.
        add_special_tokens: Whether the tokenizer's own special tokens will be added.
        text_bytes: How much is to be encoded; little text is not worth a proof.
        first_texts: The dataset's first texts; compared each time.
        on_progress: Told while a proof is made.
        should_stop: Polled while a proof is made.
    """
    if backend_file is None:
        return _chosen("transformers", "This tokenizer is written in Python and has no other engine.")
    texts = hard_texts(_special_contents(tokenizer))
    wrapping = proved(
        store, sha256, "tokenizers", "transformers", lambda: _compare_serialized(tokenizer, backend_file, texts)
    )
    if not wrapping.equal:
        direct = proved(store, sha256, "transformers", "transformers", lambda: _compare_backend(tokenizer, texts))
        reason = f"Hugging Face's engine alone is not used: {wrapping.reason}; {direct.reason}."
        return EngineChoice("transformers", engine_version("transformers"), reason, call_backend=direct.equal)
    if read_proof(store, sha256, "fastokens", "tokenizers") is None and text_bytes < WORTH_PROVING_BYTES:
        return _chosen("tokenizers", "There is too little text for a faster engine to be worth its proof.")
    proof = proved(
        store,
        sha256,
        "fastokens",
        "tokenizers",
        lambda: compare_fastokens(backend_file, texts, on_progress, should_stop),
    )
    if not proof.equal:
        return _chosen("tokenizers", f"fastokens {proof.version} is not used: {proof.reason}.")
    alike = without_characters(first_texts, proof.differing_characters)
    if not same(*_fast_and_reference(backend_file, add_special_tokens), alike):
        return _chosen("tokenizers", f"fastokens {proof.version} gives other ids on the dataset's first texts.")
    reason = f"fastokens {proof.version}: {proof.reason}, and the dataset's first texts."
    return EngineChoice("fastokens", proof.version, reason, differing_characters=proof.differing_characters)


def _chosen(name: EngineName, reason: str) -> EngineChoice:
    return EngineChoice(name, engine_version(name), reason)


def _special_contents(tokenizer: PreTrainedTokenizerBase) -> list[str]:
    added = [str(token) for token in tokenizer.added_tokens_decoder.values()]
    # Some tokenizers have thousands; the first and last stand for the rest.
    return [*tokenizer.all_special_tokens, *added[:100], *added[-100:]]


def _fast_and_reference(backend_file: Path, add_special_tokens: bool) -> tuple[Engine, Engine]:
    return (
        open_engine("fastokens", backend_file, add_special_tokens),
        open_engine("tokenizers", backend_file, add_special_tokens),
    )


def _compare_serialized(
    tokenizer: PreTrainedTokenizerBase, backend_file: Path, texts: Sequence[str]
) -> tuple[bool, str, str]:
    """Whether calling the tokenizer gives what its serialized backend gives alone."""
    if type(tokenizer.backend_tokenizer.model).__name__ == "Unigram":
        return False, "writing and reading a Unigram model changes its scores in the last bit", ""
    for add_special_tokens in (True, False):
        engine = open_engine("tokenizers", backend_file, add_special_tokens)
        if not same(engine, TransformersEngine(tokenizer, add_special_tokens), texts):
            return False, "the serialized tokenizer gives other ids on the hard sample", ""
    return True, "equal on the hard sample", ""


def _compare_backend(tokenizer: PreTrainedTokenizerBase, texts: Sequence[str]) -> tuple[bool, str, str]:
    """Whether calling the tokenizer gives what the backend inside it gives alone."""
    for add_special_tokens in (True, False):
        engine = LoadedBackendEngine(tokenizer, add_special_tokens)
        if not same(engine, TransformersEngine(tokenizer, add_special_tokens), texts):
            return False, "the tokenizer's class changes what it gives", ""
    return True, "the engine inside the loaded tokenizer gives the same and is called", ""


def without_characters(texts: Sequence[str], characters: str) -> list[str]:
    """The texts that have none of some characters."""
    unwanted = set(characters)
    return [text for text in texts if unwanted.isdisjoint(text)]


def compare_fastokens(
    backend_file: Path, texts: Sequence[str], on_progress: ProgressCallback, should_stop: ShouldStop
) -> tuple[bool, str, str]:
    """Compare fastokens with Hugging Face's engine on every code point of Unicode and on the hard sample.

    Args:
        backend_file: File of the serialized backend.
        texts: The hard sample.
        on_progress: Told while code points are compared.
        should_stop: Polled meanwhile.

    Returns:
        Whether it may be used, why, and for which characters it may not.

    Raises:
        Stopped: Where `should_stop` said so.
    """
    try:
        engine, reference = _fast_and_reference(backend_file, False)
    except Exception as error:  # noqa: BLE001  (it refuses kinds of tokenizers that it does not know, in any way)
        return False, f"it does not know this kind of tokenizer ({str(error)[:120]})", ""
    points = differing_code_points(engine, reference, on_progress, should_stop)
    if len(points) > MOST_DIFFERING_CHARACTERS:
        return False, f"it gives other ids for more than {MOST_DIFFERING_CHARACTERS} characters", ""
    characters = "".join(map(chr, points))
    alike = without_characters(texts, characters)
    if not all(same(*_fast_and_reference(backend_file, added), alike) for added in (True, False)):
        return False, "it gives other ids on the hard sample", ""
    reason = "proved equal on every code point of Unicode, the hard sample"
    if points:
        reason = f"proved equal on all but {len(points)} code points of Unicode, the hard sample"
    return True, reason, characters


def plan_engine(store: DataStore, plan: Plan, on_progress: ProgressCallback, should_stop: ShouldStop) -> EngineChoice:
    """Choose the engine for a plan (see `choose_engine`)."""
    from mistudio_pipelines.text.reading import iter_text_batches, list_row_groups

    folder = store.raw(plan.manifest.dataset_id)
    pairs = {pair for shard in plan.shards for pair in shard.row_groups}
    groups = [group for group in list_row_groups(folder, plan.manifest) if (group.file_index, group.row_group) in pairs]
    first_texts: list[str] = []
    if groups:
        first = (groups[0].file_index, groups[0].row_group)
        batch = next(iter_text_batches(folder, plan.manifest, row_groups=[first], batch_rows=_FIRST_TEXTS), None)
        if batch is not None:
            first_texts = shorten([text for text in batch.texts.to_pylist() if text])
    return choose_engine(
        store,
        plan.tokenizer,
        plan.backend_file,
        plan.identity.sha256,
        add_special_tokens=plan.encode_specials,
        text_bytes=sum(group.bytes for group in groups),
        first_texts=first_texts,
        on_progress=on_progress,
        should_stop=should_stop,
    )


def shorten(texts: Sequence[str]) -> list[str]:
    """The first texts, about `_FIRST_TEXTS_CHARACTERS` characters of them in all."""
    kept: list[str] = []
    left = _FIRST_TEXTS_CHARACTERS
    for text in texts:
        if left <= 0:
            break
        kept.append(text[:left])
        left -= len(text)
    return kept
