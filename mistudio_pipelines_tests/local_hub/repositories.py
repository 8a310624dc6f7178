"""What the local Hub holds: blobs with their hashes, commits, references, repositories.

What belongs here: the content and its identities (git and LFS object ids, commits, branches). What does not: finding
repositories in a folder (`folder.py`), and anything of HTTP (`protocol.py`, `transport.py`).
"""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import cached_property
from pathlib import Path
from typing import Literal, NamedTuple

Kind = Literal["dataset", "model"]
Content = bytes | str | Path

BLOCK = 1 << 20
LFS_THRESHOLD = 10 << 20
"""Files from this size on are stored with LFS, as on the Hub (10 MiB)."""
LFS_SUFFIXES = (
    *(".parquet", ".arrow", ".gz", ".zst", ".bz2", ".xz", ".zip", ".7z", ".tar", ".bin", ".safetensors"),
    *(".npy", ".npz", ".pt", ".h5", ".msgpack", ".onnx", ".pickle", ".pkl", ".model"),
)
"""Names that the Hub's initial .gitattributes puts into LFS whatever their size (those that matter here)."""
MAIN = "main"


def git_object_id(kind: Literal["blob", "tree"], data: bytes) -> str:
    """The sha1 that git gives to an object (git-hash-object)."""
    return hashlib.sha1(f"{kind} {len(data)}\0".encode() + data, usedforsecurity=False).hexdigest()


@dataclass(frozen=True)
class Blob:
    """The bytes of one file, in memory or on disk, and their hashes.

    Attributes:
        source: The bytes themselves, or the file that holds them (never loaded into memory).
        size: Length in bytes.
        sha256: The LFS object id.
        git_sha1: The git blob id.
    """

    source: bytes | Path
    size: int
    sha256: str
    git_sha1: str

    @classmethod
    def of(cls, content: Content) -> Blob:
        """Hash bytes, or a file in one streaming pass."""
        if isinstance(content, bytes):
            sha256 = hashlib.sha256(content).hexdigest()
            return cls(content, len(content), sha256, git_object_id("blob", content))
        path = Path(content)
        size = path.stat().st_size
        sha256_hash = hashlib.sha256()
        git_hash = hashlib.sha1(f"blob {size}\0".encode(), usedforsecurity=False)
        with path.open("rb") as file:
            while block := file.read(BLOCK):
                sha256_hash.update(block)
                git_hash.update(block)
        return cls(path, size, sha256_hash.hexdigest(), git_hash.hexdigest())

    @cached_property
    def lfs_pointer(self) -> bytes:
        """The text that git stores in place of an LFS file."""
        return f"version https://git-lfs.github.com/spec/v1\noid sha256:{self.sha256}\nsize {self.size}\n".encode()


class CommitHeader(NamedTuple):
    """What a commit says of itself; its number comes first, so that the newest of several is the largest."""

    number: int
    id: str
    title: str
    date: str
    parent: str | None


@dataclass(frozen=True)
class Entry:
    """One file at one commit: its bytes, how they are stored, and the commit that last changed it."""

    blob: Blob
    lfs: bool
    last_commit: CommitHeader

    @cached_property
    def oid(self) -> str:
        """The git object id: of the pointer where the file is in LFS."""
        return git_object_id("blob", self.blob.lfs_pointer) if self.lfs else self.blob.git_sha1


@dataclass(frozen=True)
class Folder:
    """A folder at one commit: its git tree id, and the commit that last changed something in it."""

    oid: str
    last_commit: CommitHeader


@dataclass(frozen=True)
class Commit:
    """A commit with all the files it holds, by path and in the order of their paths."""

    header: CommitHeader
    files: Mapping[str, Entry]

    @cached_property
    def folders(self) -> Mapping[str, Folder]:
        """Every folder, also the root (the empty path)."""
        children: dict[str, dict[str, tuple[bytes, str, CommitHeader]]] = {"": {}}
        for path, entry in self.files.items():
            parent, _, name = path.rpartition("/")
            children.setdefault(parent, {})[name] = (b"100644 ", entry.oid, entry.last_commit)
            while parent:
                parent = parent.rpartition("/")[0]
                children.setdefault(parent, {})
        folders: dict[str, Folder] = {}
        for path in sorted(children, key=lambda each: each.count("/") + bool(each), reverse=True):
            inside = children[path]
            folder = Folder(_tree_id(inside), max((child[2] for child in inside.values()), default=self.header))
            folders[path] = folder
            parent, _, name = path.rpartition("/")
            if path:
                children[parent][f"{name}/"] = (b"40000 ", folder.oid, folder.last_commit)
        return folders


def _tree_id(children: Mapping[str, tuple[bytes, str, CommitHeader]]) -> str:
    """The id of git's tree object: `mode name NUL id` of each child, sorted as if folders ended with a slash."""
    lines = (
        mode + name.rstrip("/").encode() + b"\0" + bytes.fromhex(oid)
        for name, (mode, oid, _) in sorted(children.items(), key=lambda child: child[0].encode())
    )
    return git_object_id("tree", b"".join(lines))


