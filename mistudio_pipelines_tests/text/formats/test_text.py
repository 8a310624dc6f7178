"""Plain text: lines, paragraphs, documents, and encodings."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mistudio_pipelines.errors import MistudioError
from mistudio_pipelines.text.formats import lines, text_files
from mistudio_pipelines.text.formats.source import Reading
from mistudio_pipelines_tests.text.formats.reading_files import read_file, read_rows, read_texts


def write(path, content):
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


def test_every_line_is_a_sample_and_only_line_feeds_and_carriage_returns_end_one(tmp_path):
    path = write(tmp_path / "a.txt", "one\r\ntwo\u2028still two\x85\x0c\n\nfour\rfive\0")
    assert read_texts(path, "text") == ["one", "two\u2028still two\x85\x0c", "", "four", "five\0"]


@pytest.mark.parametrize(("content", "count"), [("", 0), ("\n", 1), ("a", 1), ("a\n", 1), ("a\n\n", 2), ("a\r\n", 1)])
def test_a_line_end_at_the_end_begins_no_further_sample(tmp_path, content, count):
    assert len(read_rows(write(tmp_path / "a.txt", content), "text")) == count


def test_paragraphs_and_documents(tmp_path):
    path = write(tmp_path / "a.txt", "\n\na\nb\r\n\r\nc\n\n\n\nd\n")
    assert read_texts(path, "text", sample_by="paragraph") == ["a\nb", "c", "d\n"]
    assert read_texts(path, "text", sample_by="document") == ["\n\na\nb\n\nc\n\n\n\nd\n"]
    with pytest.raises(MistudioError, match="line, paragraph or document"):
        read_rows(path, "text", sample_by="word")


def test_the_column_has_the_name_of_the_text_column(tmp_path):
    path = write(tmp_path / "a.txt", "x\n")
    assert read_file(path, "text", Reading("a.txt", text_column="content")).to_pylist() == [{"content": "x"}]


def test_a_sample_beyond_reason_is_refused(tmp_path, monkeypatch):
    for module in (lines, text_files):
        monkeypatch.setattr(module, "MOST_LINE_BYTES", 1 << 20)
    path = write(tmp_path / "a.txt", "ok\n" + "x" * (10 << 20))
    with pytest.raises(MistudioError, match=r"line 2 is longer than 1 MB"):
        read_rows(path, "text")
    for sample_by in ("paragraph", "document"):
        with pytest.raises(MistudioError, match=r"longer than 1 MB"):
            read_rows(path, "text", sample_by=sample_by)


@settings(max_examples=150, deadline=None)
@given(
    texts=st.lists(st.text(st.characters(exclude_categories=("Cs",), exclude_characters="\r\n"), max_size=20)),
    end=st.sampled_from(["\n", "\r\n", "\r"]),
    block=st.sampled_from([1, 2, 3, 7, 1000]),
)
def test_any_lines_come_back_whatever_the_blocks(tmp_path_factory, texts, end, block):
    # A file that begins with the byte order mark has one; the first text must not.
    texts = ["x", *texts]
    path = write(tmp_path_factory.mktemp("text") / "a.txt", "".join(text + end for text in texts))
    reading = Reading("a.txt", text_column="text")
    with path.open("rb") as file:
        blocks = lines.iter_utf8_blocks(file, reading, block)
        split = text_files._iter_lines(text_files._iter_with_line_feeds(blocks), reading)
        assert [line.decode() for batch in split for line in batch] == texts
    assert reading.replaced_characters == 0


@settings(max_examples=200, deadline=None)
@given(content=st.binary(max_size=40), block=st.sampled_from([1, 2, 3, 5, 1000]))
def test_any_bytes_become_valid_utf8_as_python_replaces_them(content, block, tmp_path_factory):
    content = b"xxxx" + content  # no byte order mark
    path = write(tmp_path_factory.mktemp("bytes") / "a.txt", content)
    reading = Reading("a.txt")
    with path.open("rb") as file:
        decoded = b"".join(lines.iter_utf8_blocks(file, reading, block)).decode()
    expected = content.decode(errors="replace")
    assert decoded == expected
    assert reading.replaced_characters == expected.count("\ufffd") - content.count("\ufffd".encode())


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16", "utf-16-le", "utf-32", "cp1251", "gb18030", "shift_jis"])
def test_other_encodings_are_read(tmp_path, encoding):
    text = {"cp1251": "Привет", "shift_jis": "日本語"}.get(encoding, "häßlich 日本 😀")
    path = write(tmp_path / "a.txt", (text + "\nb\n").encode(encoding))
    options = {} if encoding in ("utf-8-sig", "utf-16", "utf-32") else {"encoding": encoding}
    assert read_texts(path, "text", **options) == [text, "b"]


@pytest.mark.parametrize("encoding", ["klingon", "zlib", "rot13"])
def test_what_is_no_text_encoding_is_refused(tmp_path, encoding):
    with pytest.raises(MistudioError, match=rf"no encoding '{encoding}'"):
        read_rows(write(tmp_path / "a.txt", "x"), "text", encoding=encoding)
