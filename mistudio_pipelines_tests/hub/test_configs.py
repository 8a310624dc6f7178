"""Configs and splits from cards and file names: as `datasets` sees them, and never outside the repository."""

import tempfile
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mistudio_pipelines.errors import ErrorCode, MistudioError
from mistudio_pipelines.hub import configs
from mistudio_pipelines.hub.card import parse_card


def resolve(paths, parameters=None):
    return configs.resolve_config("user/name", paths, parameters or {})


@pytest.mark.parametrize(
    ("paths", "splits"),
    [
        (["README.md", "dataset.csv"], {"train": ("dataset.csv",)}),
        (["train.csv", "test.csv"], {"train": ("train.csv",), "test": ("test.csv",)}),
        (
            [
                "data/train-00000-of-00002.parquet",
                "data/train-00001-of-00002.parquet",
                "data/extra-00000-of-00001.parquet",
            ],
            {
                "train": ("data/train-00000-of-00002.parquet", "data/train-00001-of-00002.parquet"),
                "extra": ("data/extra-00000-of-00001.parquet",),
            },
        ),
        (
            ["a/validation/x.jsonl", "a/train/y.jsonl.gz"],
            {"train": ("a/train/y.jsonl.gz",), "validation": ("a/validation/x.jsonl",)},
        ),
        ([".hidden/train.csv", "__pycache__/x.csv", "data.txt"], {"train": ("data.txt",)}),
        (["data.txt", "picture.png"], {"train": ("data.txt",)}),
    ],
)
def test_splits_are_found_from_file_names(paths, splits):
    assert dict(resolve(paths).splits) == splits


NAMES = st.sampled_from(
    ["train", "test", "valid", "dev", "data", "x", "train-1", "my_eval", "001", ".git", "__x", "a b", "é"]
)
SUFFIXES = st.sampled_from([".csv", ".txt", ".jsonl", ".json.gz", ".parquet"])


@given(st.lists(st.tuples(st.lists(NAMES, max_size=2), NAMES), min_size=1, max_size=8), SUFFIXES)
@settings(max_examples=60, deadline=None)
def test_names_resolve_as_datasets_resolves_the_same_files_on_disk(names, suffix):
    from datasets.data_files import DataFilesDict, EmptyDatasetError, get_data_patterns
    from datasets.packaged_modules import _ALL_ALLOWED_EXTENSIONS

    paths = sorted({"/".join([*folders, name + suffix]) for folders, name in names})
    with tempfile.TemporaryDirectory(prefix="plain") as folder:
        for path in paths:
            file = Path(folder, path)
            file.parent.mkdir(parents=True, exist_ok=True)
            file.touch()
        try:
            found = DataFilesDict.from_patterns(
                get_data_patterns(folder), folder, allowed_extensions=_ALL_ALLOWED_EXTENSIONS
            )
        except (EmptyDatasetError, FileNotFoundError):
            with pytest.raises(MistudioError, match="no data files"):
                resolve(paths)
            return
        expected = {
            str(split): list(dict.fromkeys(Path(file).relative_to(folder).as_posix() for file in files))
            for split, files in found.items()
        }
    assert {split: list(files) for split, files in resolve(paths).splits.items()} == expected


def card(yaml):
    return parse_card("user/name", f"---\n{yaml}\n---\n# Title\n")


def test_configs_come_from_the_card():
    parsed = card(
        """configs:
- config_name: en
  data_files: en/*.jsonl
- config_name: de
  default: true
  data_files:
  - split: train
    path: de/a.csv
  - split: test
    path: [de/b.csv, 'de/c*']
  sep: ';'
"""
    )
    assert parsed.config_names == ("en", "de")
    assert configs.choose_config("user/name", parsed, None) == "de"
    assert configs.choose_config("user/name", parsed, "en") == "en"
    paths = ["en/1.jsonl", "en/2.jsonl", "de/a.csv", "de/b.csv", "de/c1.csv", "de/c2.csv", "other.csv"]
    german = resolve(paths, parsed.configs["de"])
    assert dict(german.splits) == {"train": ("de/a.csv",), "test": ("de/b.csv", "de/c1.csv", "de/c2.csv")}
    assert german.file_format == "csv"
    assert german.reader_options == {"sep": ";"}
    assert dict(resolve(paths, parsed.configs["en"]).splits) == {"train": ("en/1.jsonl", "en/2.jsonl")}


def test_a_data_folder_of_the_card_is_looked_into():
    parsed = card("configs:\n- config_name: a\n  data_dir: part/a\n- config_name: b\n  data_dir: part/b")
    paths = ["part/a/train.csv", "part/b/test.csv", "train.csv"]
    assert dict(resolve(paths, parsed.configs["a"]).splits) == {"train": ("part/a/train.csv",)}
    assert dict(resolve(paths, parsed.configs["b"]).splits) == {"test": ("part/b/test.csv",)}


def test_several_configs_without_a_default_are_listed():
    parsed = card("configs:\n- config_name: en\n  data_files: en/*\n- config_name: de\n  data_files: de/*")
    with pytest.raises(MistudioError, match=r"2 configs and none is the default.*'en', 'de'") as caught:
        configs.choose_config("user/name", parsed, None)
    assert caught.value.code == ErrorCode.UNKNOWN_SPLIT_OR_CONFIG
    with pytest.raises(MistudioError, match=r"no config 'fr'.*'en', 'de'"):
        configs.choose_config("user/name", parsed, "fr")


