"""From files of any format to the published raw folder: order, names, resumption, what other libraries see."""

from __future__ import annotations

import errno
import gzip
import json
import shutil
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from mistudio_pipelines.errors import ErrorCode, MistudioError, Stopped
from mistudio_pipelines.store.layout import DataStore
from mistudio_pipelines.store.manifest import Manifest, Origin, read_manifest
from mistudio_pipelines.store.raw_folder import file_sha256, verify_raw
from mistudio_pipelines.text.conversion import SourceFile, build_raw_folder, finished_origins
from mistudio_pipelines.text.reading import iter_text_batches, read_samples

ID = "ds_local_x_abc234"


def source(
    path: Path, data_format: str = "json", split: str = "train", *, sha256: bool = False, **options
) -> SourceFile:
    digest = file_sha256(path) if sha256 else None
    return SourceFile(
        path, split, data_format, Origin(path=path.name, size=path.stat().st_size, sha256=digest), options
    )


def build(store: DataStore, sources, **changes) -> Manifest:
    arguments = {
        "source": "local",
        "repository": None,
        "revision": "r1",
        "config": None,
        "text_column": "text",
        "info": {},
    }
    return build_raw_folder(store, ID, sources, **{**arguments, **changes})


def texts_of(store: DataStore, manifest: Manifest) -> list[str | None]:
    return [text for batch in iter_text_batches(store.raw(ID), manifest) for text in batch.texts.to_pylist()]


@pytest.fixture
def store(tmp_path) -> DataStore:
    return DataStore(tmp_path / "data")


def write_json_lines(path: Path, rows: list[dict]) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows))
    return path


def test_files_of_several_splits_load_in_datasets_with_the_right_splits(tmp_path, store, monkeypatch):
    first = write_json_lines(tmp_path / "a.jsonl", [{"text": "a", "n": 1}, {"text": None, "n": "x", "list": [1, 2]}])
    second = write_json_lines(tmp_path / "b.jsonl", [{"text": "b", "deep": {"z": [{"y": 1.5}]}}])
    manifest = build(store, [source(first), source(second, split="pre.training_2")])
    assert manifest == read_manifest(store.raw(ID))
    assert manifest.rows_by_split == {"train": 2, "pre.training_2": 1}
    assert [file.path for file in manifest.files] == [
        "train-00000-of-00001.parquet",
        "pre.training_2-00000-of-00001.parquet",
    ]
    import datasets

    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "cache")
    loaded = datasets.load_dataset(str(store.raw(ID)), cache_dir=str(tmp_path / "cache"))
    assert loaded["train"].to_list() == [
        {"text": "a", "n": "1", "list": None, "deep": None},
        {"text": None, "n": "x", "list": [1, 2], "deep": None},
    ]
    assert loaded["pre.training_2"].to_list() == [{"text": "b", "n": None, "list": None, "deep": {"z": [{"y": 1.5}]}}]
    described = datasets.Features.from_dict(json.loads((store.raw(ID) / "dataset_info.json").read_text())["features"])
    assert described == loaded["train"].features


def test_splits_keep_the_order_given_and_files_their_order_in_them(tmp_path, store):
    files = [write_json_lines(tmp_path / f"{name}.jsonl", [{"text": name}]) for name in "abcd"]
    splits = ["test", "train", "test", "train"]
    manifest = build(store, [source(path, split=split) for path, split in zip(files, splits, strict=True)])
    assert list(manifest.rows_by_split) == ["test", "train"]
    assert texts_of(store, manifest) == ["a", "c", "b", "d"]


def write_parquet(path: Path, rows: int, row_group_size: int, **columns) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    table = pa.table({"text": [f"{path.stem} {number}" for number in range(rows)], **columns})
    pq.write_table(table, path, row_group_size=row_group_size)
    return path


