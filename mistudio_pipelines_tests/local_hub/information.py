"""What the Hub tells about repositories, as the JSON values that its API answers with.

What belongs here: pure functions from a repository or commit to JSON. What does not: who may ask, and HTTP.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from mistudio_pipelines_tests.local_hub.repositories import Commit, CommitHeader, Entry, Repository, git_object_id

OWNER = "local-user"


def repository_information(
    repository: Repository, commit: Commit, *, blobs: bool, expand: Sequence[str]
) -> dict[str, Any]:
    """`/api/datasets/ID[/revision/REVISION]`.

    Args:
        repository: The repository.
        commit: The commit that was asked for.
        blobs: Whether each file comes with its size and hashes.
        expand: Only these properties, where any are named.
    """
    size = sum(entry.blob.size for entry in commit.files.values())
    *_, first = repository.history(commit)
    namespace, slash, _ = repository.id.partition("/")
    information = {
        "_id": git_object_id("blob", repository.id.encode())[:24],
        "id": repository.id,
        "author": namespace if slash else None,
        "sha": commit.header.id,
        "lastModified": commit.header.date,
        "createdAt": first.header.date,
        "private": repository.private,
        "gated": "manual" if repository.gated is True else repository.gated,
        "disabled": False,
        "tags": [],
        "downloads": 0,
        "likes": 0,
        "cardData": card_data(commit.files.get("README.md")),
        "siblings": [_sibling(path, entry, blobs=blobs) for path, entry in commit.files.items()],
        "usedStorage": size,
        "mainSize": size,
    }
    if repository.kind == "model":
        information["modelId"] = repository.id
    if expand:
        information = {name: value for name, value in information.items() if name in ("_id", "id", *expand)}
    return information


def _sibling(path: str, entry: Entry, *, blobs: bool) -> dict[str, Any]:
    if not blobs:
        return {"rfilename": path}
    sibling: dict[str, Any] = {"rfilename": path, "size": entry.blob.size, "blobId": entry.oid}
    if entry.lfs:
        sibling["lfs"] = _lfs(entry, "sha256")
    return sibling


def _lfs(entry: Entry, hash_name: str) -> dict[str, Any]:
    return {hash_name: entry.blob.sha256, "size": entry.blob.size, "pointerSize": len(entry.blob.lfs_pointer)}


def references(repository: Repository) -> dict[str, list[dict[str, str]]]:
    """`/api/datasets/ID/refs`."""
    found: dict[str, list[dict[str, str]]] = {"branches": [], "tags": [], "converts": [], "pullRequests": []}
    prefixes = {"refs/convert/": "converts", "refs/pr/": "pullRequests"}
    for name, commit in repository.references.items():
        prefix = next((prefix for prefix in prefixes if name.startswith(prefix)), None)
        if prefix is None:
            found["branches"].append({"name": name, "ref": f"refs/heads/{name}", "targetCommit": commit})
        else:
            found[prefixes[prefix]].append({"name": name.removeprefix(prefix), "ref": name, "targetCommit": commit})
    for name, commit in repository.tags.items():
        found["tags"].append({"name": name, "ref": f"refs/tags/{name}", "targetCommit": commit})
    return found


def commit_information(header: CommitHeader) -> dict[str, Any]:
    """One of `/api/datasets/ID/commits/REVISION`."""
    author = {"user": OWNER}
    return {"id": header.id, "title": header.title, "message": "", "authors": [author], "date": header.date}


def tree_paths(commit: Commit, folder: str, *, recursive: bool) -> list[str]:
    """Files and folders in a folder (empty: the root), sorted; those below its first level only where asked for."""
    prefix = f"{folder}/" if folder else ""
    return sorted(
        path
        for path in (*commit.files, *commit.folders)
        if path.startswith(prefix) and path and (recursive or "/" not in path[len(prefix) :])
    )


def path_information(commit: Commit, path: str, *, expand: bool) -> dict[str, Any] | None:
    """One of `/api/datasets/ID/tree/…` or `/paths-info/…`; None where there is no such path."""
    entry, folder = commit.files.get(path), commit.folders.get(path)
    information: dict[str, Any]
    if entry is not None:
        last = entry.last_commit
        information = {"type": "file", "oid": entry.oid, "size": entry.blob.size, "path": path}
        if entry.lfs:
            information["lfs"] = _lfs(entry, "oid")
        if expand:
            information["securityFileStatus"] = {"status": "safe", "avScan": None, "pickleImportScan": None}
    elif folder is not None:
        last = folder.last_commit
        information = {"type": "directory", "oid": folder.oid, "size": 0, "path": path}
    else:
        return None
    if expand:
        information["lastCommit"] = {"id": last.id, "title": last.title, "date": last.date}
    return information


def card_data(readme: Entry | None) -> dict[str, Any] | None:
    """The YAML block at the top of the README (PyYAML comes with huggingface_hub)."""
    import yaml

    if readme is None:
        return None
    source = readme.blob.source
    text = (source if isinstance(source, bytes) else source.read_bytes()).decode("utf-8", "replace")
    if not text.startswith("---"):
        return None
    try:
        value = yaml.safe_load(text[3:].partition("\n---")[0])
    except yaml.YAMLError:
        return None
    return json.loads(json.dumps(value, default=str)) if isinstance(value, dict) else None
