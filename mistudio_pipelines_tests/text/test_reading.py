"""Reading a raw folder: order, numbers, bounded decoding, damaged files."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mistudio_pipelines.errors import ErrorCode, MistudioError, Stopped
from mistudio_pipelines.store.manifest import Manifest, RawFile
from mistudio_pipelines.text.reading import iter_text_batches, list_row_groups, read_samples


def make_raw(
    folder: Path, tables: list[tuple[str, pa.Table]], *, row_group_size: int = 3, text: str = "text"
) -> Manifest:
    """A raw folder as conversion leaves it, without the parts that reading does not look at."""
    files = []
    for index, (split, table) in enumerate(tables):
        path = folder / f"{split}-{index:05d}.parquet"
        pq.write_table(table, path, row_group_size=row_group_size)
        content = path.read_bytes()
        files.append(
            RawFile(
                path=path.name,
                split=split,
                rows=table.num_rows,
                size=len(content),
                sha256=hashlib.sha256(content).hexdigest(),
            )
        )
    return Manifest(dataset_id="ds_x_abc234", source="local", revision="r", text_column=text, files=tuple(files))


def three_files(folder: Path) -> tuple[Manifest, list[str]]:
    texts = [f"sample {number}" for number in range(20)]
    pieces = [("train", texts[:8]), ("train", []), ("test", texts[8:])]
    tables = [
        (split, pa.table({"id": pa.array(range(len(part)), pa.int64()), "text": pa.array(part, pa.string())}))
        for split, part in pieces
    ]
    return make_raw(folder, tables), texts


def test_texts_come_in_manifest_order_with_their_numbers_and_splits(tmp_path):
    manifest, texts = three_files(tmp_path)
    seen = []
    for batch in iter_text_batches(tmp_path, manifest, batch_rows=2):
        assert len(batch.texts) <= 2
        assert batch.first_sample == len(seen)
        assert batch.split == ("train" if batch.first_sample < 8 else "test")
        seen += batch.texts.to_pylist()
    assert seen == texts


def test_row_groups_are_numbered_without_gaps_and_each_can_be_read_by_itself(tmp_path):
    manifest, texts = three_files(tmp_path)
    groups = list_row_groups(tmp_path, manifest)
    assert [group.first_sample for group in groups] == [0, 3, 6, 8, 11, 14, 17]
    assert sum(group.rows for group in groups) == 20
    assert all(group.bytes > 0 for group in groups)
    for group in groups:
        batches = list(iter_text_batches(tmp_path, manifest, row_groups=[(group.file_index, group.row_group)]))
        assert [batch.first_sample for batch in batches] == [group.first_sample]
        end = group.first_sample + group.rows
        assert [text for batch in batches for text in batch.texts.to_pylist()] == texts[group.first_sample : end]


def test_only_the_files_asked_for_are_read(tmp_path):
    manifest, texts = three_files(tmp_path)
    (tmp_path / manifest.files[0].path).unlink()
    batches = list(iter_text_batches(tmp_path, manifest, files=[2]))
    assert [text for batch in batches for text in batch.texts.to_pylist()] == texts[8:]
    assert batches[0].first_sample == 8


@settings(max_examples=30, deadline=None)
@given(numbers=st.lists(st.integers(0, 19), max_size=30))
def test_scattered_samples_come_in_the_order_asked(tmp_path_factory, numbers):
    folder = tmp_path_factory.mktemp("raw")
    manifest, texts = three_files(folder)
    table = read_samples(folder, manifest, numbers, columns=["text", "id"])
    assert table.column_names == ["text", "id"]
    assert table["text"].to_pylist() == [texts[number] for number in numbers]
    assert table["id"].to_pylist() == [number if number < 8 else number - 8 for number in numbers]


@pytest.mark.parametrize("number", [-1, 20, 10**12])
def test_a_number_outside_the_dataset_is_refused_with_the_valid_range(tmp_path, number):
    manifest, _ = three_files(tmp_path)
    with pytest.raises(MistudioError, match=r"no sample .* 0 to 19") as caught:
        read_samples(tmp_path, manifest, [3, number])
    assert caught.value.code == ErrorCode.INVALID_QUERY


def test_an_unknown_column_is_refused_with_the_columns_there_are(tmp_path):
    manifest, _ = three_files(tmp_path)
    for numbers in ([1], []):
        with pytest.raises(MistudioError, match=r"no column 'title'.*'id', 'text'"):
            read_samples(tmp_path, manifest, numbers, columns=["title"])


def test_a_column_that_one_file_lacks_is_null_there(tmp_path):
    manifest = make_raw(
        tmp_path, [("train", pa.table({"text": ["a"]})), ("train", pa.table({"text": ["b"], "tag": [7]}))]
    )
    assert read_samples(tmp_path, manifest, [1, 0], columns=["tag", "text"]).to_pylist() == [
        {"tag": 7, "text": "b"},
        {"tag": None, "text": "a"},
    ]
    assert read_samples(tmp_path, manifest, [0], columns=["tag"]).to_pylist() == [{"tag": None}]


@pytest.mark.parametrize(
    "array",
    [
        pa.array(["a", None, "", "ä\u2028\0"], pa.large_string()),
        pa.array(["a", None, "", "ä\u2028\0"], pa.string_view()),
        pa.array(["a", None, "", "ä\u2028\0"]).dictionary_encode(),
        pa.array([b"a", None, b"", "ä\u2028\0".encode()], pa.binary()),
        pa.array([None] * 4, pa.null()),
    ],
    ids=["large_string", "string_view", "dictionary", "binary", "null"],
)
def test_every_encoding_of_text_is_read_as_plain_strings_with_nulls_kept(tmp_path, array):
    manifest = make_raw(tmp_path, [("train", pa.table({"text": array}))])
    (first, second) = list(iter_text_batches(tmp_path, manifest))
    assert pa.types.is_string(first.texts.type) or pa.types.is_large_string(first.texts.type)
    expected = [None] * 4 if pa.types.is_null(array.type) else ["a", None, "", "ä\u2028\0"]
    assert first.texts.to_pylist() + second.texts.to_pylist() == expected


def test_invalid_utf8_inside_parquet_is_replaced_and_counted(tmp_path):
    invalid = pa.array([b"ok", b"caf\xe9 \xff", None, "\ufffd".encode()], pa.binary()).view(pa.string())
    manifest = make_raw(tmp_path, [("train", pa.table({"text": invalid}))], row_group_size=10)
    (batch,) = iter_text_batches(tmp_path, manifest)
    assert batch.texts.to_pylist() == ["ok", "caf\ufffd \ufffd", None, "\ufffd"]
    assert batch.replaced_characters == 2
    assert read_samples(tmp_path, manifest, [1])["text"].to_pylist() == ["caf\ufffd \ufffd"]


def test_reading_stops_when_asked(tmp_path):
    manifest, _ = three_files(tmp_path)
    with pytest.raises(Stopped):
        list(iter_text_batches(tmp_path, manifest, should_stop=lambda: True))


def test_a_missing_and_a_damaged_file_are_named(tmp_path):
    manifest, _ = three_files(tmp_path)
    path = tmp_path / manifest.files[2].path
    content = path.read_bytes()
    path.write_bytes(content[:4] + bytes(200) + content[204:])
    with pytest.raises(MistudioError, match=path.name) as caught:
        list(iter_text_batches(tmp_path, manifest))
    assert caught.value.code == ErrorCode.DATA_CORRUPT
    path.unlink()
    with pytest.raises(MistudioError, match=path.name) as caught:
        list_row_groups(tmp_path, manifest)
    assert caught.value.code == ErrorCode.DATA_MISSING


def test_a_file_replaced_by_another_is_not_read_with_the_old_footer(tmp_path):
    manifest, _ = three_files(tmp_path)
    list_row_groups(tmp_path, manifest)
    changed = make_raw(tmp_path, [("train", pa.table({"text": ["new", "newer"]}))])
    (batch,) = iter_text_batches(tmp_path, changed)
    assert batch.texts.to_pylist() == ["new", "newer"]