def test_parquet_with_small_row_groups_is_kept_byte_for_byte(tmp_path, store):
    path = write_parquet(tmp_path / "a.parquet", 2500, 1000)
    content = path.read_bytes()
    manifest = build(store, [source(path, "parquet")])
    (file,) = manifest.files
    assert (store.raw(ID) / file.path).read_bytes() == content == path.read_bytes()
    assert file.origins[0].unchanged
    assert file.sha256 == file_sha256(path)
    assert path.stat().st_nlink == 1  # a copy: writing to the original later must not change the dataset


def test_nested_columns_of_other_writers_do_not_keep_parquet_from_being_kept(tmp_path, store):
    inner = pa.struct([pa.field("x", pa.list_(pa.field("element", pa.int64(), nullable=False)), nullable=False)])
    table = pa.table({"text": ["a", "b"], "deep": pa.array([{"x": [1]}, {"x": []}], inner)})
    paths = [tmp_path / "a.parquet", tmp_path / "b.parquet"]
    pq.write_table(table, paths[0], store_schema=False)
    pq.write_table(pa.table({"deep": [{"x": [1]}], "text": ["c"]}), paths[1])
    manifest = build(store, [source(path, "parquet") for path in paths])
    assert [file.origins[0].unchanged for file in manifest.files] == [True, True]
    import datasets

    loaded = datasets.load_dataset(str(store.raw(ID)), cache_dir=str(tmp_path / "cache"), split="train")
    assert loaded["deep"][:] == [{"x": [1]}, {"x": []}, {"x": [1]}]


def test_what_datasets_wrote_about_the_columns_is_kept_unless_it_makes_no_sense(tmp_path, store):
    import datasets

    features = datasets.Features(
        {"text": datasets.Value("string"), "label": datasets.ClassLabel(names=["bad", "good"])}
    )
    dataset = datasets.Dataset.from_dict({"text": ["a"] * 3000, "label": [1] * 3000}, features=features)
    path = tmp_path / "a.parquet"
    dataset.to_parquet(path, batch_size=3000)
    build(store, [source(path, "parquet")])
    loaded = datasets.load_dataset(str(store.raw(ID)), cache_dir=str(tmp_path / "cache"), split="train")
    assert loaded.features["label"].names == ["bad", "good"]
    table = pq.read_table(path).replace_schema_metadata({"huggingface": '{"info": {"features": {"text": [{}, 7]}}}'})
    pq.write_table(table, path)
    build(store, [source(path, "parquet")])
    described = json.loads((store.raw(ID) / "dataset_info.json").read_text())["features"]
    assert described["label"]["dtype"] == "int64"


def test_parquet_with_large_row_groups_is_rewritten_with_small_ones(tmp_path, store):
    path = write_parquet(tmp_path / "a.parquet", 2500, 2500)
    manifest = build(store, [source(path, "parquet", sha256=True)])
    (file,) = manifest.files
    metadata = pq.read_metadata(store.raw(ID) / file.path)
    assert max(metadata.row_group(number).num_rows for number in range(metadata.num_row_groups)) <= 1000
    assert pq.read_table(store.raw(ID) / file.path).equals(pq.read_table(path))
    assert not file.origins[0].unchanged
    assert file.origins[0].sha256 == file_sha256(path)
    assert file.sha256 == file_sha256(store.raw(ID) / file.path)


def test_long_texts_have_small_row_groups_and_neither_dictionaries_nor_bounds_in_the_footer(tmp_path, store):
    """Reading one sample would decode the dictionary of all; and footers are held in memory."""
    texts = [f"text {number} " * 60 for number in range(2500)]
    languages = ["en" if number % 3 else "de" for number in range(2500)]
    notes = [{"score": number, "tags": ["a", "b"]} for number in range(2500)]
    path = write_parquet(tmp_path / "a.parquet", 2500, 2500, text=texts, language=languages, notes=notes)

    manifest = build(store, [source(path, "parquet")])

    written = store.raw(ID) / manifest.files[0].path
    assert pq.read_table(written).equals(pq.read_table(path))
    metadata = pq.read_metadata(written)
    groups = [metadata.row_group(number) for number in range(metadata.num_row_groups)]
    assert max(group.total_byte_size for group in groups) < 400_000
    columns = {groups[0].column(number).path_in_schema: groups[0].column(number) for number in range(4)}
    text, language = columns.pop("text"), columns.pop("language")
    assert not text.has_dictionary_page
    assert text.statistics is None
    assert language.has_dictionary_page
    assert (language.statistics.min, language.statistics.max) == ("de", "en")
    assert all(column.statistics is not None for column in columns.values())


