"""Local files and folders: splits, the text column, identity, and paths that lead elsewhere."""

from __future__ import annotations

import gzip
import json
import os
import shutil
import zipfile
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mistudio_pipelines.errors import ErrorCode, MistudioError, Stopped
from mistudio_pipelines.store.layout import DataStore
from mistudio_pipelines.text.conversion import build_raw_folder
from mistudio_pipelines.text.local_files import LocalPlan, plan_local_files
from mistudio_pipelines.text.local_splits import assign_splits, find_saved_splits, order_splits
from mistudio_pipelines.text.reading import iter_text_batches


def write(path: Path, content: str | bytes) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


def by_split(plan: LocalPlan) -> dict[str, list[str]]:
    names: dict[str, list[str]] = {}
    for file in plan.files:
        names.setdefault(file.split, []).append(file.path.name)
    return names


def convert(plan: LocalPlan, root: Path) -> list[str | None]:
    store = DataStore(root)
    manifest = build_raw_folder(
        store,
        "ds_local_x_abc234",
        plan.files,
        source="local",
        repository=None,
        revision=plan.revision,
        config=None,
        text_column=plan.text_column,
    )
    folder = store.raw(manifest.dataset_id)
    return [text for batch in iter_text_batches(folder, manifest) for text in batch.texts.to_pylist()]


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("a.csv", "id,text\n1,hello\n"),
        ("a.tsv", "id\ttext\n1\thello\n"),
        ("a.csv", "id;text\n1;hello\n"),
        ("a.json", '[{"text": "hello"}]'),
        ("a.jsonl", '{"text": "hello"}\n'),
        ("a.txt", "hello\n"),
        ("a.JSONL.GZ", gzip.compress(b'{"text": "hello"}\n')),
        ("a.csv", b"\xef\xbb\xbftext,id\r\nhello,1\r\n"),
    ],
)
def test_one_file_of_any_format_becomes_a_dataset(tmp_path, name, content):
    path = write(tmp_path / name, content)
    plan = plan_local_files([path])
    assert plan.name == "a"
    assert plan.splits == ("train",)
    assert plan.text_column == "text"
    assert plan.size_bytes == path.stat().st_size
    assert plan.pipeline_bytes > 0
    assert convert(plan, tmp_path / "data") == ["hello"]
    assert path.exists()


def test_folders_named_after_splits_decide(tmp_path):
    for name in ("training/a.jsonl", "training/deep/b.jsonl", "dev/c.jsonl", "my-test-set/d.jsonl", "other/e.jsonl"):
        write(tmp_path / "corpus" / name, '{"text": "x"}')
    plan = plan_local_files([tmp_path / "corpus"])
    assert plan.name == "corpus"
    assert by_split(plan) == {"train": ["a.jsonl", "b.jsonl"], "validation": ["c.jsonl"], "test": ["d.jsonl"]}
    assert plan.ignored == ("other/e.jsonl",)


def test_file_names_decide_where_folders_do_not(tmp_path):
    for name in ("x/train.csv", "x/my_train-2.csv", "x/val.csv", "x/eval.2024.csv"):
        write(tmp_path / name, "text\nx\n")
    plan = plan_local_files([tmp_path / "x"])
    assert by_split(plan) == {
        "train": ["my_train-2.csv", "train.csv"],
        "validation": ["val.csv"],
        "test": ["eval.2024.csv"],
    }


def test_the_folder_a_single_file_lies_in_does_not_decide(tmp_path):
    assert plan_local_files([write(tmp_path / "test" / "a.txt", "x")]).splits == ("train",)


def test_files_of_other_formats_in_a_folder_are_left_out_and_named(tmp_path):
    for name in ("a.jsonl", "b.jsonl"):
        write(tmp_path / "x" / name, '{"text": "x"}')
    write(tmp_path / "x" / "readme.txt", "not data")
    write(tmp_path / "x" / "dataset_info.json", "{}")
    write(tmp_path / "x" / ".hidden.jsonl", "{")
    write(tmp_path / "x" / "__pycache__" / "a.jsonl", "{")
    write(tmp_path / "x" / "paper.pdf", "x")
    plan = plan_local_files([tmp_path / "x"])
    assert by_split(plan) == {"train": ["a.jsonl", "b.jsonl"]}
    assert plan.ignored == ("readme.txt",)


def test_several_files_may_have_several_formats(tmp_path):
    paths = [write(tmp_path / "a.txt", "one\n"), write(tmp_path / "b.jsonl", '{"text": "two"}')]
    plan = plan_local_files(paths)
    assert [file.format for file in plan.files] == ["text", "json"]
    assert plan.name == tmp_path.name
    assert convert(plan, tmp_path / "data") == ["one", "two"]


def test_a_file_named_twice_is_taken_once(tmp_path):
    path = write(tmp_path / "x" / "a.txt", "one\n")
    (tmp_path / "link.txt").symlink_to(path)
    assert len(plan_local_files([path, tmp_path / "x", tmp_path / "link.txt"]).files) == 1


