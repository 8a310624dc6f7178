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
    EngineProof,
    differing_code_points,
    first_difference,
    read_proof,
    write_proof,
)
from mistudio_pipelines.tokenization.engines import (
    Engine,
    EngineName,
    TransformersEngine,
    engine_version,
    open_engine,
)
from mistudio_pipelines.tokenization.hard_sample import hard_texts

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

# Proving costs about ten seconds of one core; Hugging Face's engine encodes this much text meanwhile.
WORTH_PROVING_BYTES = 24_000_000


@dataclass(frozen=True)
class EngineChoice:
    """The engine that encodes.

    Attributes:
        engine: Its name.
        version: Its version.
        reason: One sentence on why this one.
        differing_characters: Documents with one of these go to Hugging Face's engine.
    """

    engine: EngineName
    version: str
    reason: str
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
    texts = [*hard_texts(_special_contents(tokenizer)), *first_texts]
    if not _wrapping_changes_nothing(tokenizer, backend_file, texts):
        return _chosen("transformers", "This tokenizer's class changes what its backend gives.")
    version, reference = engine_version("fastokens"), engine_version("tokenizers")
    proof = read_proof(store, sha256, "fastokens", version, reference)
    if proof is None and text_bytes < WORTH_PROVING_BYTES:
        return _chosen("tokenizers", "There is too little text for a faster engine to be worth its proof.")
    if proof is None:
        proof = prove_fastokens(backend_file, sha256, texts, on_progress, should_stop)
        write_proof(store, proof)
    if not proof.equal:
        return _chosen("tokenizers", f"fastokens {version} is not used: {proof.reason}.")
    if not _same_with_fastokens(backend_file, first_texts, add_special_tokens):
        return _chosen("tokenizers", f"fastokens {version} gives other ids on the dataset's first texts.")
    return EngineChoice("fastokens", version, f"fastokens {version}: {proof.reason}.", proof.differing_characters)


def _chosen(name: EngineName, reason: str) -> EngineChoice:
    return EngineChoice(name, engine_version(name), reason)


def _special_contents(tokenizer: PreTrainedTokenizerBase) -> list[str]:
    added = [str(token) for token in tokenizer.added_tokens_decoder.values()]
    # Some tokenizers have thousands; the first and last stand for the rest.
    return [*tokenizer.all_special_tokens, *added[:100], *added[-100:]]


def _wrapping_changes_nothing(tokenizer: PreTrainedTokenizerBase, backend_file: Path, texts: Sequence[str]) -> bool:
    """True where calling the tokenizer gives what its backend gives alone."""
    for add_special_tokens in (True, False):
        reference = TransformersEngine(tokenizer, add_special_tokens)
        if not _same(open_engine("tokenizers", backend_file, add_special_tokens), reference, texts):
            return False
    return True


def _same(engine: Engine, reference: Engine, texts: Sequence[str]) -> bool:
    """As `first_difference`, for a reference that may refuse some texts: then the engine must refuse them too."""
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


def _same_with_fastokens(backend_file: Path, texts: Sequence[str], add_special_tokens: bool) -> bool:
    fast = open_engine("fastokens", backend_file, add_special_tokens)
    return _same(fast, open_engine("tokenizers", backend_file, add_special_tokens), texts)


def prove_fastokens(
    backend_file: Path, sha256: str, texts: Sequence[str], on_progress: ProgressCallback, should_stop: ShouldStop
) -> EngineProof:
    """Compare fastokens with Hugging Face's engine on the hard sample and on every code point of Unicode.

    Args:
        backend_file: File of the serialized backend.
        sha256: The tokenizer's content hash.
        texts: The hard sample.
        on_progress: Told while code points are compared.
        should_stop: Polled meanwhile.

    Raises:
        Stopped: Where `should_stop` said so.
    """

    def outcome(equal: bool, reason: str, differing: str = "") -> EngineProof:
        return EngineProof(
            engine="fastokens",
            version=engine_version("fastokens"),
            tokenizer_sha256=sha256,
            reference=engine_version("tokenizers"),
            equal=equal,
            reason=reason,
            differing_characters=differing,
            texts=len(texts),
        )

    try:
        engine = open_engine("fastokens", backend_file, False)
    except Exception as error:  # noqa: BLE001  (it refuses kinds of tokenizers that it does not know, in any way)
        return outcome(False, f"it does not know this kind of tokenizer ({str(error)[:120]})")
    if not all(_same_with_fastokens(backend_file, texts, add_special_tokens) for add_special_tokens in (True, False)):
        return outcome(False, "it gives other ids on the hard sample")
    reference = open_engine("tokenizers", backend_file, False)
    differing = differing_code_points(engine, reference, on_progress, should_stop)
    if len(differing) > MOST_DIFFERING_CHARACTERS:
        return outcome(False, f"it gives other ids for more than {MOST_DIFFERING_CHARACTERS} characters")
    reason = "proved equal on the hard sample and every code point of Unicode"
    if differing:
        reason += f" but {len(differing)}, whose documents go to Hugging Face's engine"
    return outcome(True, reason, "".join(map(chr, differing)))
