"""Loading a tokenizer from the Hub or a folder, and saying exactly which one it is.

What belongs here: `AutoTokenizer`, the errors of loading, identity. What does not: encoding (`engines.py`).
`transformers.AutoTokenizer` decides what the tokens are; the repository's tokenizer.json alone does not, because
transformers replaces it for some classes.
"""

from __future__ import annotations

import hashlib
import json
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel, ConfigDict

from mistudio_pipelines.errors import ErrorCode, MistudioError
from mistudio_pipelines.hub.environment import prepare_environment
from mistudio_pipelines.hub.secrets import find_token
from mistudio_pipelines.store.layout import DataStore

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

# What transformers writes where a tokenizer does not say its model's length; and no model is that long.
_LONGEST_SANE_CONTEXT = 100_000_000


class TokenizerIdentity(BaseModel):
    """Exactly which tokenizer made the tokens.

    Attributes:
        name: Hub id or folder it was loaded from.
        revision: Commit on the Hub, or None for a folder.
        tokenizer_class: Class that transformers chose.
        sha256: Of everything that decides about ids: the serialized backend, or vocabulary and settings.
        vocabulary_size: Number of ids, added tokens included; every id is below it.
        model_vocabulary_size: Rows of the model's embedding, where its config.json is beside the tokenizer.
        model_max_length: The model's context, or None where the tokenizer does not say a sane one.
        special_tokens: Ids of bos, eos, sep, pad, unk, cls and mask, where it has them.
    """

    model_config = ConfigDict(frozen=True, protected_namespaces=())

    name: str
    revision: str | None
    tokenizer_class: str
    sha256: str
    vocabulary_size: int
    model_vocabulary_size: int | None = None
    model_max_length: int | None
    special_tokens: dict[str, int]


def load_tokenizer(
    store: DataStore, tokenizer: str, revision: str | None = None, token_name: str | None = None
) -> PreTrainedTokenizerBase:
    """Load a tokenizer as `transformers` would for any trainer; code from the Hub is never run.

    Args:
        store: The data folder; what is fetched is cached below it.
        tokenizer: Hub id or folder.
        revision: Branch, tag or commit on the Hub.
        token_name: Name of the secret to use for the Hub.

    Raises:
        MistudioError: `tokenizer_not_found`, `access_denied`, `revision_not_found`, `hub_unreachable` and the like.
    """
    prepare_environment(store)
    # It says that no model library is installed, and warns of texts longer than the model: neither matters here.
    os.environ.setdefault("TRANSFORMERS_NO_ADVISORY_WARNINGS", "1")
    import transformers

    transformers.logging.set_verbosity_error()
    folder = tokenizer_folder(tokenizer)
    is_folder = folder is not None
    try:
        loaded = transformers.AutoTokenizer.from_pretrained(
            str(folder or tokenizer),
            revision=None if is_folder else revision or "main",
            token=None if is_folder else find_token(store, token_name) or False,
            cache_dir=str(store.cache_root / "tokenizers"),
            trust_remote_code=False,
        )
    except MistudioError:
        raise
    except Exception as error:
        raise _loading_error(tokenizer, revision, is_folder, error) from error
    if not loaded:
        raise _loading_error(tokenizer, revision, is_folder, ValueError("nothing was loaded"))
    return loaded


def tokenizer_folder(tokenizer: str) -> Path | None:
    """The folder that a tokenizer's name means, or None where it is an id on the Hub.

    Raises:
        MistudioError: `tokenizer_not_found` where it can only be a folder and is none.
    """
    folder = Path(os.path.expanduser(tokenizer))  # noqa: PTH111  (Path.expanduser raises for an unknown user)
    if folder.is_dir():
        return folder
    if folder.is_absolute() or tokenizer.startswith((".", "~")):
        raise MistudioError(
            ErrorCode.TOKENIZER_NOT_FOUND,
            f"There is no tokenizer folder {tokenizer}.",
            "Give the folder that holds tokenizer.json and tokenizer_config.json, or the id of a model on the Hub.",
        )
    return None


def model_vocabulary_size(store: DataStore, tokenizer: str, revision: str | None, token_name: str | None) -> int | None:
    """How many ids the model's embedding has, from the config.json beside the tokenizer; None where it says nothing.

    A tokenizer may have more ids: transformers adds a pad token that is in none of its files as a new id.
    """
    prepare_environment(store)
    from transformers.utils import cached_file

    path = cached_file(
        str(tokenizer_folder(tokenizer) or tokenizer),
        "config.json",
        revision=revision,
        token=find_token(store, token_name) or False,
        cache_dir=str(store.cache_root / "tokenizers"),
        _raise_exceptions_for_gated_repo=False,
        _raise_exceptions_for_missing_entries=False,
        _raise_exceptions_for_connection_errors=False,
    )
    if path is None:
        return None
    try:
        size = json.loads(Path(path).read_bytes()).get("vocab_size")
    except (OSError, ValueError, AttributeError):
        return None
    return size if isinstance(size, int) and size > 0 else None


def pin_revision(store: DataStore, tokenizer: str, revision: str | None, token_name: str | None) -> str | None:
    """The commit that a revision of a Hub tokenizer means now; None for a folder.

    Raises:
        MistudioError: Where the Hub refuses or does not answer.
    """
    if tokenizer_folder(tokenizer) is not None:
        return None
    prepare_environment(store)
    from huggingface_hub import HfApi

    try:
        api = HfApi(token=find_token(store, token_name) or False)
        return api.model_info(tokenizer, revision=revision, timeout=30).sha
    except MistudioError:
        raise
    except Exception as error:
        raise _loading_error(tokenizer, revision, False, error) from error


