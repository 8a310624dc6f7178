"""Compressed files and archives: every container, damage, bombs, and members with hostile names."""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import os
import struct
import zipfile
import zlib
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from mistudio_pipelines.errors import ErrorCode, MistudioError
from mistudio_pipelines.text.formats import streams
from mistudio_pipelines.text.formats.detection import detect_compression, detect_format
from mistudio_pipelines_tests.text.formats.reading_files import read_file, read_texts


def compress_with_arrow(codec: str, content: bytes) -> bytes:
    sink = pa.BufferOutputStream()
    with pa.CompressedOutputStream(sink, codec) as stream:
        stream.write(content)
    return sink.getvalue().to_pybytes()


def zip_of(members: dict[str, bytes]) -> bytes:
    target = io.BytesIO()
    with zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members.items():
            archive.writestr(zipfile.ZipInfo(name), content, compress_type=zipfile.ZIP_DEFLATED)
    return target.getvalue()


COMPRESSORS = {
    "gz": gzip.compress,
    "bz2": bz2.compress,
    "xz": lzma.compress,
    "zst": lambda content: compress_with_arrow("zstd", content),
    "lz4": lambda content: compress_with_arrow("lz4", content),
    "zip": lambda content: zip_of({"data.txt": content}),
}
STREAMABLE = [name for name in COMPRESSORS if name != "zip"]


@pytest.mark.parametrize("extension", COMPRESSORS)
def test_every_container_is_recognized_by_its_content_and_read(tmp_path, extension):
    path = tmp_path / "misnamed.dat"
    text = "line äöü\n" * 100_000
    path.write_bytes(COMPRESSORS[extension](text.encode()))
    assert read_texts(path, "text") == ["line äöü"] * 100_000


@pytest.mark.parametrize("extension", STREAMABLE)
def test_several_streams_one_after_the_other_are_one_file(tmp_path, extension):
    path = tmp_path / "a.txt"
    path.write_bytes(COMPRESSORS[extension](b"a\nb\n") + COMPRESSORS[extension](b"c\n"))
    assert read_texts(path, "text") == ["a", "b", "c"]