def test_only_the_splits_asked_for_are_taken(tmp_path):
    for name in ("train.txt", "test.txt"):
        write(tmp_path / "x" / name, "x")
    assert plan_local_files([tmp_path / "x"], splits=["test"]).splits == ("test",)
    with pytest.raises(MistudioError, match=r"no split 'dev'.*'train', 'test'") as caught:
        plan_local_files([tmp_path / "x"], splits=["dev"])
    assert caught.value.code == ErrorCode.UNKNOWN_SPLIT_OR_CONFIG


def test_an_archive_of_unknown_format_is_looked_into(tmp_path):
    with zipfile.ZipFile(tmp_path / "data.zip", "w") as archive:
        archive.writestr("../a.jsonl", '{"content": "one"}')
        archive.writestr("b.jsonl", '{"content": "two"}')
        archive.writestr("readme.txt", "not data")
    plan = plan_local_files([tmp_path / "data.zip"])
    assert plan.text_column == "content"
    assert convert(plan, tmp_path / "data") == ["one", "two"]


@pytest.mark.parametrize("several", [False, True])
def test_a_folder_that_save_to_disk_wrote_is_read(tmp_path, several):
    import datasets

    dataset = datasets.Dataset.from_dict({"text": ["a", "b"], "label": [0, 1]})
    saved = datasets.DatasetDict({"train": dataset, "dev_1": dataset}) if several else dataset
    saved.save_to_disk(tmp_path / "saved")
    plan = plan_local_files([tmp_path / "saved"])
    assert plan.splits == (("train", "dev_1") if several else ("train",))
    assert convert(plan, tmp_path / "data") == ["a", "b"] * len(plan.splits)


def test_names_in_the_description_of_a_saved_dataset_lead_nowhere(tmp_path):
    write(tmp_path / "secret.arrow", "x")
    write(tmp_path / "x" / "state.json", json.dumps({"_data_files": [{"filename": "../secret.arrow"}, 3, {}]}))
    assert find_saved_splits(tmp_path / "x") is None
    write(tmp_path / "x" / "dataset_dict.json", json.dumps({"splits": ["..", "../x", 5, "a/b"]}))
    assert find_saved_splits(tmp_path / "x") is None
    write(tmp_path / "x" / "dataset_dict.json", "[" * 100_000)
    assert find_saved_splits(tmp_path / "x") is None


def test_a_path_that_does_not_exist_is_named(tmp_path):
    with pytest.raises(MistudioError, match=r"no file or folder .*nowhere") as caught:
        plan_local_files([tmp_path / "nowhere"])
    assert caught.value.code == ErrorCode.PATH_NOT_FOUND
    with pytest.raises(MistudioError):
        plan_local_files([])


@pytest.mark.parametrize("name", ["paper.pdf", "data.tar.gz", "noextension"])
def test_what_cannot_be_read_is_refused_with_the_accepted_extensions(tmp_path, name):
    path = write(tmp_path / "x" / name, "x")
    for given_path in (path, path.parent):
        with pytest.raises(MistudioError, match=r"\.parquet, \.arrow, \.json, \.jsonl.*\.gz, \.zst") as caught:
            plan_local_files([given_path])
        assert caught.value.code == ErrorCode.UNSUPPORTED_FORMAT


def test_a_link_out_of_the_folder_is_refused_and_one_inside_is_not_read_twice(tmp_path):
    folder = tmp_path / "x"
    write(folder / "a.txt", "a")
    (folder / "same.txt").symlink_to(folder / "a.txt")
    assert len(plan_local_files([folder]).files) == 1
    secret = write(tmp_path / "secret" / "b.txt", "secret")
    for target in (secret, secret.parent):
        link = folder / f"{target.name}.txt"
        link.symlink_to(target)
        with pytest.raises(MistudioError, match="a link that leads out of the folder"):
            plan_local_files([folder])
        link.unlink()
    direct = tmp_path / "direct.txt"
    direct.symlink_to(secret)
    assert len(plan_local_files([direct]).files) == 1


def test_what_is_no_regular_file_is_passed_over(tmp_path):
    write(tmp_path / "x" / "a.txt", "a")
    os.mkfifo(tmp_path / "x" / "pipe.txt")
    (tmp_path / "x" / "dangling.txt").symlink_to(tmp_path / "x" / "missing")
    assert by_split(plan_local_files([tmp_path / "x"])) == {"train": ["a.txt"]}
    with pytest.raises(MistudioError):
        plan_local_files([tmp_path / "x" / "pipe.txt"])


def test_names_that_are_no_valid_utf8_do_not_break_what_we_write(tmp_path):
    folder = tmp_path / "x"
    folder.mkdir()
    (folder / os.fsdecode(b"caf\xe9.txt")).write_text("a\n")
    plan = plan_local_files([folder])
    assert plan.files[0].origin.path.endswith("caf\ufffd.txt")
    assert convert(plan, tmp_path / "data") == ["a"]
    with pytest.raises(MistudioError, match="no valid UTF-8"):
        plan_local_files([folder / os.fsdecode(b"caf\xe9.txt")])


