"""The columns of a remote file, from a few small reads."""

import bz2
import gzip
import io
import json
import lzma
import os
import zipfile

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mistudio_pipelines.errors import ErrorCode, MistudioError
from mistudio_pipelines.hub.peek import peek
from mistudio_pipelines.hub.ranged import BLOCK, RangedFile
from mistudio_pipelines.hub.tree import list_tree
from mistudio_pipelines_tests.hub.conftest import parquet_bytes

ROWS = [{"id": number, "text": f"Text {number}"} for number in range(50)]
JSON_LINES = "".join(json.dumps(row) + "\n" for row in ROWS).encode()
CSV = ("id,text\n" + "".join(f'{row["id"]},"{row["text"]}"\n' for row in ROWS)).encode()
EXPECTED_JSON = {"id": "int64", "text": "string"}
EXPECTED_CSV = {"id": "double", "text": "string"}


def look(hub, client, path, content, file_format, **options):
    commit = hub.add_repository("user/name", {path: content})
    file = list_tree(client, "user/name", commit)[path]
    return peek(client, "user/name", commit, file, file_format, options)


def arrow_bytes(opener, table):
    sink = io.BytesIO()
    with opener(sink, table.schema) as writer:
        writer.write_table(table)
    return sink.getvalue()


def zipped(**members):
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members.items():
            archive.writestr(name.replace("__", "."), content)
    return buffer.getvalue()


def compressed(content, codec):
    sink = pa.BufferOutputStream()
    with pa.CompressedOutputStream(sink, codec) as stream:
        stream.write(content)
    return sink.getvalue().to_pybytes()


TABLE = pa.Table.from_pylist(ROWS)


@pytest.mark.parametrize(
    ("path", "content", "file_format", "expected"),
    [
        ("a.parquet", parquet_bytes({"id": [1], "text": ["x"]}), "parquet", EXPECTED_JSON),
        ("a.arrow", arrow_bytes(pa.ipc.new_stream, TABLE), "arrow", EXPECTED_JSON),
        ("a.arrow", arrow_bytes(pa.ipc.new_file, TABLE), "arrow", EXPECTED_JSON),
        ("a.jsonl", JSON_LINES, "json", EXPECTED_JSON),
        ("a.jsonl", b"\xef\xbb\xbf" + JSON_LINES, "json", EXPECTED_JSON),
        ("a.jsonl", JSON_LINES.rstrip(b"\n"), "json", EXPECTED_JSON),
        ("a.json", json.dumps(ROWS, indent=2).encode(), "json", EXPECTED_JSON),
        ("a.json", json.dumps({"id": [1, 2], "text": ["a", "b"]}, indent=1).encode(), "json", EXPECTED_JSON),
        ("a.json", json.dumps({"id": 1, "text": "one object"}, indent=1).encode(), "json", EXPECTED_JSON),
        ("a.jsonl.gz", gzip.compress(JSON_LINES), "json", EXPECTED_JSON),
        ("a.jsonl.zst", compressed(JSON_LINES, "zstd"), "json", EXPECTED_JSON),
        ("a.jsonl.bz2", bz2.compress(JSON_LINES), "json", EXPECTED_JSON),
        ("a.jsonl.xz", lzma.compress(JSON_LINES), "json", EXPECTED_JSON),
        ("a.jsonl.lz4", compressed(JSON_LINES, "lz4"), "json", EXPECTED_JSON),
        ("a.csv", CSV, "csv", EXPECTED_CSV),
        ("a.csv.gz", gzip.compress(CSV), "csv", EXPECTED_CSV),
        ("a.csv", b'text,empty\n"two\nlines, and ""quotes""",\n', "csv", {"text": "string", "empty": "null"}),
        ("a.csv", b"text,id\n", "csv", {"text": "null", "id": "null"}),
        ("a.txt", b"plain", "text", {"text": "string"}),
        ("a.txt.gz", gzip.compress(b"plain"), "text", {"text": "string"}),
        ("a.jsonl.zip", zipped(a__jsonl=JSON_LINES), "json", EXPECTED_JSON),
        ("a.zip", zipped(a__csv=CSV, readme__md=b"x"), None, EXPECTED_CSV),
        ("a.jsonl", b'{"text": null}\n{"text": "\xff"}\n{"text": null}', "json", {"text": "string"}),
        ("a.jsonl", b'{"a": {"b": [1]}, "c": 1}\n{"c": "x", "d": null}\n', "json", None),
    ],
)
def test_names_and_types_of_every_format(hub, client, path, content, file_format, expected):
    found = look(hub, client, path, content, file_format).columns
    if expected is None:
        expected = {"a": "struct<b: list<item: int64>>", "c": "mixed", "d": "null"}
    assert found == expected


def test_an_archive_tells_the_format_of_its_members(hub, client):
    found = look(hub, client, "a.zip", zipped(a__tsv=b"id\ttext\n1\tx\n"), None)
    assert (found.member_format, found.member_options, found.columns) == ("csv", {"sep": "\t"}, EXPECTED_CSV)


def test_an_archive_of_parquet_is_known_only_after_the_download(hub, client):
    found = look(hub, client, "a.zip", zipped(a__parquet=parquet_bytes({"text": ["x"]})), None)
    assert (found.member_format, found.columns) == ("parquet", None)


