"""Which files are the configs and splits of a repository: what its card and its file names say.

What belongs here: the rules of `datasets` applied to a list of names, without a request. What does not: parsing the
card (`hub/card.py`), looking into files (`hub/peek.py`).
"""

from __future__ import annotations

import posixpath
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from mistudio_pipelines.errors import ErrorCode, MistudioError
from mistudio_pipelines.hub.card import Card, broken_card
from mistudio_pipelines.hub.tree import NAMES_ROOT, names_as_file_system
from mistudio_pipelines.text.columns import list_names

SUPPORTED_FORMATS = ("parquet", "json", "csv", "text", "arrow")
ARCHIVE_SUFFIX = ".zip"
_SPLIT_NAME = re.compile(r"\w+(\.\w+)*")
_LONGEST_SPLIT_NAME = 80
# What a config says besides how its files are to be read.
_NOT_READER_OPTIONS = frozenset({"data_files", "data_dir", "default", "features", "version", "description", "name"})


@dataclass(frozen=True)
class ConfigFiles:
    """The files of one config.

    Attributes:
        splits: Paths of each split, in the order in which they are read.
        file_format: Name of the `datasets` module that reads them, or None where only archives were found, whose
            members decide, or nothing that it knows.
        reader_options: How they are to be read, as the parameters of that module.
    """

    splits: Mapping[str, tuple[str, ...]]
    file_format: str | None
    reader_options: Mapping[str, Any]


def choose_config(repository: str, card: Card, requested: str | None) -> str:
    """The config asked for, else the default one, else the only one.

    Raises:
        MistudioError: `unknown_split_or_config`, listing the valid ones.
    """
    names = list(card.config_names)
    if requested is not None:
        if requested in names:
            return requested
        raise MistudioError(
            ErrorCode.UNKNOWN_SPLIT_OR_CONFIG,
            f"Repository '{repository}' has no config '{requested}'.",
            f"Its configs are {list_names(names)}.",
            details={"configs": names},
        )
    if card.default_config is not None:
        return card.default_config
    if len(names) == 1:
        return names[0]
    raise MistudioError(
        ErrorCode.UNKNOWN_SPLIT_OR_CONFIG,
        f"Repository '{repository}' has {len(names)} configs and none is the default.",
        f"Choose one of {list_names(names)}, for example config={names[0]!r}.",
        details={"configs": names},
    )


def resolve_config(repository: str, paths: Iterable[str], parameters: Mapping[str, Any]) -> ConfigFiles:
    """The files of a config, as `datasets` finds them.

    Args:
        repository: For the errors.
        paths: All files of the repository.
        parameters: The config's parameters from the card; empty where it has none.

    Raises:
        MistudioError: `unsupported_format` where there are no data files or the splits are in different formats.
    """
    from datasets import DownloadConfig
    from datasets.data_files import DataFilesDict, EmptyDatasetError, get_data_patterns, sanitize_patterns
    from datasets.packaged_modules import _ALL_ALLOWED_EXTENSIONS

    base = NAMES_ROOT + _inside(repository, str(parameters.get("data_dir") or ""))
    try:
        with names_as_file_system(paths) as options:
            download_config = DownloadConfig(storage_options=options)
            declared = parameters.get("data_files")
            if declared is None:
                patterns = get_data_patterns(base, download_config=download_config)
            else:
                patterns = sanitize_patterns(declared)
                patterns = {
                    split: [_inside(repository, each) for each in several] for split, several in patterns.items()
                }
            found = DataFilesDict.from_patterns(
                patterns, base, allowed_extensions=_ALL_ALLOWED_EXTENSIONS, download_config=download_config
            )
    except (EmptyDatasetError, FileNotFoundError) as error:
        raise _no_data_files(repository) from error
    except ValueError as error:
        raise broken_card(repository, error) from error
    splits = {
        str(split): tuple(dict.fromkeys(address.removeprefix(NAMES_ROOT).strip("/") for address in addresses))
        for split, addresses in found.items()
        if addresses
    }
    if not splits:
        raise _no_data_files(repository)
    for split in splits:
        if not _SPLIT_NAME.fullmatch(split) or len(split) > _LONGEST_SPLIT_NAME:
            raise broken_card(repository, ValueError(f"{split[:80]!r} cannot be the name of a split."))
    return _with_format(repository, splits, parameters)


def _no_data_files(repository: str) -> MistudioError:
    return MistudioError(
        ErrorCode.UNSUPPORTED_FORMAT,
        f"Repository '{repository}' has no data files of a known format.",
        "Supported are Parquet, Arrow, JSON, JSON Lines, CSV, TSV and text, also compressed.",
    )


def _inside(repository: str, pattern: str) -> str:
    """A pattern of the card, refused where it could lead out of the repository.

    `datasets` would follow an absolute path or an address to wherever it points, this machine's files included.
    """
    outside = "://" in pattern or "::" in pattern or "\0" in pattern or pattern.startswith(("/", "~"))
    if outside or ".." in pattern.replace("\\", "/").split("/"):
        raise MistudioError(
            ErrorCode.UNSUPPORTED_FORMAT,
            f"The card of '{repository}' names data outside the repository ({pattern[:120]!r}).",
            "Only files of the repository itself are downloaded; choose another config.",
        )
    return "" if pattern in ("", ".") else posixpath.normpath(pattern)