def test_the_text_column_is_found_or_the_columns_are_listed(tmp_path):
    path = write(tmp_path / "a.csv", "id,body,title\n1,x,y\n")
    with pytest.raises(MistudioError, match=r"'body', 'title'") as caught:
        plan_local_files([path])
    assert caught.value.code == ErrorCode.NO_TEXT_COLUMN
    assert plan_local_files([path], text_column="body").text_column == "body"
    with pytest.raises(MistudioError, match=r"'id' holds int64"):
        plan_local_files([path], text_column="id")


def test_a_limit_of_size_is_kept_before_anything_is_read(tmp_path):
    path = write(tmp_path / "a.txt", "x" * 2000)
    with pytest.raises(MistudioError, match=r"are 2 kB; the limit is 1 kB") as caught:
        plan_local_files([path], size_limit_bytes=1000)
    assert caught.value.code == ErrorCode.DATASET_TOO_LARGE
    assert plan_local_files([path], size_limit_bytes=2000)


def test_the_revision_changes_exactly_when_the_data_does(tmp_path):
    for name in ("train.txt", "test.txt"):
        write(tmp_path / "x" / name, name)
    first = plan_local_files([tmp_path / "x"]).revision
    shutil.copytree(tmp_path / "x", tmp_path / "moved")
    assert plan_local_files([tmp_path / "moved"]).revision == first
    write(tmp_path / "x" / "notes.pdf", "not data")
    assert plan_local_files([tmp_path / "x"]).revision == first
    write(tmp_path / "x" / "test.txt", "test.tyt")
    changed = plan_local_files([tmp_path / "x"]).revision
    (tmp_path / "x" / "test.txt").rename(tmp_path / "x" / "val.txt")
    renamed = plan_local_files([tmp_path / "x"]).revision
    assert len({first, changed, renamed}) == 3


def test_hashing_tells_progress_and_stops_when_asked(tmp_path):
    path = write(tmp_path / "a.txt", "x\n" * 2_000_000)
    seen = []
    plan_local_files([path], on_progress=seen.append)
    assert seen[-1].done == seen[-1].total == 4_000_000
    assert len(seen) > 2
    with pytest.raises(Stopped):
        plan_local_files([path], should_stop=lambda: True)


def test_a_file_without_rows_does_not_hide_the_columns_of_the_next(tmp_path):
    write(tmp_path / "x" / "a.jsonl", "")
    write(tmp_path / "x" / "b.jsonl", '{"content": "x"}')
    assert plan_local_files([tmp_path / "x"]).text_column == "content"
    (tmp_path / "x" / "b.jsonl").unlink()
    with pytest.raises(MistudioError, match="no samples"):
        plan_local_files([tmp_path / "x"])


def test_a_change_of_a_file_between_plan_and_copy_is_noticed(tmp_path):
    import pyarrow as pa
    import pyarrow.parquet as pq

    pq.write_table(pa.table({"text": ["a"]}), tmp_path / "a.parquet")
    plan = plan_local_files([tmp_path / "a.parquet"])
    pq.write_table(pa.table({"text": ["b"]}), tmp_path / "a.parquet")
    with pytest.raises(MistudioError, match="changed while it was read"):
        convert(plan, tmp_path / "data")


PARTS = st.sampled_from(["train", "test", "valid", "x", "trainer", "my-test", "dev 1", "contest", "eval"])


@given(st.lists(st.tuples(PARTS, PARTS).map(lambda pair: f"{pair[0]}/{pair[1]}.csv"), unique=True))
def test_every_file_belongs_to_one_split_at_most(names):
    assigned = assign_splits(names)
    assert set(assigned) <= set(names)
    assert set(assigned.values()) <= {"train", "validation", "test"}
    assert bool(assigned) == bool(names)


@pytest.mark.parametrize(
    "names",
    [
        ["train.csv", "test.csv", "other.csv"],
        ["train/a.csv", "evaluation/b.csv", "c.csv"],
        ["data/train-00000-of-00002.csv", "data/train-00001-of-00002.csv", "data/special-00000-of-00001.csv"],
        ["a/my_dev_set.csv", "b/training.csv"],
        ["contest.csv", "trainer.csv"],
        ["x/0train1/a.csv", "y/b.csv"],
    ],
)
def test_splits_are_those_of_datasets(tmp_path, names):
    from datasets.data_files import DataFilesDict, get_data_patterns

    for name in names:
        write(tmp_path / name, "text\nx\n")
    patterns = get_data_patterns(str(tmp_path))
    found = DataFilesDict.from_patterns(patterns, str(tmp_path), allowed_extensions=[".csv"])
    expected = {
        Path(path).relative_to(tmp_path).as_posix(): str(split) for split, paths in found.items() for path in paths
    }
    assert assign_splits(names) == expected


def test_splits_come_in_the_usual_order():
    assert order_splits(["zeta", "test", "alpha", "train", "validation"]) == [
        "train",
        "validation",
        "test",
        "alpha",
        "zeta",
    ]
