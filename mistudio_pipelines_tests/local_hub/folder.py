"""Repositories that lie in a folder, for a local Hub that is started by hand.

What belongs here: the layout of such a folder. What does not: serving it.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import unquote

from mistudio_pipelines_tests.local_hub.repositories import MAIN, Kind

KINDS: tuple[Kind, ...] = ("dataset", "model")
NOT_CONTENT = frozenset({".git", ".cache"})


@dataclass(frozen=True)
class FolderRepository:
    """A repository, or one more branch of it, found in a folder."""

    kind: Kind
    id: str
    revision: str
    files: dict[str, Path]


def read_folder(folder: Path) -> Iterable[FolderRepository]:
    """Find repositories under a folder.

    Layout: `datasets/NAMESPACE/NAME/<files>` and `models/NAMESPACE/NAME/<files>`; a folder `NAME@REVISION` holds a
    further branch (percent-encoded where it has a slash: `NAME@refs%2Fconvert%2Fparquet`). A folder directly under
    `datasets` or `models` that itself has files is a repository without a namespace.
    """
    for kind in KINDS:
        kind_folder = folder / f"{kind}s"
        for first in _folders(kind_folder):
            for root in [first] if _has_files(first) else _folders(first):
                name, _, revision = root.relative_to(kind_folder).as_posix().partition("@")
                yield FolderRepository(kind, name, unquote(revision) or MAIN, _files(root))


def _files(root: Path) -> dict[str, Path]:
    paths = {path.relative_to(root): path for path in sorted(root.rglob("*")) if path.is_file()}
    return {name.as_posix(): path for name, path in paths.items() if not NOT_CONTENT.intersection(name.parts)}


def _folders(folder: Path) -> list[Path]:
    return sorted(path for path in folder.iterdir() if path.is_dir()) if folder.is_dir() else []


def _has_files(folder: Path) -> bool:
    return any(path.is_file() and not path.name.startswith(".") for path in folder.iterdir())