@dataclass
class Repository:
    """A dataset or model repository: references to commits, and who may read it.

    References, tags and commits are replaced, never changed in place, so that readers need no lock.
    """

    kind: Kind
    id: str
    private: bool
    gated: bool | Literal["auto", "manual"]
    lfs_threshold: int
    lfs_suffixes: tuple[str, ...]
    references: Mapping[str, str] = field(default_factory=dict)
    tags: Mapping[str, str] = field(default_factory=dict)
    commits: Mapping[str, Commit] = field(default_factory=dict)

    def find(self, revision: str) -> Commit | None:
        """The commit that a branch, tag, full reference or commit id names."""
        name = revision.removeprefix("refs/heads/").removeprefix("refs/tags/")
        return self.commits.get(self.references.get(name) or self.tags.get(name) or revision)

    def history(self, commit: Commit) -> Iterator[Commit]:
        """The commit and its ancestors, newest first."""
        current: Commit | None = commit
        while current is not None:
            yield current
            current = self.commits.get(current.header.parent or "")

    def commit(self, blobs: Mapping[str, Blob | None], branch: str, title: str, *, orphan: bool) -> str:
        """Put a new commit on a branch and return its id.

        Args:
            blobs: Changed files; None deletes one.
            branch: The branch; made where there is none of that name.
            title: First line of the message.
            orphan: Whether the commit begins a new history, with these files alone.
        """
        tip = None if orphan else self.find(branch)
        parent = tip.header.id if tip else None
        identity = [self.kind, self.id, branch, parent or "", title]
        identity += [f"{path}\0{blob.sha256 if blob else ''}" for path, blob in sorted(blobs.items())]
        commit_id = hashlib.sha1("\n".join(identity).encode(), usedforsecurity=False).hexdigest()
        date = datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
        header = CommitHeader(len(self.commits), commit_id, title, date, parent)
        files = dict(tip.files) if tip else {}
        for path, blob in blobs.items():
            if blob is None:
                files.pop(path, None)
            else:
                lfs = blob.size >= self.lfs_threshold or path.endswith(self.lfs_suffixes)
                files[path] = Entry(blob, lfs, header)
        self.commits = {**self.commits, commit_id: Commit(header, dict(sorted(files.items())))}
        self.references = {**self.references, branch: commit_id}
        return commit_id


class Repositories:
    """All repositories, safe to read and change from any thread."""

    def __init__(self) -> None:
        self._lock = threading.RLock()
        self._repositories: dict[tuple[Kind, str], Repository] = {}
        self._moved: dict[tuple[Kind, str], str] = {}

    def add(self, repository: Repository, files: Mapping[str, Content], branch: str) -> str:
        """Add a repository, or a further branch of one that exists, and return the commit's id."""
        blobs = {path: Blob.of(content) for path, content in files.items()}
        with self._lock:
            self._moved.pop((repository.kind, repository.id), None)
            stored = self._repositories.setdefault((repository.kind, repository.id), repository)
            return stored.commit(blobs, branch, f"Add {len(files)} files", orphan=True)

    def commit(self, kind: Kind, repository_id: str, files: Mapping[str, Content | None], branch: str) -> str:
        """Put a new commit on a branch; commits before it stay readable."""
        blobs = {path: None if content is None else Blob.of(content) for path, content in files.items()}
        title = f"Change {', '.join(sorted(files)[:3])}"
        with self._lock:
            return self._repositories[kind, repository_id].commit(blobs, branch, title, orphan=False)

    def tag(self, kind: Kind, repository_id: str, name: str, revision: str) -> None:
        """Give a commit a tag."""
        with self._lock:
            repository = self._repositories[kind, repository_id]
            commit = repository.find(revision)
            if commit is None:
                raise KeyError(revision)
            repository.tags = {**repository.tags, name: commit.header.id}

    def remove(self, kind: Kind, repository_id: str) -> None:
        """Take a repository off the Hub."""
        with self._lock:
            del self._repositories[kind, repository_id]

    def move(self, kind: Kind, old_id: str, new_id: str) -> None:
        """Rename a repository; the old name redirects, as names without a namespace do on the Hub."""
        with self._lock:
            repository = self._repositories.pop((kind, old_id))
            repository.id = new_id
            self._repositories[kind, new_id] = repository
            self._moved[kind, old_id] = new_id

    def find(self, kind: Kind, repository_id: str) -> Repository | None:
        """The repository of that name, or None."""
        with self._lock:
            return self._repositories.get((kind, repository_id))

    def moved_to(self, kind: Kind, repository_id: str) -> str | None:
        """The new name of a repository that was renamed, or None."""
        with self._lock:
            return self._moved.get((kind, repository_id))

    def __iter__(self) -> Iterator[Repository]:
        with self._lock:
            return iter(list(self._repositories.values()))