@pytest.mark.parametrize("extension", COMPRESSORS)
def test_a_container_that_ends_early_or_is_damaged_is_named(tmp_path, extension):
    content = COMPRESSORS[extension](os.urandom(300_000).hex().encode())
    path = tmp_path / f"a.txt.{extension}"
    path.write_bytes(content[: len(content) // 2])
    with pytest.raises(MistudioError, match=r"a\.txt\.\w+.* cannot be read: .*(damaged|not a readable)") as caught:
        read_texts(path, "text")
    assert caught.value.code == ErrorCode.UNREADABLE_FILE
    if extension not in ("lz4", "zst"):  # their frames carry a checksum only where the writer asked for one
        path.write_bytes(content[:-3000] + bytes(64) + content[-2936:])
        with pytest.raises(MistudioError, match="damaged"):
            read_texts(path, "text")


def test_parquet_and_arrow_inside_containers_are_read_and_leave_no_temporary_file(tmp_path):
    table = pa.table({"text": [f"text {number}" for number in range(5000)]})
    parquet, arrow, scratch = io.BytesIO(), io.BytesIO(), tmp_path / "scratch"
    scratch.mkdir()
    pq.write_table(table, parquet)
    with pa.ipc.new_file(arrow, table.schema) as writer:
        writer.write_table(table)
    for name, data_format, content in (("a.parquet", "parquet", parquet), ("a.arrow", "arrow", arrow)):
        for extension in ("gz", "xz"):
            path = tmp_path / f"{name}.{extension}"
            path.write_bytes(COMPRESSORS[extension](content.getvalue()))
            assert read_file(path, data_format).equals(table)
        path = tmp_path / f"{name}.zip"
        path.write_bytes(zip_of({name: content.getvalue()}))
        assert read_file(path, data_format).equals(table)


def test_members_are_read_by_name_those_of_other_formats_and_hidden_ones_are_passed_over(tmp_path):
    path = tmp_path / "a.zip"
    members = {
        "b.jsonl": b'{"text":"b"}',
        "a.jsonl": b'{"text":"a"}\n',
        "c.jsonl.gz": gzip.compress(b'{"text":"c"}'),
        "readme.txt": b"not data",
        "__MACOSX/._a.jsonl": b"\0",
        ".hidden.jsonl": b"{",
        "folder/": b"",
    }
    path.write_bytes(zip_of(members))
    assert read_texts(path, "json") == ["a", "b", "c"]
    assert streams.list_zip_formats(path) == {"json": 3, "text": 1}


def test_an_error_in_a_member_names_archive_and_member(tmp_path):
    path = tmp_path / "a.zip"
    path.write_bytes(zip_of({"a.jsonl": b'{"text":"a"}\n', "b.jsonl": b'{"text":"b"}\n{"text" 1}\n'}))
    with pytest.raises(MistudioError, match=r"a\.zip::b\.jsonl cannot be read: line 2"):
        read_texts(path, "json")


def test_archives_that_cannot_be_read_say_why(tmp_path):
    path = tmp_path / "a.zip"
    for members, message in (
        ({"a.exe": b"x", "b.dll": b"y"}, "no member has a format"),
        ({}, "no member has a format"),
        ({"inner.jsonl": zip_of({"a.jsonl": b"{}"})}, "an archive inside an archive"),
    ):
        path.write_bytes(zip_of(members))
        with pytest.raises(MistudioError, match=message):
            read_texts(path, "json")
    content = bytearray(zip_of({"a.jsonl": b'{"text":"a"}'}))
    content[6] |= 1  # the flag "encrypted" of the local header
    content[content.index(b"PK\x01\x02") + 8] |= 1  # and of the directory
    path.write_bytes(content)
    with pytest.raises(MistudioError, match="encrypted"):
        read_texts(path, "json")


@pytest.mark.parametrize("extension", COMPRESSORS)
def test_what_expands_beyond_reason_is_refused(tmp_path, monkeypatch, extension):
    monkeypatch.setattr(streams, "ALWAYS_ALLOWED_BYTES", 1 << 16)
    path = tmp_path / "bomb"
    path.write_bytes(COMPRESSORS[extension](b"bombs away\n" * 400_000))
    if path.stat().st_size * streams.MOST_EXPANSION > 4_400_000:
        return  # this container does not compress as well
    with pytest.raises(MistudioError, match="expands to more than 200 times its size"):
        read_texts(path, "text")


def test_the_limit_holds_for_all_members_together(tmp_path, monkeypatch):
    monkeypatch.setattr(streams, "ALWAYS_ALLOWED_BYTES", 1 << 20)
    path = tmp_path / "a.zip"
    path.write_bytes(zip_of({f"{number}.txt": b"a\n" * 100_000 for number in range(50)}))
    with pytest.raises(MistudioError, match="expands to more"):
        read_texts(path, "text")


def test_an_xz_file_that_demands_gigabytes_of_memory_is_refused(tmp_path):
    with lzma.LZMAFile(tmp_path / "a.txt.xz", "w", filters=[{"id": lzma.FILTER_LZMA2, "preset": 0}]) as file:
        file.write(b"a\n")
    content = bytearray((tmp_path / "a.txt.xz").read_bytes())
    # The block header (bytes 12-23): size, flags, filter id, size of properties, dictionary size, padding, CRC32.
    content[16] = 38  # 2 GiB
    content[20:24] = struct.pack("<I", zlib.crc32(bytes(content[12:20])))
    (tmp_path / "a.txt.xz").write_bytes(content)
    with pytest.raises(MistudioError, match=r"damaged \(Memory usage limit exceeded\)"):
        read_texts(tmp_path / "a.txt.xz", "text")


@settings(max_examples=150, deadline=None)
@given(
    extension=st.sampled_from(sorted(COMPRESSORS)),
    flips=st.lists(st.tuples(st.floats(0, 1), st.integers(1, 255)), min_size=1),
)
def test_flipped_bytes_give_text_or_an_error_that_names_the_file(tmp_path_factory, extension, flips):
    content = bytearray(COMPRESSORS[extension](b"".join(b"line %d\n" % number for number in range(50))))
    for place, mask in flips:
        content[min(int(place * len(content)), len(content) - 1)] ^= mask
    path = tmp_path_factory.mktemp("flip") / "a.txt"
    path.write_bytes(content)
    try:
        read_file(path, "text")
    except MistudioError as error:
        assert error.code == ErrorCode.UNREADABLE_FILE
        assert "a.txt" in error.message


member_names = st.one_of(
    st.sampled_from(
        ["../../evil.jsonl", "/etc/evil.jsonl", "C:\\evil.jsonl", "..\\..\\evil.jsonl", "a/../../b.jsonl", "~/x.jsonl"]
    ),
    st.text(st.characters(exclude_categories=("Cs",)), min_size=1, max_size=30).map(lambda name: name + ".jsonl"),
    st.integers(200, 60_000).map(lambda length: "n" * length + ".jsonl"),
)


@settings(max_examples=60, deadline=None)
@given(names=st.lists(member_names, min_size=1, max_size=4, unique=True))
@example(names=["\x00.jsonl"])
@example(names=["\x00.jsonl", "a.jsonl"])
def test_no_name_of_a_member_leads_anywhere(tmp_path_factory, names):
    folder = tmp_path_factory.mktemp("zip")
    inside = folder / "inside"
    inside.mkdir()
    path = inside / "a.zip"
    path.write_bytes(zip_of({name: b'{"text":"x"}\n' for name in names}))
    before = Path.cwd()
    try:
        texts = read_texts(path, "json")
    except MistudioError as error:
        assert error.code == ErrorCode.UNREADABLE_FILE
    else:
        assert set(texts) == {"x"}
    assert [found for found in folder.rglob("*")] == [inside, path]
    assert Path.cwd() == before


@pytest.mark.parametrize(
    ("name", "data_format", "compression"),
    [
        ("a.JSONL", "json", None),
        ("a.b.c.csv.gz", "csv", "gzip"),
        ("x/train.ndjson.zst", "json", "zstd"),
        ("a.txt.zip", "text", "zip"),
        ("a.zip", None, "zip"),
        ("2024.01.parquet", "parquet", None),
    ],
)
def test_formats_are_recognized_by_extension(name, data_format, compression):
    detected = detect_format(name)
    assert (detected.format, detected.compression) == (data_format, compression)


@pytest.mark.parametrize("name", ["a", "a.tar.gz", "a.gz", "a.pdf", ".jsonl", "jsonl", "a.json.tar", ""])
def test_other_names_stand_for_no_format(name):
    assert detect_format(name) is None


@given(st.binary(max_size=10))
def test_detection_of_compression_never_fails(head):
    detect_compression(head)


def test_a_text_that_begins_like_a_container_is_a_text(tmp_path):
    path = tmp_path / "a.txt"
    path.write_bytes(b"BZh9 is how bzip2 files begin\n")
    assert read_texts(path, "text") == ["BZh9 is how bzip2 files begin"]
