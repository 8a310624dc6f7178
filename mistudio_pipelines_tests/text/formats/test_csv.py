"""CSV and TSV as people and programs write them."""

from __future__ import annotations

import csv
import io
import math

import pyarrow as pa
import pyarrow.csv as pa_csv
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from mistudio_pipelines.errors import ErrorCode, MistudioError
from mistudio_pipelines.text.formats import csv_files
from mistudio_pipelines.text.formats.csv_files import unique_names
from mistudio_pipelines.text.formats.source import Reading
from mistudio_pipelines_tests.text.formats.reading_files import read_file, read_rows, read_texts


def write(path, content):
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


def test_line_ends_and_separators_inside_quotes_are_part_of_the_text(tmp_path):
    content = 'id,text\r\n1,"a\r\nb, ""c""\n\nd"\r\n2,e\u2028f\r\n'
    assert read_rows(write(tmp_path / "a.csv", content), "csv") == [
        {"id": 1, "text": 'a\r\nb, "c"\n\nd'},
        {"id": 2, "text": "e\u2028f"},
    ]


def test_nothing_is_null_and_an_empty_quoted_text_is_empty(tmp_path):
    assert read_texts(write(tmp_path / "a.csv", 'id,text\n1,\n2,""\n3,NA\n4,null\n'), "csv") == [None, "", "NA", "null"]


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        (["1", "-2", "0"], [1, -2, 0]),
        (["1", "2.5", "1e3"], [1.0, 2.5, 1000.0]),
        (["007", "1"], ["007", "1"]),
        (["12345678901234567890", "1"], ["12345678901234567890", "1"]),
        (["9223372036854775807"], [2**63 - 1]),
        (["true", "False"], [True, False]),
        (["1", "x"], ["1", "x"]),
        (["1,5", "2"], ["1,5", "2"]),
        (["-0"], [0.0]),
        (["", ""], [None, None]),
    ],
)
def test_types_are_found_only_where_nothing_is_lost(tmp_path, values, expected):
    lines = "".join(f'"{value}",t\n' if value else ",t\n" for value in values)
    assert read_file(write(tmp_path / "a.csv", "v,text\n" + lines), "csv")["v"].to_pylist() == expected


def test_a_type_that_changes_later_is_widened_without_loss(tmp_path, monkeypatch):
    monkeypatch.setattr(csv_files, "_BLOCK_BYTES", 64)
    rows = [f"{number},t" for number in range(100)] + ["abc,t"]
    table = read_file(write(tmp_path / "a.csv", "v,text\n" + "\n".join(rows)), "csv")
    assert table["v"].to_pylist() == [*map(str, range(100)), "abc"]


def test_the_text_column_is_text_whatever_it_holds(tmp_path):
    assert read_texts(write(tmp_path / "a.csv", "text,n\n1,1\n2.50,2\n"), "csv") == ["1", "2.50"]


def test_short_rows_are_filled_up_with_null_as_pandas_does(tmp_path):
    content = "id,text,more\n1,a,x\n2,b\n3\n\n4,d,y\n"
    rows = read_rows(write(tmp_path / "a.csv", content), "csv")
    assert [list(row.values()) for row in rows] == [[1, "a", "x"], [2, "b", None], [3, None, None], [4, "d", "y"]]


def test_a_row_with_too_many_fields_is_named_with_line_and_content(tmp_path):
    content = 'id,text\n1,"a\n\nb"\n2,Hello, world\n'
    with pytest.raises(MistudioError, match=r"line 5 has 3 fields where the header has 2.*' world'") as caught:
        read_rows(write(tmp_path / "a.csv", content), "csv")
    assert caught.value.code == ErrorCode.UNREADABLE_FILE


