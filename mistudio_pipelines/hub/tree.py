"""The files of a repository at one commit, and a file system of their names alone.

What belongs here: listing a commit, and `NameFileSystem`, which lets `datasets` resolve its patterns against that
list without a request. What does not: which of the files belong to a config or split (`hub/configs.py`).
"""

from __future__ import annotations

import re
import uuid
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import fsspec  # type: ignore[import-untyped]  # it has no types

from mistudio_pipelines.errors import ErrorCode, MistudioError
from mistudio_pipelines.hub.client import HubClient, origin
from mistudio_pipelines.hub.refusals import Request, not_a_hub

_MOST_PAGES = 5_000
_LONGEST_PATH = 4096
_SHA256 = re.compile(r"[0-9a-f]{64}")
_SHA1 = re.compile(r"[0-9a-f]{40}")


@dataclass(frozen=True)
class TreeFile:
    """A file of a repository.

    Attributes:
        path: Its path, with `/`. Comes from outside: never part of a local path.
        size: Its bytes.
        sha256: Of its bytes, for files in LFS.
        git_sha1: Git blob id, for the others.
    """

    path: str
    size: int
    sha256: str | None
    git_sha1: str | None


def list_tree(client: HubClient, repository: str, commit: str) -> dict[str, TreeFile]:
    """All files of a repository at a commit, by path, in the Hub's order.

    Raises:
        MistudioError: What the Hub refuses; `hub_unreachable` where its answer makes no sense.
    """
    from huggingface_hub.hf_api import RepoFile
    from huggingface_hub.utils import fix_hf_endpoint_in_url  # type: ignore[attr-defined]  # exported lazily

    request = Request(repository, commit)
    url: str | None = f"{client.api_url(repository, 'tree', commit)}?recursive=true&expand=false"
    files: dict[str, TreeFile] = {}
    for _ in range(_MOST_PAGES):
        if url is None:
            return files
        page, headers = client.get_json(url, request)
        try:
            for entry in page:
                if entry["type"] == "file" and _is_plain_path(entry["path"]):
                    found = RepoFile(**entry)  # type: ignore[no-untyped-call]  # its own parser of this answer
                    files[found.path] = _tree_file(found)
        except (KeyError, TypeError, AttributeError, ValueError) as error:
            raise not_a_hub(client.endpoint) from error
        following = _next_page(headers.get("link", ""))
        url = fix_hf_endpoint_in_url(following, client.endpoint) if following else None
        if url is not None and origin(url) != origin(client.endpoint):
            break
    raise MistudioError(
        ErrorCode.HUB_UNREACHABLE,
        f"The Hub's list of the files of '{repository}' has no end.",
        "Try again later; if it stays so, the repository is too large for this.",
        transient=True,
    )


def _is_plain_path(path: Any) -> bool:
    """Whether git could hold this path; a list with others is not worth an error, they are no data files."""
    if not isinstance(path, str) or not 0 < len(path) <= _LONGEST_PATH or "\0" in path:
        return False
    return not {"", ".", ".."} & set(path.split("/"))


def _tree_file(found: Any) -> TreeFile:
    sha256 = found.lfs.sha256 if found.lfs is not None else None
    git_sha1 = found.blob_id if sha256 is None else None
    return TreeFile(
        path=found.path,
        size=int(found.size),
        sha256=sha256 if sha256 and _SHA256.fullmatch(sha256) else None,
        git_sha1=git_sha1 if git_sha1 and _SHA1.fullmatch(git_sha1) else None,
    )


def _next_page(link: str) -> str | None:
    """The address of the next page in a Link header (RFC 8288)."""
    found = re.search(r"<([^<>]*)>\s*;[^,]*\brel=\"?next\b", link)
    return found[1] if found else None


_PROTOCOL = "mistudio-names"
NAMES_ROOT = f"{_PROTOCOL}://"
"""Base of the addresses that `names_as_file_system` opens to `datasets`."""

_listings: dict[str, _Listing] = {}


@dataclass(frozen=True)
class _Listing:
    entries: dict[str, dict[str, Any]]
    folders: dict[str, list[dict[str, Any]]]


class NameFileSystem(fsspec.AbstractFileSystem):  # type: ignore[misc]  # fsspec has no types
    """A read-only fsspec file system that knows names and types and nothing else.

    Args:
        listing: Key of the listing, from `names_as_file_system`.
    """

    protocol = _PROTOCOL

    def __init__(self, listing: str, **options: Any) -> None:
        super().__init__(**options)
        self._listing = _listings[listing]

    def ls(self, path: str, detail: bool = True, **_options: Any) -> list[Any]:
        """The entries of a folder, or the file itself."""
        path = self._strip_protocol(path).strip("/")
        found = self._listing.folders.get(path)
        if found is None:
            found = [self.info(path)]
        return list(found) if detail else [entry["name"] for entry in found]

    def info(self, path: str, **_options: Any) -> dict[str, Any]:
        """Type of a path."""
        path = self._strip_protocol(path).strip("/")
        if path not in self._listing.entries:
            raise FileNotFoundError(path)
        return self._listing.entries[path]


@contextmanager
def names_as_file_system(paths: Iterable[str]) -> Iterator[dict[str, Any]]:
    """Let `datasets` resolve patterns below `NAMES_ROOT` against a list of paths.

    Yields:
        What `datasets.DownloadConfig(storage_options=…)` needs for it.
    """
    fsspec.register_implementation(_PROTOCOL, NameFileSystem, clobber=True)
    key = uuid.uuid4().hex
    _listings[key] = _make_listing(paths)
    try:
        yield {_PROTOCOL: {"listing": key}}
    finally:
        del _listings[key]
        NameFileSystem.clear_instance_cache()


def _make_listing(paths: Iterable[str]) -> _Listing:
    listing = _Listing(entries={"": {"name": "", "size": 0, "type": "directory"}}, folders={"": []})
    for path in paths:
        missing = [path]
        while (parent := missing[-1].rpartition("/")[0]) not in listing.entries:
            missing.append(parent)
        for name in reversed(missing):
            entry = {"name": name, "size": 0, "type": "file" if name == path else "directory"}
            listing.entries[name] = entry
            listing.folders.setdefault(name.rpartition("/")[0], []).append(entry)
            if name != path:
                listing.folders[name] = []
    return listing
