"""Splits of local files, from their names, by the rules of `datasets`; and folders that `save_to_disk` wrote.

What belongs here: pure decisions over names, and the two small JSON files of a saved dataset. What does not: the files'
content.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from pathlib import Path, PurePosixPath
from typing import Any

DEFAULT_SPLIT = "train"
_SPLIT_OF_SAVED = re.compile(r"\w+(\.\w+)*")
# https://huggingface.co/docs/datasets/repository_structure: a keyword stands at a border of the name or of "-._ 0-9".
_KEYWORDS: Mapping[str, tuple[str, ...]] = {
    "train": ("train", "training"),
    "validation": ("validation", "valid", "dev", "val"),
    "test": ("test", "testing", "eval", "evaluation"),
}
_BORDER = "[-._ 0-9]"
_PATTERNS = {
    split: re.compile(rf"(?:^|{_BORDER})(?:{'|'.join(words)})(?:{_BORDER}|$)") for split, words in _KEYWORDS.items()
}
_SHARDED = re.compile(r"(?P<split>\w+(?:\.\w+)*)-[0-9]{5}-of-[0-9]{5}\.[^/]*")


def assign_splits(names: Sequence[str]) -> dict[str, str]:
    """The split of each file.

    First what `push_to_hub` writes (`train-00000-of-00002.parquet`, if all files are named so); then folders called
    train, test, dev, …; then file names with these words; then everything is `train`. Where some files are named by a
    rule and others are not, the others belong to no split and are left out, as `datasets` does.

    Args:
        names: Paths relative to what the user gave, with `/`.

    Returns:
        Split by name, only of the files that belong to one.
    """
    sharded = {name: match["split"] for name in names if (match := _SHARDED.fullmatch(PurePosixPath(name).name))}
    if names and len(sharded) == len(names):
        return sharded
    by_folder = {name: split for name in names if (split := _split_of_folders(PurePosixPath(name).parts[:-1]))}
    if by_folder:
        return by_folder
    by_file = {name: split for name in names if (split := _split_of_part(PurePosixPath(name).name))}
    return by_file or dict.fromkeys(names, DEFAULT_SPLIT)


def order_splits(splits: Sequence[str]) -> list[str]:
    """Splits as people expect them: train, validation, test, then others by name."""
    usual = list(_KEYWORDS)
    return sorted(set(splits), key=lambda split: (usual.index(split) if split in usual else len(usual), split))


def find_saved_splits(folder: Path) -> dict[str, list[Path]] | None:
    """The Arrow files of a folder that `Dataset.save_to_disk` or `DatasetDict.save_to_disk` wrote, by split.

    Names in its JSON files are not trusted: only files directly inside count.

    Args:
        folder: Any folder.

    Returns:
        None where it is no such folder.
    """
    if (names := _read_object(folder / "dataset_dict.json").get("splits")) is None:
        files = _saved_files(folder)
        split = str(_read_object(folder / "state.json").get("_split") or DEFAULT_SPLIT)
        return {split if _SPLIT_OF_SAVED.fullmatch(split) else DEFAULT_SPLIT: files} if files else None
    found: dict[str, list[Path]] = {}
    for name in names if isinstance(names, list) else ():
        if isinstance(name, str) and _SPLIT_OF_SAVED.fullmatch(name) and (files := _saved_files(folder / name)):
            found[name] = files
    return found or None


def _split_of_folders(parts: Sequence[str]) -> str | None:
    return next((split for part in reversed(parts) if (split := _split_of_part(part))), None)


def _split_of_part(part: str) -> str | None:
    return next((split for split, pattern in _PATTERNS.items() if pattern.search(part)), None)


def _saved_files(folder: Path) -> list[Path]:
    entries = _read_object(folder / "state.json").get("_data_files")
    names = [entry.get("filename") for entry in entries if isinstance(entry, dict)] if isinstance(entries, list) else []
    plain = [
        name for name in names if isinstance(name, str) and name == Path(name).name and name not in ("", ".", "..")
    ]
    return [folder / name for name in plain if (folder / name).is_file() and not (folder / name).is_symlink()]


def _read_object(path: Path) -> dict[str, Any]:
    try:
        value = json.loads(path.read_bytes())
    except (OSError, ValueError, RecursionError):
        return {}
    return value if isinstance(value, dict) else {}