def test_an_error_far_down_is_found_and_rows_before_it_are_not_read_twice(tmp_path, monkeypatch):
    monkeypatch.setattr(csv_files, "_BLOCK_BYTES", 128)
    monkeypatch.setattr(csv_files, "_ROWS_PER_TABLE", 7)
    good = [f'{number},"text\n{number}"' for number in range(200)]
    path = write(tmp_path / "a.csv", "id,text\n" + "\n".join([*good[:150], "150", *good[151:]]))
    assert read_file(path, "csv")["id"].to_pylist() == list(range(200))
    path = write(tmp_path / "b.csv", "id,text\n" + "\n".join([*good[:150], "1,2,3", *good[151:]]))
    with pytest.raises(MistudioError, match=r"line 302 has 3 fields"):
        read_file(path, "csv")


def test_a_field_longer_than_a_block_is_read(tmp_path, monkeypatch):
    monkeypatch.setattr(csv_files, "_BLOCK_BYTES", 1000)
    path = write(tmp_path / "a.csv", "id,text\n1,short\n2," + "x" * 50_000 + "\n3,y\n")
    assert [len(text) for text in read_texts(path, "csv")] == [5, 50_000, 1]


def test_a_quote_that_is_never_closed_is_named_with_its_line(tmp_path, monkeypatch):
    monkeypatch.setattr(csv_files, "MOST_LINE_BYTES", 1000)
    monkeypatch.setattr(csv_files, "_BLOCK_BYTES", 100)
    path = write(tmp_path / "a.csv", 'id,text\n1,a\n2,"b\n' + "more\n" * 1000)
    with pytest.raises(MistudioError, match=r"the row that begins in line 3: field larger than field limit"):
        read_rows(path, "csv")


@pytest.mark.parametrize(
    ("content", "options", "expected"),
    [
        ("text\tn\na,b\t1\n", {"sep": "\t"}, [{"text": "a,b", "n": 1}]),
        ("text;n\na;1\n", {"delimiter": ";"}, [{"text": "a", "n": 1}]),
        ("a,1\nb,2\n", {"names": ["text", "n"]}, [{"text": "a", "n": 1}, {"text": "b", "n": 2}]),
        ("x,y\na,1\n", {"column_names": ["text", "n"], "header": 0}, [{"text": "a", "n": 1}]),
        ("a,1\n", {"header": None}, [{"0": "a", "1": 1}]),
        ("text,n\n'a,b',1\n", {"quotechar": "'"}, [{"text": "a,b", "n": 1}]),
        ('text,n\n"a,1\n', {"quoting": 3}, [{"text": '"a', "n": 1}]),
        ('text,n\n"a\\"b",1\n', {"escapechar": "\\"}, [{"text": 'a"b', "n": 1}]),
        ("text,n\ncaf\xe9,1\n".encode("cp1252"), {"encoding": "cp1252"}, [{"text": "café", "n": 1}]),
        ("text,n\ncafé,1\n".encode("utf-16"), {}, [{"text": "café", "n": 1}]),
        ("\ufefftext,n\na,1\n", {}, [{"text": "a", "n": 1}]),
        ("\n\ntext,n\n\na,1\n\n", {}, [{"text": "a", "n": 1}]),
        ("text,text,,n\na,b,c,1\n", {}, [{"text": "a", "text.1": "b", "Unnamed: 2": "c", "n": 1}]),
    ],
)
@pytest.mark.parametrize("parser", ["arrow", "python"])
def test_dialects_are_read_alike_by_both_parsers(tmp_path, monkeypatch, content, options, expected, parser):
    if parser == "python":

        def refuse(*arguments):
            raise pa.ArrowInvalid("not today")

        monkeypatch.setattr(csv_files, "_iter_with_arrow", refuse)
    assert read_rows(write(tmp_path / "a.csv", content), "csv", **options) == expected


@pytest.mark.parametrize(("option", "value"), [("sep", ",,"), ("sep", "\n"), ("quotechar", "é"), ("skipfooter", 3)])
def test_options_that_cannot_be_followed_are_refused(tmp_path, option, value):
    with pytest.raises(MistudioError, match=option):
        read_rows(write(tmp_path / "a.csv", "text\na\n"), "csv", **{option: value})


