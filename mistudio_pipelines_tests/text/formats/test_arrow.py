"""Arrow and Parquet files of every kind, and files that only claim to be."""

from __future__ import annotations

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from mistudio_pipelines.errors import ErrorCode, MistudioError
from mistudio_pipelines.text.formats import arrow_files
from mistudio_pipelines.text.formats.source import Reading
from mistudio_pipelines.text.formats.types import plain_schema
from mistudio_pipelines_tests.text.formats.reading_files import read_file


def write(table: pa.Table, path, kind: str, batch_rows: int = 3, compression: str | None = None):
    if kind == "parquet":
        pq.write_table(table, path, row_group_size=batch_rows)
        return path
    options = pa.ipc.IpcWriteOptions(compression=compression)
    make = pa.ipc.new_file if kind == "file" else pa.ipc.new_stream
    with make(path, table.schema, options=options) as writer:
        writer.write_table(table, max_chunksize=batch_rows)
    return path


TABLE = pa.table(
    {
        "text": pa.array(["a", None, "", "ä\0", "x" * 1000]),
        "list": pa.array([[1], None, [], [2, 3], [None]]),
        "struct": pa.array([{"a": 1, "b": ["x"]}, None, {"a": None, "b": None}, {"a": 2, "b": []}, None]),
        "time": pa.array([1, 2, None, 4, 5], pa.timestamp("ms", "Europe/Berlin")),
        "bytes": pa.array([b"\xff", None, b"", b"a", b"b"]),
    }
)


@pytest.mark.parametrize("kind", ["file", "stream", "parquet"])
@pytest.mark.parametrize("compression", [None, "zstd"])
def test_tables_come_back_equal(tmp_path, kind, compression, monkeypatch):
    monkeypatch.setattr(arrow_files, "_ROWS_PER_TABLE", 2)
    path = write(TABLE, tmp_path / f"a.{kind}", kind, compression=compression)
    assert read_file(path, "parquet" if kind == "parquet" else "arrow").equals(TABLE)


def test_an_embedded_null_list_behind_a_slice_is_rebuilt(tmp_path):
    table = TABLE.select(["text", "list"]).set_column(1, "list", TABLE["list"].cast(pa.large_list(pa.int64())))
    assert read_file(write(table, tmp_path / "a.arrow", "stream"), "arrow").equals(table)


@pytest.mark.parametrize(
    "array",
    [
        pa.array(["a", None, "a"]).dictionary_encode(),
        pa.array(["a", None, "a"], pa.string_view()),
        pa.array(["a", None, "a"], pa.large_string()),
        pa.array([b"a", None, b"a"]),
        pa.RunEndEncodedArray.from_arrays([1, 2, 3], pa.array(["a", None, "a"])),
    ],
    ids=["dictionary", "view", "large", "binary", "run ends"],
)
def test_encodings_of_text_become_plain(tmp_path, array):
    path = write(pa.table({"text": array}), tmp_path / "a.arrow", "file")
    values = read_file(path, "arrow")["text"].to_pylist()
    assert [value.decode() if isinstance(value, bytes) else value for value in values] == ["a", None, "a"]


def test_maps_extensions_and_empty_structs_become_plain(tmp_path):
    table = pa.table(
        {
            "map": pa.array([[("k", 1)], None, [("a", 2), ("b", None)]], pa.map_(pa.string(), pa.int64())),
            "uuid": pa.ExtensionArray.from_storage(pa.uuid(), pa.array([b"x" * 16, None, b"y" * 16], pa.binary(16))),
            "empty": pa.array([{}, None, {}], pa.struct([])),
            "nested": pa.array([["a"], None, ["b", "a"]], pa.list_(pa.string_view())),
        }
    )
    rows = read_file(write(table, tmp_path / "a.arrow", "stream", 2), "arrow").to_pylist()
    assert rows == [
        {"map": [{"key": "k", "value": 1}], "uuid": b"x" * 16, "empty": None, "nested": ["a"]},
        {"map": None, "uuid": None, "empty": None, "nested": None},
        {
            "map": [{"key": "a", "value": 2}, {"key": "b", "value": None}],
            "uuid": b"y" * 16,
            "empty": None,
            "nested": ["b", "a"],
        },
    ]


@pytest.mark.parametrize("kind", ["file", "stream", "parquet"])
def test_invalid_utf8_is_replaced_and_counted_or_refused(tmp_path, kind):
    invalid = pa.array([b"ok", b"\xff\xff", b"caf\xe9"]).view(pa.string())
    path = write(pa.table({"n": [1, 2, 3], "text": invalid}), tmp_path / "a.x", kind, 10)
    data_format = "parquet" if kind == "parquet" else "arrow"
    reading = Reading("a.x", text_column="text")
    assert read_file(path, data_format, reading)["text"].to_pylist() == ["ok", "\ufffd\ufffd", "caf\ufffd"]
    assert reading.replaced_characters == 3
    with pytest.raises(MistudioError, match=r"invalid UTF-8 in column 'text', rows 0 to 2"):
        read_file(path, data_format, Reading("a.x", text_column="text", strict=True))