def test_downloaded_files_are_taken_over_without_a_second_copy_and_removed(tmp_path, store):
    folder = store.raw_partial(ID) / "download"
    kept = write_parquet(folder / "kept.parquet", 50, 10)
    large = write_parquet(folder / "large.parquet", 2500, 2500)
    lines = write_json_lines(folder / "c.jsonl", [{"text": "c"}])
    inode = kept.stat().st_ino
    sources = [source(kept, "parquet", sha256=True), source(large, "parquet", sha256=True), source(lines)]
    manifest = build(store, sources)
    assert manifest.rows == 2551
    assert (store.raw(ID) / manifest.files[0].path).stat().st_ino == inode
    assert not store.raw_partial(ID).exists()


def test_one_downloaded_file_may_serve_two_splits(tmp_path, store):
    path = write_parquet(store.raw_partial(ID) / "download" / "a.parquet", 5, 5)
    manifest = build(store, [source(path, "parquet"), source(path, "parquet", split="test")])
    assert manifest.rows_by_split == {"train": 5, "test": 5}


def test_files_with_different_columns_are_given_the_same_ones(tmp_path, store):
    kept = write_parquet(tmp_path / "kept.parquet", 3, 3, n=[1, 2, 3])
    lines = write_json_lines(tmp_path / "b.jsonl", [{"text": "b", "n": "four", "tag": ["x"]}])
    manifest = build(store, [source(kept, "parquet"), source(lines)])
    schemas = [pq.read_schema(store.raw(ID) / file.path) for file in manifest.files]
    assert schemas[0].equals(schemas[1])
    assert not manifest.files[0].origins[0].unchanged
    assert read_samples(store.raw(ID), manifest, [0, 3]).to_pylist() == [
        {"text": "kept 0", "n": "1", "tag": None},
        {"text": "b", "n": "four", "tag": ["x"]},
    ]
    assert verify_raw(store.raw(ID), manifest) == []


def test_many_small_files_become_one(tmp_path, store):
    files = [write_json_lines(tmp_path / f"{number:03d}.jsonl", [{"text": str(number)}]) for number in range(50)]
    manifest = build(store, [source(path) for path in files])
    assert len(manifest.files) == 1
    assert [origin.path for origin in manifest.files[0].origins] == [path.name for path in files]
    assert texts_of(store, manifest) == [str(number) for number in range(50)]


def test_a_stopped_conversion_goes_on_with_the_step_it_was_in(tmp_path, store):
    folder = store.raw_partial(ID) / "download"
    files = [write_parquet(folder / f"{name}.parquet", 1500, 1500) for name in "abc"]
    sources = [source(path, "parquet", sha256=True) for path in files]
    polls = 0

    def stop_in_the_last_file() -> bool:
        nonlocal polls
        polls += "c.parquet" in {path.name for path in folder.iterdir()} and not files[1].exists()
        return polls > 1

    with pytest.raises(Stopped):
        build(store, sources, should_stop=stop_in_the_last_file)
    assert not store.raw(ID).exists()
    assert not files[0].exists() and not files[1].exists() and files[2].exists()
    assert finished_origins(store, ID) == {"a.parquet", "b.parquet"}
    manifest = build(store, sources)
    assert texts_of(store, manifest) == [f"{name} {number}" for name in "abc" for number in range(1500)]
    assert finished_origins(store, ID) == frozenset()