def test_files_without_rows_still_say_their_columns(tmp_path):
    assert read_file(write(tmp_path / "a.csv", "text,n\n"), "csv").column_names == ["text", "n"]
    assert read_rows(write(tmp_path / "b.csv", ""), "csv") == []
    assert read_rows(write(tmp_path / "c.csv", "\n\n"), "csv") == []


def test_blank_lines_longer_than_a_block_are_no_end(tmp_path):
    path = write(tmp_path / "a.csv", "\n" * (5 << 20) + "text,n\na,1\n")
    assert read_rows(path, "csv") == [{"text": "a", "n": 1}]


def test_nul_and_invalid_utf8_are_kept_and_replaced(tmp_path):
    path = write(tmp_path / "a.csv", b'text,n\na\x00b,1\n"\xff\xfe",2\n')
    reading = Reading("a.csv", text_column="text")
    assert read_file(path, "csv", reading)["text"].to_pylist() == ["a\0b", "\ufffd\ufffd"]
    assert reading.replaced_characters == 2
    with pytest.raises(MistudioError, match=r"invalid UTF-8 in line 3, byte 2 of it"):
        read_file(path, "csv", Reading("a.csv", text_column="text", strict=True))


@given(st.lists(st.text("ab.1", max_size=3), max_size=8))
def test_names_are_unique_and_the_first_of_a_name_keeps_it(names):
    unique = unique_names(names)
    assert len(set(unique)) == len(unique) == len(names)
    for position, name in enumerate(names):
        if name and name not in names[:position] and name not in unique[:position]:
            assert unique[position] == name


# Every text but the line ends that CSV itself uses inside unquoted fields; the writers quote those.
texts = st.text(st.characters(exclude_categories=("Cs",)), max_size=12)
tables = st.lists(
    st.tuples(
        st.none() | texts,
        st.none() | st.integers(-(2**63), 2**63 - 1),
        st.none() | st.floats(allow_nan=False, width=32),
        st.none() | st.booleans(),
    ),
    min_size=1,
    max_size=10,
)


@settings(max_examples=120, deadline=None)
@given(rows=tables, block=st.sampled_from([32, 4 << 20]))
@example(rows=[("a", 1, 1.0, True), ("\r", 2, math.inf, None)], block=32)
def test_any_table_written_by_arrow_comes_back_equal(tmp_path_factory, rows, block):
    columns = list(zip(*rows, strict=True))
    table = pa.table(
        {
            "text": pa.array(columns[0], pa.string()),
            "int": pa.array(columns[1], pa.int64()),
            "float": pa.array(columns[2], pa.float64()),
            "bool": pa.array(columns[3], pa.bool_()),
        }
    )
    path = tmp_path_factory.mktemp("csv") / "a.csv"
    pa_csv.write_csv(table, path)
    before = csv_files._BLOCK_BYTES
    csv_files._BLOCK_BYTES = block
    try:
        read = read_file(path, "csv")
    finally:
        csv_files._BLOCK_BYTES = before
    # Python's parser, which takes over after a field longer than a block, cannot tell "" from nothing.
    assert [text or None for text in read["text"].to_pylist()] == [text or None for text in columns[0]]
    if block > 32:
        assert read["text"].to_pylist() == list(columns[0])
    assert read["int"].to_pylist() == list(columns[1])
    assert read["float"].to_pylist() == list(columns[2])
    assert read["bool"].to_pylist() == list(columns[3])


@settings(max_examples=80, deadline=None)
@given(rows=st.lists(st.lists(texts.filter(bool), min_size=2, max_size=2), min_size=1, max_size=8))
def test_any_texts_written_by_python_come_back_equal(tmp_path_factory, rows):
    content = io.StringIO(newline="")
    csv.writer(content, quoting=csv.QUOTE_ALL).writerows([["text", "other"], *rows])
    path = tmp_path_factory.mktemp("csv") / "a.csv"
    path.write_bytes(content.getvalue().encode())
    assert read_texts(path, "csv") == [row[0] for row in rows]
