"""Finding local files: what lies below the paths that a user gave, its format, and its split.

What belongs here: walking folders without leaving them. What does not: the content of files (`local_files.py`), splits
from names (`local_splits.py`).
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from mistudio_pipelines.errors import ErrorCode, MistudioError
from mistudio_pipelines.text.formats.detection import Detected, accepted_extensions_sentence, detect_format
from mistudio_pipelines.text.formats.source import Format
from mistudio_pipelines.text.formats.streams import list_zip_formats
from mistudio_pipelines.text.local_splits import assign_splits, find_saved_splits, order_splits

# Descriptions of datasets, by the names that `datasets` and this product give them; never data.
_NOT_DATA = frozenset(
    {"dataset_info.json", "dataset_infos.json", "dataset_dict.json", "state.json", "config.json", "manifest.json"}
)


@dataclass(frozen=True)
class FoundFile:
    """A local file.

    Attributes:
        path: Where it lies.
        name: Its name below what the user gave, with `/`.
        detected: What its name says of its format.
        split: Its split, or None where that is not decided yet.
    """

    path: Path
    name: str
    detected: Detected
    split: str | None = None


def find_files(paths: Sequence[Path]) -> tuple[list[FoundFile], list[str]]:
    """All data files below the paths, split by split, and the names of those that were left out.

    Args:
        paths: Files and folders.

    Raises:
        MistudioError: `path_not_found`, `unsupported_format`, `unreadable_file`.
    """
    found: list[FoundFile] = []
    ignored: list[str] = []
    for path in paths:
        if readable_path(path) != str(path):
            raise MistudioError(
                ErrorCode.PATH_NOT_FOUND,
                f"The name {readable_path(path)} is no valid UTF-8.",
                "Rename the file or folder.",
            )
        if path.is_dir():
            files, others = _find_in_folder(path)
            found += files
            ignored += others
        elif path.is_file():
            found.append(FoundFile(path, path.name, _detect_or_fail(path)))
        else:
            raise MistudioError(
                ErrorCode.PATH_NOT_FOUND, f"There is no file or folder {path}.", "Check the path and its spelling."
            )
    if not found:
        raise MistudioError(ErrorCode.PATH_NOT_FOUND, "No file was given.", "Name a file or a folder.")
    found = list({file.path.resolve(): file for file in found}.values())
    assigned = assign_splits([file.name for file in found if file.split is None])
    complete = [replace(file, split=file.split or assigned.get(file.name)) for file in found]
    ignored += [readable_path(Path(file.name)) for file in complete if file.split is None]
    with_split = [file for file in complete if file.split is not None]
    order = order_splits([file.split or "" for file in with_split])
    return sorted(with_split, key=lambda file: order.index(file.split or "")), ignored


def _find_in_folder(folder: Path) -> tuple[list[FoundFile], list[str]]:
    saved = find_saved_splits(folder)
    if saved is not None:
        arrow = Detected("arrow")
        return [
            FoundFile(path, path.relative_to(folder).as_posix(), arrow, split)
            for split, paths in saved.items()
            for path in paths
        ], []
    detected = [
        FoundFile(path, path.relative_to(folder).as_posix(), found)
        for path in _walk(folder)
        if path.name not in _NOT_DATA and (found := _detect(path)) is not None
    ]
    if not detected:
        raise MistudioError(
            ErrorCode.UNSUPPORTED_FORMAT,
            f"The folder {folder} holds no file that can be read.",
            f"Accepted are {accepted_extensions_sentence()}.",
        )
    counts = Counter(file.detected.format for file in detected)
    sizes: Counter[Format | None] = Counter()
    for file in detected:
        sizes[file.detected.format] += file.path.stat().st_size
    most = max(counts, key=lambda data_format: (counts[data_format], sizes[data_format]))
    chosen = [file for file in detected if file.detected.format == most]
    return chosen, [readable_path(Path(file.name)) for file in detected if file.detected.format != most]


def _walk(folder: Path) -> Iterator[Path]:
    """Regular files below a folder, by name; nothing hidden, no link that leads out of it."""
    root = folder.resolve()
    for parent, folders, names in os.walk(folder):
        folders[:] = sorted(name for name in folders if not name.startswith((".", "__")))
        for name in sorted(names) + [name for name in folders if (Path(parent) / name).is_symlink()]:
            path = Path(parent) / name
            if name.startswith((".", "__")):
                continue
            if path.is_symlink() and not path.resolve().is_relative_to(root):
                raise MistudioError(
                    ErrorCode.UNREADABLE_FILE,
                    f"{readable_path(path)} is a link that leads out of the folder.",
                    "Name the file it points to, or put a copy of it in its place.",
                )
            if path.is_file():
                yield path


def _detect(path: Path) -> Detected | None:
    detected = detect_format(path.name)
    if detected is None or detected.format is not None:
        return detected
    # An archive whose name does not tell: most of its members do.
    formats = list_zip_formats(path)
    return replace(detected, format=max(formats.items(), key=lambda item: item[1])[0]) if formats else None


def _detect_or_fail(path: Path) -> Detected:
    detected = _detect(path)
    if detected is None:
        raise MistudioError(
            ErrorCode.UNSUPPORTED_FORMAT,
            f"{path} is not a file of a format that can be read.",
            f"Accepted are {accepted_extensions_sentence()}.",
        )
    return detected


def readable_path(path: Path) -> str:
    """A path as text; Linux allows names that are no valid UTF-8, files of ours and messages do not."""
    return os.fsencode(path).decode(errors="replace")