def test_what_an_earlier_attempt_made_of_other_content_is_not_used(tmp_path, store):
    path = write_json_lines(tmp_path / "a.jsonl", [{"text": "old"}])
    broken = tmp_path / "b.jsonl"
    broken.write_text("{\n")
    with pytest.raises(MistudioError):
        build(store, [source(path, sha256=True), source(broken, split="test")])
    write_json_lines(path, [{"text": "new"}])
    manifest = build(store, [source(path, sha256=True)])
    assert texts_of(store, manifest) == ["new"]
    assert len(list(store.raw(ID).glob("*.parquet"))) == 1


def test_a_dataset_is_replaced_as_a_whole(tmp_path, store):
    build(store, [source(write_json_lines(tmp_path / "a.jsonl", [{"text": "a"}]), split=s) for s in ("train", "test")])
    manifest = build(store, [source(tmp_path / "a.jsonl")], revision="r2")
    assert read_manifest(store.raw(ID)).revision == "r2"
    assert sorted(path.name for path in store.raw(ID).glob("*.parquet")) == [manifest.files[0].path]


def test_a_split_without_samples_is_kept_empty_and_loads(tmp_path, store):
    full = write_json_lines(tmp_path / "a.jsonl", [{"text": "a"}])
    empty = write_json_lines(tmp_path / "b.jsonl", [])
    manifest = build(store, [source(full), source(empty, split="test")])
    assert manifest.rows_by_split == {"train": 1, "test": 0}
    assert pq.read_schema(store.raw(ID) / manifest.files[1].path).names == ["text"]


def test_files_without_any_sample_are_refused(tmp_path, store):
    empty = write_json_lines(tmp_path / "b.jsonl", [])
    with pytest.raises(MistudioError, match="no samples"):
        build(store, [source(empty)])
    assert not store.raw(ID).exists()


def test_a_file_without_the_text_column_is_refused_by_name(tmp_path, store):
    good = write_json_lines(tmp_path / "a.jsonl", [{"text": "a"}])
    bad = tmp_path / "b.csv"
    bad.write_text("id,body\n1,x\n")
    with pytest.raises(MistudioError, match=r"b\.csv has no column 'text'; its columns are 'id', 'body'") as caught:
        build(store, [source(good), source(bad, "csv")])
    assert caught.value.code == ErrorCode.NO_TEXT_COLUMN


@pytest.mark.parametrize("split", ["../up", "a/b", "", ".", "a\0b", "ｔｒａｉｎ", "x" * 200, "-rf"])
def test_a_split_name_that_is_not_safe_is_refused_before_anything_is_written(tmp_path, store, split):
    path = write_json_lines(tmp_path / "a.jsonl", [{"text": "a"}])
    with pytest.raises(MistudioError) as caught:
        build(store, [source(path, split=split)])
    assert caught.value.code == ErrorCode.UNKNOWN_SPLIT_OR_CONFIG
    assert not store.root.exists()


def test_invalid_utf8_is_counted_in_the_manifest_or_refused_with_file_and_line(tmp_path, store):
    path = tmp_path / "a.jsonl"
    path.write_bytes(b'{"text":"ok"}\n{"text":"caf\xe9"}\n')
    with pytest.raises(MistudioError, match=r"a\.jsonl cannot be read: invalid UTF-8 in line 2, byte 13"):
        build(store, [source(path)], strict=True)
    manifest = build(store, [source(path)])
    assert texts_of(store, manifest) == ["ok", "caf\ufffd"]
    assert manifest.files[0].replaced_characters == 1


def test_strict_looks_into_parquet_files_too(tmp_path, store):
    path = tmp_path / "a.parquet"
    invalid = pa.array([b"ok", b"\xff"], pa.binary()).view(pa.string())
    pq.write_table(pa.table({"text": invalid}), path)
    with pytest.raises(MistudioError, match=r"a\.parquet cannot be read: invalid UTF-8 in column 'text', rows 0 to 1"):
        build(store, [source(path, "parquet")], strict=True)


