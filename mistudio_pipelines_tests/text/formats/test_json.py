"""JSON in every form that people write, and what is said of the forms that nobody can read."""

from __future__ import annotations

import json
from pathlib import Path

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mistudio_pipelines.errors import ErrorCode, MistudioError
from mistudio_pipelines.text.formats import json_files, lines
from mistudio_pipelines.text.formats.source import Reading
from mistudio_pipelines_tests.text.formats.reading_files import read_file, read_rows, read_texts


def write(path: Path, content: str | bytes) -> Path:
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


TWO_ROWS = [{"text": "a", "n": 1}, {"text": "b", "n": 2}]


@pytest.mark.parametrize(
    ("content", "options"),
    [
        ('{"text":"a","n":1}\n{"text":"b","n":2}\n', {}),
        ('{"text":"a","n":1}\r\n\r\n  \n{"text":"b","n":2}', {}),
        ('\ufeff{"text":"a","n":1}\n{"text":"b","n":2}\n', {}),
        ('\n \n[{"text":"a","n":1},{"text":"b","n":2}]\n', {}),
        ('[\n  {\n  "text": "a",\n  "n": 1\n },\n {"text":"b",\n"n":2}\n]', {}),
        ('{\n "text": "a",\n "n": 1\n}\n{\n "text": "b",\n "n": 2\n}\n', {}),
        ('{\n "text": ["a", "b"],\n "n": [1, 2]\n}\n', {}),
        ('{"version": [1, {}], "data": [{"text":"a","n":1},{"text":"b","n":2}], "rest": {', {"field": "data"}),
    ],
    ids=["lines", "crlf and blank lines", "byte order mark", "array", "pretty array", "pretty", "columns", "field"],
)
def test_every_form_of_json_gives_the_same_rows(tmp_path, content, options):
    assert read_rows(write(tmp_path / "a.json", content), "json", **options) == TWO_ROWS


def test_bare_strings_are_texts(tmp_path):
    assert read_texts(write(tmp_path / "a.json", '["a", "b\\u0000c", "d"]'), "json") == ["a", "b\0c", "d"]
    assert read_texts(write(tmp_path / "b.jsonl", '"a"\n"b"\n'), "json") == ["a", "b"]


def test_one_object_on_one_line_is_one_sample(tmp_path):
    assert read_rows(write(tmp_path / "a.json", '{"text": "a", "tokens": [1, 2]}'), "json") == [
        {"text": "a", "tokens": [1, 2]}
    ]


def test_only_a_line_feed_ends_a_line(tmp_path):
    text = "a\u2028b\u2029c\x85d\x0be"
    content = json.dumps({"text": text}, ensure_ascii=False) + "\n" + json.dumps({"text": "z"})
    assert read_texts(write(tmp_path / "a.jsonl", content), "json") == [text, "z"]


@pytest.mark.parametrize(
    ("first", "second", "expected"),
    [
        (1, "x", ["1", "x"]),
        (1, 2.5, [1.0, 2.5]),
        (True, 1, ["true", "1"]),
        (1, 2**63, ["1", str(2**63)]),
        (None, [1], [None, [1]]),
        ([], [1], [[], [1]]),
        ([1], ["x"], [["1"], ["x"]]),
        ({"a": 1}, {"b": "x"}, [{"a": 1, "b": None}, {"a": None, "b": "x"}]),
        ({"a": 1}, {"a": {"b": 2}}, [{"a": "1"}, {"a": '{"b": 2}'}]),
        ({"a": 1}, "x", ['{"a": 1}', "x"]),
        ([1, 2], 3, ["[1, 2]", "3"]),
        ({}, None, [None, None]),
        (True, {}, [True, None]),
        (1.5, {}, [1.5, None]),
        ([1], {}, [[1], None]),
        ({}, True, [None, True]),
        ([True], [{}], [[True], [None]]),
        ({"a": {}}, {"a": 1}, [{"a": None}, {"a": 1}]),
        ({"a": 1}, {}, [{"a": 1}, {"a": None}]),
        ("2024-01-01", "x", ["2024-01-01", "x"]),
    ],
)
@pytest.mark.parametrize("late", [False, True], ids=["in one block", "in a later block"])
def test_a_type_that_changes_is_widened_without_loss(tmp_path, monkeypatch, first, second, expected, late):
    if late:
        monkeypatch.setattr(lines.iter_utf8_blocks, "__defaults__", (16,))
        monkeypatch.setattr(json_files, "_ROWS_PER_TABLE", 1)
    for name, content in (
        ("a.jsonl", "\n".join(json.dumps({"text": "t", "v": value}) for value in (first, second))),
        ("b.json", json.dumps([{"text": "t", "v": value} for value in (first, second)])),
    ):
        table = read_file(write(tmp_path / name, content), "json")
        assert table["v"].to_pylist() == expected
        assert table["text"].to_pylist() == ["t", "t"]