def test_columns_and_sizes_come_from_the_card_where_it_has_them():
    parsed = card(
        "dataset_info:\n  features:\n  - name: text\n    dtype: string\n  - name: tags\n    sequence: int64\n"
        "  splits:\n  - name: train\n    num_bytes: 1234\n    num_examples: 5"
    )
    assert parsed.columns == {"default": {"text": "string", "tags": "list<item: int64>"}}
    assert parsed.split_bytes == {"default": {"train": 1234}}


@pytest.mark.parametrize(
    "readme",
    ["", "no head", "---\nlicense: mit\n---", "---\nan unfinished head", "\x00\ufffd"],
)
def test_a_readme_without_configs_is_one_config(readme):
    parsed = parse_card("user/name", readme)
    assert parsed.config_names == ("default",)


@pytest.mark.parametrize(
    "yaml",
    [
        ": : :",
        "- a list",
        "configs: 7",
        "configs: [1, 2]",
        "configs:\n- data_files: x",
        "configs:\n- config_name: a\n  data_files:\n  - split: 'not a split!'\n    path: x",
        "configs:\n- config_name: a\n  default: true\n- config_name: b\n  default: true",
    ],
)
def test_configs_that_make_no_sense_are_an_error_about_the_card(yaml):
    with pytest.raises(MistudioError, match=r"card .README.md. of 'user/name' cannot be understood") as caught:
        card(yaml)
    assert caught.value.code == ErrorCode.UNSUPPORTED_FORMAT


@pytest.mark.parametrize(
    "pattern",
    [
        "/etc/passwd",
        "/etc/*",
        "~/.ssh/*",
        "../other/*",
        "a/../../b",
        "a\\..\\..\\b",
        "file:///etc/passwd",
        "https://evil.example/data.csv",
        "hf://datasets/other/name/data.csv",
        "zip://*.csv::data.zip",
        "memory://x",
        "a\0b",
    ],
)
def test_a_card_cannot_name_files_outside_the_repository(pattern):
    """`datasets` would glob this machine's disk for an absolute pattern."""
    for parameters in (
        {"data_files": pattern},
        {"data_files": [{"split": "train", "path": [pattern]}]},
        {"data_dir": pattern},
    ):
        with pytest.raises(MistudioError, match="outside the repository"):
            resolve(["data.csv"], parameters)


@given(st.text(max_size=30))
@settings(max_examples=150, deadline=None)
def test_whatever_the_pattern_only_files_of_the_repository_come_out(pattern):
    paths = ["data.csv", "a/b.csv", "train/x.csv"]
    try:
        found = resolve(paths, {"data_files": pattern})
    except MistudioError as error:
        assert error.code == ErrorCode.UNSUPPORTED_FORMAT
        return
    assert {path for files in found.splits.values() for path in files} <= set(paths)


def test_no_data_files_says_which_formats_there_are():
    for paths in ([], ["README.md"], ["script.py", ".gitattributes"]):
        with pytest.raises(MistudioError, match=r"no data files of a known format.*Parquet, Arrow, JSON"):
            resolve(paths)
    with pytest.raises(MistudioError, match="no data files"):
        resolve(["a.csv"], {"data_files": "missing.csv"})
    with pytest.raises(MistudioError, match="no data files"):
        resolve(["a.csv"], {"data_files": "missing/*.csv"})


def test_splits_in_different_formats_are_refused():
    with pytest.raises(MistudioError, match=r"different formats .train: csv, test: json"):
        resolve(["train.csv", "test.jsonl"])


@pytest.mark.parametrize(
    ("path", "file_format", "options"),
    [
        ("a.csv.gz", "csv", {}),
        ("a.tsv", "csv", {"sep": "\t"}),
        ("a.json", "json", {}),
        ("a.jsonl.zst", "json", {}),
        ("a.txt.xz", "text", {}),
        ("a.parquet", "parquet", {}),
        ("a.arrow", "arrow", {}),
        ("a.csv.zip", "csv", {}),
        ("a.zip", None, {}),
    ],
)
def test_the_format_follows_from_the_suffixes(path, file_format, options):
    found = resolve([path])
    assert (found.file_format, found.reader_options) == (file_format, options)


def test_requested_splits_are_checked_and_keep_their_order():
    available = ["train", "validation", "test"]
    assert configs.choose_splits("user/name", "default", available, None) == ("train", "validation", "test")
    assert configs.choose_splits("user/name", "default", available, ["test", "train"]) == ("train", "test")
    with pytest.raises(MistudioError, match=r"no split 'dev', 'x'.*'train', 'validation', 'test'"):
        configs.choose_splits("user/name", "default", available, ["dev", "train", "x"])
    with pytest.raises(MistudioError, match="without any split"):
        configs.choose_splits("user/name", "default", available, [])


def test_the_conversion_branch_has_configs_and_splits_in_its_folders():
    paths = [
        "default/train/0000.parquet",
        "default/train/0001.parquet",
        "default/test/0000.parquet",
        "de/partial-train/0000.parquet",
        ".gitattributes",
    ]
    assert configs.conversion_layout(paths) == {
        "de": {"train": ("de/partial-train/0000.parquet",)},
        "default": {
            "train": ("default/train/0000.parquet", "default/train/0001.parquet"),
            "test": ("default/test/0000.parquet",),
        },
    }
    assert configs.is_conversion(paths)
    assert not configs.is_conversion([*paths, "data.csv"])
    assert not configs.is_conversion(["data/train/part.parquet"])
    assert not configs.is_conversion([])