def tokenizer_identity(
    tokenizer: PreTrainedTokenizerBase, name: str, revision: str | None, model_vocabulary: int | None = None
) -> TokenizerIdentity:
    """Exactly which tokenizer this is.

    Args:
        tokenizer: The loaded tokenizer.
        name: Hub id or folder it was loaded from.
        revision: Its commit, for the Hub.
        model_vocabulary: Rows of the model's embedding, where it is known.
    """
    special = {
        kind: getattr(tokenizer, f"{kind}_token_id") for kind in ("bos", "eos", "sep", "pad", "unk", "cls", "mask")
    }
    vocabulary = tokenizer.get_vocab()
    return TokenizerIdentity(
        name=name,
        revision=revision,
        tokenizer_class=type(tokenizer).__name__,
        sha256=_content_hash(tokenizer, vocabulary, special),
        vocabulary_size=max(vocabulary.values(), default=-1) + 1,
        model_vocabulary_size=model_vocabulary,
        model_max_length=sane_context(tokenizer.model_max_length),
        special_tokens={kind: token_id for kind, token_id in special.items() if token_id is not None},
    )


def sane_context(model_max_length: Any) -> int | None:
    """The model's context as its tokenizer says it, or None where it says nothing or the placeholder 10^30."""
    if not isinstance(model_max_length, int | float) or not 0 < model_max_length <= _LONGEST_SANE_CONTEXT:
        return None
    return int(model_max_length)


def backend_json(tokenizer: PreTrainedTokenizerBase) -> str | None:
    """The serialized backend, without the truncation and padding that some files carry; None for a slow tokenizer.

    A call of the tokenizer resets both, so they are no part of what the tokens are.
    """
    backend = getattr(tokenizer, "backend_tokenizer", None)
    if backend is None:
        return None
    serialized: str = backend.to_str()
    if backend.truncation is None and backend.padding is None:
        return serialized
    content = json.loads(serialized)
    content["truncation"] = content["padding"] = None
    return json.dumps(content, ensure_ascii=False, separators=(",", ":"))


def _content_hash(tokenizer: PreTrainedTokenizerBase, vocabulary: dict[str, int], special: dict[str, Any]) -> str:
    backend = backend_json(tokenizer)
    if backend is None:
        settings = {key: str(value) for key, value in sorted(tokenizer.init_kwargs.items()) if "/" not in str(value)}
        backend = json.dumps([sorted(vocabulary.items()), settings], ensure_ascii=False)
    content = json.dumps([type(tokenizer).__name__, special], sort_keys=True) + backend
    return hashlib.sha256(content.encode("utf-8", "surrogatepass")).hexdigest()


def _loading_error(name: str, revision: str | None, is_folder: bool, error: BaseException) -> MistudioError:
    """The one sentence for what went wrong, from the first cause that has a name we know."""
    if is_folder:
        return MistudioError(
            ErrorCode.TOKENIZER_NOT_FOUND,
            f"The folder {name} does not hold a tokenizer that transformers can load ({_first_line(error)}).",
            "It needs tokenizer.json, or the vocabulary files of its class, and tokenizer_config.json.",
        )
    names = _cause_names(error)
    if "GatedRepoError" in names:
        return MistudioError(
            ErrorCode.ACCESS_DENIED,
            f"The tokenizer {name} is gated.",
            f"Accept its terms at https://huggingface.co/{name} and name a secret that holds your access token.",
        )
    if "RevisionNotFoundError" in names:
        return MistudioError(
            ErrorCode.REVISION_NOT_FOUND,
            f"The tokenizer {name} has no revision {revision}.",
            "Name a branch, tag or commit that its page on the Hub shows, or none for the default branch.",
        )
    if names & {"RepositoryNotFoundError", "HFValidationError"}:
        return MistudioError(
            ErrorCode.TOKENIZER_NOT_FOUND,
            f"There is no tokenizer {name} on the Hub, or it is private.",
            "Check the id; for a private one name a secret that holds your access token.",
        )
    if names & _UNREACHABLE:
        return MistudioError(
            ErrorCode.HUB_UNREACHABLE,
            f"The Hub could not be reached for the tokenizer {name}.",
            "Check the connection and try again, or give a folder that holds the tokenizer.",
            transient=True,
        )
    return MistudioError(
        ErrorCode.TOKENIZER_NOT_FOUND,
        f"{name} does not hold a tokenizer that transformers can load ({_first_line(error)}).",
        "Choose a model with tokenizer.json or with the vocabulary files of a class that transformers knows.",
    )


_UNREACHABLE = {
    "ConnectError",
    "ConnectTimeout",
    "ReadTimeout",
    "ReadError",
    "LocalEntryNotFoundError",
    "OfflineModeIsEnabled",
    "ConnectionError",
    "TimeoutException",
    "RemoteProtocolError",
}


def _cause_names(error: BaseException | None) -> set[str]:
    names: set[str] = set()
    while error is not None:
        names.add(type(error).__name__)
        error = error.__cause__ or error.__context__
    return names


def _first_line(error: BaseException) -> str:
    from mistudio_pipelines.hub.secrets import scrub

    text = str(error).strip().splitlines()
    return scrub(text[0][:200]) if text else type(error).__name__