def _with_format(repository: str, splits: Mapping[str, tuple[str, ...]], parameters: Mapping[str, Any]) -> ConfigFiles:
    formats = {split: infer_format(paths) for split, paths in splits.items()}
    if len({str(each) for each in formats.values()}) > 1:
        shown = ", ".join(f"{split}: {name or 'unknown'}" for split, (name, _) in formats.items())
        raise MistudioError(
            ErrorCode.UNSUPPORTED_FORMAT,
            f"The splits of '{repository}' are in different formats ({shown}).",
            "Choose a config whose splits are in one format, or add the splits as separate datasets.",
        )
    file_format, options = next(iter(formats.values()))
    given = {name: value for name, value in parameters.items() if name not in _NOT_READER_OPTIONS}
    kept = {split: of_format(paths, file_format) for split, paths in splits.items()}
    return ConfigFiles(
        splits={split: paths for split, paths in kept.items() if paths},
        file_format=file_format,
        reader_options={**options, **given},
    )


def infer_format(paths: tuple[str, ...]) -> tuple[str | None, dict[str, Any]]:
    """The `datasets` module that reads most of these files, and its options; None where archives alone are there."""
    from datasets.load import infer_module_for_data_files_list

    # With archives in the list `datasets` would open them; their members are looked at in `hub/peek.py`.
    plain = [path for path in paths if not is_plain_archive(path)]
    module, options = infer_module_for_data_files_list(plain)
    return module, dict(options)


def is_plain_archive(path: str) -> bool:
    """Whether only the members of this archive can say what its format is."""
    from datasets.packaged_modules import _EXTENSION_TO_MODULE

    suffixes = [f".{suffix.lower()}" for suffix in posixpath.basename(path).split(".")[1:]]
    return suffixes[-1:] == [ARCHIVE_SUFFIX] and not any(suffix in _EXTENSION_TO_MODULE for suffix in suffixes)


def of_format(paths: tuple[str, ...], file_format: str | None) -> tuple[str, ...]:
    """Those of the files that a module reads, by their names."""
    from datasets.data_files import DataFilesList
    from datasets.packaged_modules import _MODULE_TO_EXTENSIONS

    if file_format is None:
        return paths
    kept = DataFilesList(list(paths), []).filter(extensions=_MODULE_TO_EXTENSIONS[file_format])
    return tuple(str(path) for path in kept)


def choose_splits(
    repository: str, config: str, available: Iterable[str], requested: Iterable[str] | None
) -> tuple[str, ...]:
    """The splits asked for, in their own order, or all.

    Raises:
        MistudioError: `unknown_split_or_config`, listing the valid ones.
    """
    names = list(available)
    if requested is None:
        return tuple(names)
    wanted = list(requested)
    unknown = [name for name in wanted if name not in names]
    if unknown or not wanted:
        what = f"has no split {list_names(unknown)}" if unknown else "was asked for without any split"
        raise MistudioError(
            ErrorCode.UNKNOWN_SPLIT_OR_CONFIG,
            f"Config '{config}' of repository '{repository}' {what}.",
            f"Its splits are {list_names(names)}.",
            details={"splits": names},
        )
    return tuple(name for name in names if name in wanted)


_NUMBERED = re.compile(r"/\d{4,}\.parquet\Z")
_OTHER_FILES_OF_CONVERSIONS = frozenset({".gitattributes", "README.md"})
_CONVERTED = re.compile(r"(?P<config>[^/]+)/(?:partial-)?(?P<split>[^/]+)/[^/]+\.parquet")


def conversion_layout(paths: Iterable[str]) -> dict[str, dict[str, tuple[str, ...]]]:
    """Files by config and split of the Hub's branch `refs/convert/parquet`.

    Its layout is `config/split/0000.parquet`; a split converted only in part is under `config/partial-split/`
    (huggingface.co/docs/dataset-viewer/parquet). Splits come in the usual order: train, validation, test, others.
    """
    found: dict[str, dict[str, list[str]]] = {}
    for path in sorted(paths):
        match = _CONVERTED.fullmatch(path)
        if match is not None and _SPLIT_NAME.fullmatch(match["split"]) and len(match["split"]) <= _LONGEST_SPLIT_NAME:
            found.setdefault(match["config"], {}).setdefault(match["split"], []).append(path)
    usual = ("train", "validation", "test")
    return {
        config: {
            split: tuple(splits[split])
            for split in sorted(splits, key=lambda name: (usual.index(name) if name in usual else len(usual), name))
        }
        for config, splits in found.items()
    }


def is_conversion(paths: Iterable[str]) -> bool:
    """Whether a commit is one of the branch `refs/convert/parquet`, by its files: nothing but numbered Parquet."""
    others = [path for path in paths if path not in _OTHER_FILES_OF_CONVERSIONS]
    return bool(others) and all(_CONVERTED.fullmatch(path) and _NUMBERED.search(path) for path in others)