def test_missing_and_new_keys_are_null(tmp_path):
    content = '{"text":"a"}\n{"text":"b","k":{"x":1}}\n{"k":{"y":2}}\n'
    assert read_rows(write(tmp_path / "a.jsonl", content), "json") == [
        {"text": "a", "k": None},
        {"text": "b", "k": {"x": 1, "y": None}},
        {"text": None, "k": {"x": None, "y": 2}},
    ]


def test_the_text_column_is_text_whatever_it_holds(tmp_path):
    content = '{"text":1}\n{"text":null}\n{"text":{"a":"ä"}}\n{"text":true}\n'
    assert read_texts(write(tmp_path / "a.jsonl", content), "json") == ["1", None, '{"a": "ä"}', "true"]


def test_a_lone_surrogate_escape_is_replaced_and_counted(tmp_path):
    path = write(tmp_path / "a.jsonl", '{"text":"a"}\n{"text":"x\\ud800y \\ud83d\\ude00","k\\udfff":1}\n')
    reading = Reading("a.jsonl", text_column="text")
    assert read_file(path, "json", reading).to_pylist()[1] == {"text": "x\ufffdy 😀", "k\ufffd": 1}
    assert reading.replaced_characters == 2
    with pytest.raises(MistudioError, match="invalid UTF-8"):
        read_file(path, "json", Reading("a.jsonl", text_column="text", strict=True))


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ('{"text":"a"}\n{"text":"b"\n', r"line 2, column 12: Expecting ',' delimiter"),
        ('{"text":"a"}\n\n{"text" "b"}\n', r"line 3, column 9: Expecting ':' delimiter"),
        ('{"text":"a"}\n[1]\n', r"line 2 is a list where an object is expected"),
        ('{"text":"a"}\n7\n', r"line 2 is a number"),
        ('{"text":"a"} {"text":"b"}\n{"text":"c"}', r"line 1, column 14: Extra data"),
        ('[{"text":"a"},\n {"text":"b"},\n {"text" 7}]', r"line 3, column 10: Expecting ':' delimiter"),
        ('[{"text":"a"}', r"line 1, column 14: it ends early"),
        ('[{"text":"a"}] x', r"line 1, column 16: nothing more is expected"),
        ('[{"text":"a"}\n{"text":"b"}]', r"line 2, column 1: ',' is expected where '\{' stands"),
        ('[{"text":"a"}, 3]', r"sample 2 is a number"),
        ('{\n"text": "a"\n}\n{\n"text": x\n}', r"line 5, column 9: Expecting value"),
        ('{"text":"' + "a" * 100, r"line 1, column 9: Unterminated string"),
        ("[" * 100_000, r"nested too deeply"),
        ('{"text":' + "[" * 100_000 + "]" * 100_000 + "}\n", r"line 1: a value is nested too deeply"),
        (b"\x00\x01\x02", r"line 1, column 1: Expecting value"),
    ],
)
def test_what_cannot_be_read_is_named_with_line_and_column(tmp_path, content, message):
    with pytest.raises(MistudioError, match=rf"a\.json cannot be read: .*{message}") as caught:
        read_rows(write(tmp_path / "a.json", content), "json")
    assert caught.value.code == ErrorCode.UNREADABLE_FILE
    assert caught.value.next_step