@pytest.mark.parametrize("kind", ["file", "stream", "parquet"])
def test_invalid_utf8_inside_lists_and_structs_is_replaced_too(tmp_path, kind):
    content = pa.array([[{"a": b"\xff"}, {"a": b"ok"}], None, []])
    nested = content.view(pa.list_(pa.struct({"a": pa.string()})))
    path = write(pa.table({"text": ["a", "b", "c"], "deep": nested}), tmp_path / "a.x", kind, 10)
    data_format = "parquet" if kind == "parquet" else "arrow"
    reading = Reading("a.x", text_column="text")
    assert read_file(path, data_format, reading)["deep"].to_pylist() == [[{"a": "\ufffd"}, {"a": "ok"}], None, []]
    assert reading.replaced_characters == 1
    with pytest.raises(MistudioError, match=r"invalid UTF-8 in column 'deep'"):
        read_file(path, data_format, Reading("a.x", text_column="text", strict=True))


@pytest.mark.parametrize(
    "array",
    [
        pa.DictionaryArray.from_arrays(pa.array([0, 7]), pa.array(["a"]), safe=False),
        pa.DictionaryArray.from_arrays(pa.array([0, -3]), pa.array(["a"]), safe=False),
        pa.Array.from_buffers(
            pa.string(), 2, [None, pa.array([0, 255, 3], pa.int32()).buffers()[1], pa.py_buffer(b"abc")]
        ),
        pa.Array.from_buffers(
            pa.list_(pa.int8()),
            2,
            [None, pa.array([0, 255, 1], pa.int32()).buffers()[1]],
            children=[pa.array([1], pa.int8())],
        ),
    ],
    ids=["index too large", "index negative", "text offsets", "list offsets"],
)
def test_offsets_and_indices_that_lead_outside_are_refused(tmp_path, array):
    path = write(pa.table({"text": array}), tmp_path / "a.arrow", "stream")
    with pytest.raises(MistudioError, match="not a whole Arrow file"):
        read_file(path, "arrow")


@pytest.mark.parametrize("kind", ["file", "stream", "parquet"])
@pytest.mark.parametrize("damage", ["empty", "cut", "garbage"])
def test_damaged_files_are_named(tmp_path, kind, damage):
    path = write(pa.concat_tables([TABLE] * 20), tmp_path / "a.x", kind, 50)
    content = path.read_bytes()
    path.write_bytes({"empty": b"", "cut": content[: len(content) // 2], "garbage": b"\x07" * 500}[damage])
    with pytest.raises(MistudioError, match=r"a\.x cannot be read: it is not a whole") as caught:
        read_file(path, "parquet" if kind == "parquet" else "arrow")
    assert caught.value.code == ErrorCode.UNREADABLE_FILE


@settings(max_examples=150, deadline=None)
@given(
    kind=st.sampled_from(["file", "stream", "parquet"]), flips=st.lists(st.tuples(st.floats(0, 1), st.integers(1, 255)))
)
@example(kind="parquet", flips=[(0.421875, 128)])
def test_flipped_bytes_give_other_values_or_an_error_but_never_a_crash(tmp_path_factory, kind, flips):
    path = write(TABLE, tmp_path_factory.mktemp("flip") / "a.x", kind)
    content = bytearray(path.read_bytes())
    for place, mask in flips:
        content[min(int(place * len(content)), len(content) - 1)] ^= mask
    path.write_bytes(content)
    try:
        table = read_file(path, "parquet" if kind == "parquet" else "arrow")
    except MistudioError as error:
        assert error.code == ErrorCode.UNREADABLE_FILE
    else:
        table.validate(full=True)


def test_two_columns_of_one_name_are_refused(tmp_path):
    table = pa.Table.from_arrays([pa.array(["a"]), pa.array(["b"])], names=["text", "text"])
    with pytest.raises(MistudioError, match="two of its columns have the same name"):
        read_file(write(table, tmp_path / "a.arrow", "file"), "arrow")


def test_a_file_without_rows_still_says_its_columns(tmp_path):
    empty = TABLE.slice(0, 0)
    for kind in ("file", "stream", "parquet"):
        path = write(empty, tmp_path / f"a.{kind}", kind)
        assert read_file(path, "parquet" if kind == "parquet" else "arrow").schema.equals(plain_schema(TABLE.schema))


def test_only_the_columns_of_the_option_are_read(tmp_path):
    path = write(TABLE, tmp_path / "a.parquet", "parquet")
    assert read_file(path, "parquet", columns=["text", "time"]).column_names == ["text", "time"]