def test_options_of_the_card_are_used(hub, client):
    content = "1;x\n2;é\n".encode("latin-1")
    found = look(hub, client, "a.csv", content, "csv", sep=";", names=["number", "words"], encoding="latin-1")
    assert found.columns == {"number": "double", "words": "string"}
    assert look(hub, client, "a.csv", b"1;x\n", "csv", delimiter=";", header=None).columns == {
        "0": "double",
        "1": "string",
    }
    rows = json.dumps({"meta": 1, "data": ROWS}).encode()
    assert look(hub, client, "a.json", rows, "json", field="data").columns == EXPECTED_JSON


def test_only_the_footer_of_a_large_parquet_file_is_fetched(hub, client):
    content = parquet_bytes({"text": [os.urandom(500).hex() for _ in range(5000)]}, row_group_size=500)
    found = look(hub, client, "a.parquet", content, "parquet")
    assert found.columns == {"text": "string"}
    assert found.column_bytes["text"] > 4_000_000
    assert hub.bytes_served("*.parquet") < 2 * BLOCK < len(content) / 4


def test_only_the_beginning_of_a_large_json_file_is_fetched(hub, client):
    content = b"".join(json.dumps({"text": os.urandom(500).hex()}).encode() + b"\n" for _ in range(10_000))
    assert look(hub, client, "a.jsonl", content, "json").columns == {"text": "string"}
    assert hub.bytes_served("*.jsonl") <= 1024 * 1024 < len(content) / 8


def test_a_row_longer_than_the_first_block_is_read_whole(hub, client):
    content = json.dumps({"text": "x" * 3_000_000}).encode() + b"\n"
    assert look(hub, client, "a.jsonl", content, "json").columns == {"text": "string"}


@pytest.mark.parametrize(
    ("path", "content", "file_format"),
    [
        ("a.parquet", b"PAR1 this is not Parquet PAR1", "parquet"),
        ("a.parquet", b"", "parquet"),
        ("a.arrow", b"ARROW1\0\0nothing", "arrow"),
        ("a.arrow", b"", "arrow"),
        ("a.jsonl", b"", "json"),
        ("a.jsonl", b"<html>\n", "json"),
        ("a.jsonl.gz", b"not gzip at all", "json"),
        ("a.jsonl.xz", b"not xz at all", "json"),
        ("a.csv", b"", "csv"),
        ("a.zip", b"not a zip", None),
        ("a.zip", zipped(picture__png=b"x"), None),
        ("a.jsonl", b"[" * 200_000, "json"),
    ],
)
def test_a_file_that_is_not_what_its_name_says_is_named(hub, client, path, content, file_format):
    with pytest.raises(MistudioError, match=f"'{path}' of 'user/name' cannot be read as") as caught:
        look(hub, client, path, content, file_format)
    assert caught.value.code == ErrorCode.UNSUPPORTED_FORMAT


def test_no_more_than_the_beginning_of_a_bomb_is_unpacked(hub, client):
    bomb = gzip.compress(b"\0" * 200_000_000)
    assert look(hub, client, "a.jsonl.gz", bomb, "json").columns is None


@given(st.lists(st.tuples(st.integers(0, 900_000), st.integers(-1, 700_000)), max_size=6))
@settings(max_examples=15, deadline=None)
def test_a_ranged_file_reads_like_a_file(reads):
    from mistudio_pipelines.hub.tree import TreeFile

    content = os.urandom(800_000)
    plain = io.BytesIO(content)
    ranged = RangedFile(_Memory(content), "user/name", "main", TreeFile("a", len(content), None, None))
    for start, size in reads:
        assert ranged.seek(start) == plain.seek(start)
        assert ranged.read(size) == plain.read(size)
        assert ranged.tell() == plain.tell()


class _Memory:
    """A client whose only file is in memory."""

    def __init__(self, content):
        self._content = content

    def file_url(self, *_):
        return "a"

    def get(self, _url, _request, headers, *, at_most):
        start, end = headers["range"].removeprefix("bytes=").split("-")
        return self._content[int(start) : int(end) + 1], {"content-range": "yes"}


def test_a_server_without_ranges_is_read_from_its_beginning(hub, client):
    content = os.urandom(2 * BLOCK)
    commit = hub.add_repository("user/name", {"a.txt": content})
    file = list_tree(client, "user/name", commit)["a.txt"]

    class NoRanges:
        def file_url(self, *parts):
            return client.file_url(*parts)

        def get(self, url, request, _headers, *, at_most):
            return client.get(url, request, at_most=at_most)

    ranged = RangedFile(NoRanges(), "user/name", commit, file)
    ranged.seek(BLOCK + 5)
    assert ranged.read(10) == content[BLOCK + 5 : BLOCK + 15]


def test_looking_into_a_file_never_becomes_fetching_it(hub, client):
    commit = hub.add_repository("user/name", {"a.txt": b"x" * 1000})
    file = list_tree(client, "user/name", commit)["a.txt"]
    with pytest.raises(MistudioError, match="too much of it would have to be fetched"):
        RangedFile(client, "user/name", commit, file, most_bytes=500).read()