def test_an_error_in_a_later_block_has_the_line_and_column_of_the_file(tmp_path, monkeypatch):
    monkeypatch.setattr(lines.iter_utf8_blocks, "__defaults__", (64,))
    rows = [json.dumps({"text": f"row {number}"}) for number in range(100)]
    rows[77] = '{"text": nope}'
    with pytest.raises(MistudioError, match=r"line 78, column 10"):
        read_rows(write(tmp_path / "a.jsonl", "\n".join(rows)), "json")
    with pytest.raises(MistudioError, match=r"line 79, column 10"):
        read_rows(write(tmp_path / "b.json", "[\n" + ",\n".join(rows) + "]"), "json")
    with pytest.raises(MistudioError, match=r"line 1, column 1\d\d\d"):
        read_rows(write(tmp_path / "c.json", "[" + ",".join(rows) + "]"), "json")


def test_a_missing_field_is_refused_with_the_keys_there_are(tmp_path):
    path = write(tmp_path / "a.json", '{"version": "1", "data": [{"text": "a"}]}')
    with pytest.raises(MistudioError, match=r"no list under the key 'rows'.*version, data"):
        read_rows(path, "json", field="rows")


def test_objects_whose_keys_are_data_do_not_become_thousands_of_columns(tmp_path):
    nested = [{"text": "t", "scores": {f"user{row}-{key}": key for key in range(50)}} for row in range(20)]
    table = read_file(write(tmp_path / "a.json", json.dumps(nested)), "json")
    assert table.schema.field("scores").type == pa.string()
    assert json.loads(table["scores"][19].as_py()) == nested[19]["scores"]
    top = "".join(json.dumps({f"key {row}-{key}": "x" for key in range(100)}) + "\n" for row in range(30))
    with pytest.raises(MistudioError, match=r"more than 1,000 different keys"):
        read_rows(write(tmp_path / "b.jsonl", top), "json")


def test_empty_files_have_no_rows(tmp_path):
    for content in ("", "\n\n", "[]", " [ ] ", "\ufeff"):
        assert read_rows(write(tmp_path / "a.json", content), "json") == []


def test_a_line_of_fifty_megabytes_is_read(tmp_path):
    path = tmp_path / "a.jsonl"
    path.write_text('{"text":"' + "x" * 50_000_000 + '"}\n{"text":"y"}\n')
    texts = read_file(path, "json")["text"]
    assert len(texts[0].as_py()) == 50_000_000
    assert texts[1].as_py() == "y"


def test_control_characters_inside_strings_are_kept(tmp_path):
    assert read_texts(write(tmp_path / "a.jsonl", '{"text":"a\tb\x00c"}\n{"text":"d"}\n'), "json") == ["a\tb\0c", "d"]


def test_an_unknown_option_is_refused(tmp_path):
    with pytest.raises(MistudioError, match=r"option 'orient'") as caught:
        read_rows(write(tmp_path / "a.json", "[]"), "json", orient="records")
    assert caught.value.code == ErrorCode.UNSUPPORTED_FORMAT


characters = st.characters(exclude_categories=("Cs",))
json_values = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**40), 2**40) | st.floats(-1e9, 1e9) | st.text(characters, max_size=10),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(characters, max_size=4), inner, max_size=3),
    max_leaves=8,
)


@settings(max_examples=100, deadline=None)
@given(
    rows=st.lists(
        st.dictionaries(st.sampled_from(["text", "a", "b"]), json_values, max_size=3), min_size=1, max_size=8
    ),
    block=st.sampled_from([8, 64, 4 << 20]),
    array=st.booleans(),
)
def test_any_json_is_read_and_no_text_is_lost(tmp_path_factory, rows, block, array):
    path = tmp_path_factory.mktemp("json") / "a.json"
    path.write_text(json.dumps(rows) if array else "".join(json.dumps(row) + "\n" for row in rows))
    defaults = lines.iter_utf8_blocks.__defaults__
    lines.iter_utf8_blocks.__defaults__ = (block,)
    try:
        table = read_file(path, "json")
    finally:
        lines.iter_utf8_blocks.__defaults__ = defaults
    assert table.num_rows == len(rows) or not table.num_columns
    for row, read in zip(rows, table.to_pylist(), strict=False):
        text = row.get("text")
        if isinstance(text, str) or text is None:
            assert read.get("text") == text
        else:
            assert json.loads(read["text"]) == text