def test_progress_counts_bytes_of_the_sources_and_never_goes_back(tmp_path, store):
    big = tmp_path / "a.jsonl.gz"
    big.write_bytes(gzip.compress(b"".join(b'{"text":"%d"}\n' % number for number in range(150_000))))
    large = write_parquet(tmp_path / "b.parquet", 20_000, 20_000)
    seen = []
    build(store, [source(big), source(large, "parquet")], on_progress=seen.append)
    assert [each.done for each in seen] == sorted(each.done for each in seen)
    assert len({each.done for each in seen}) > 3
    assert seen[-1].done == seen[-1].total == big.stat().st_size + large.stat().st_size


def test_a_full_disk_is_said_in_one_sentence_and_nothing_is_published(tmp_path, store, monkeypatch):
    monkeypatch.setattr("mistudio_pipelines.text.parquet_writer.free_bytes", lambda folder: 1_000_000)
    path = write_json_lines(tmp_path / "a.jsonl", [{"text": "a"}])
    with pytest.raises(MistudioError, match="1 MB are free") as caught:
        build(store, [source(path)])
    assert caught.value.code == ErrorCode.INSUFFICIENT_STORAGE
    assert not store.raw(ID).exists()


def test_a_disk_that_fills_up_while_it_is_written_to_is_the_same_error(tmp_path, store, monkeypatch):
    def write(self, content):
        raise OSError(errno.ENOSPC, "No space left on device")

    path = write_json_lines(tmp_path / "a.jsonl", [{"text": "a" * 1000}] * 9000)
    with monkeypatch.context() as patch:
        patch.setattr("mistudio_pipelines.text.parquet_writer._HashingFile.write", write)
        with pytest.raises(MistudioError, match="is full") as caught:
            build(store, [source(path)])
    assert caught.value.code == ErrorCode.INSUFFICIENT_STORAGE
    assert not list(store.raw_partial(ID).rglob("*.parquet"))
    assert build(store, [source(path)]).rows == 9000


def test_dictionaries_maps_and_views_become_types_that_datasets_loads(tmp_path, store):
    table = pa.table(
        {
            "text": pa.array(["a", "b", "a"]).dictionary_encode(),
            "map": pa.array([[("k", 1)], None, []], pa.map_(pa.string(), pa.int64())),
            "when": pa.array([1, None, 3], pa.timestamp("us", "UTC")),
        }
    )
    path = tmp_path / "a.parquet"
    pq.write_table(table, path)
    manifest = build(store, [source(path, "parquet")])
    import datasets

    loaded = datasets.load_dataset(str(store.raw(ID)), cache_dir=str(tmp_path / "cache"), split="train")
    assert loaded["text"][:] == ["a", "b", "a"]
    assert loaded["map"][:] == [[{"key": "k", "value": 1}], None, []]
    assert manifest.rows == 3


def test_a_raw_folder_that_was_tampered_with_is_told_file_by_file(tmp_path, store):
    paths = [write_parquet(tmp_path / f"{name}.parquet", 5, 5) for name in "abc"]
    manifest = build(store, [source(path, "parquet") for path in paths])
    folder = store.raw(ID)
    assert verify_raw(folder, manifest) == []
    first, second, third = (folder / file.path for file in manifest.files)
    content = bytearray(first.read_bytes())
    content[20] ^= 1
    first.write_bytes(content)
    second.write_bytes(second.read_bytes() + b"x")
    third.unlink()
    assert verify_raw(folder, manifest) == [first.name, second.name, third.name]
    with pytest.raises(Stopped):
        verify_raw(folder, manifest, should_stop=lambda: True)


def test_another_file_system_without_links_is_fine(tmp_path, store, monkeypatch):
    def refuse(self, target):
        raise PermissionError("no links here")

    monkeypatch.setattr(Path, "hardlink_to", refuse)
    path = write_parquet(store.raw_partial(ID) / "download" / "a.parquet", 5, 5)
    assert build(store, [source(path, "parquet")]).rows == 5
    shutil.rmtree(store.root)
