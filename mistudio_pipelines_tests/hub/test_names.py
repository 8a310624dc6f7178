"""Local names are ours, whatever the Hub calls a file."""

import os
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mistudio_pipelines.hub.names import local_name

HOSTILE = st.sampled_from(
    [
        "..",
        ".",
        "/",
        "\\",
        "\0",
        "\n",
        "~",
        "-rf",
        "CON",
        "nul.txt",
        "a" * 300,
        "．．／",
        "∕etc∕passwd",
        "\u202egpj",
        "%2e%2e",
        " ",
        ".",
    ]
)
PATHS = st.lists(HOSTILE | st.text(max_size=10), max_size=6).map("/".join) | st.text()


@given(PATHS, st.text(max_size=50))
def test_no_name_leads_out_of_its_folder_or_hides(path, content):
    name = local_name(path, content)
    assert re.fullmatch(r"[0-9a-f]{24}-[A-Za-z0-9._-]{1,100}", name)
    assert os.path.normpath(f"/folder/{name}") == f"/folder/{name}"
    assert ".." not in name
    assert not name.endswith(".")


@given(PATHS, st.text(max_size=50), st.text(max_size=50))
def test_different_contents_never_share_a_name(path, one, other):
    assert (local_name(path, one) == local_name(path, other)) == (one == other)


@pytest.mark.parametrize(
    ("path", "tail"),
    [
        ("data/train-00000-of-00001.parquet", "train-00000-of-00001.parquet"),
        ("a/b.jsonl.gz", "b.jsonl.gz"),
        ("../../etc/passwd", "passwd"),
        ("a\\b.csv", "b.csv"),
        ("été 1.txt", "t_1.txt"),
        ("..", "file"),
        ("x" * 300 + ".jsonl.zst", "x" * 90 + ".jsonl.zst"),
    ],
)
def test_the_suffixes_stay(path, tail):
    assert local_name(path, "x").partition("-")[2] == tail


def test_a_part_or_its_sidecar_never_has_the_name_of_another_file():
    """Two files of equal content, one called like the other's part, were written into each other."""
    for suffix in (".part", ".part.json"):
        assert local_name("a" + suffix, "x") != local_name("a", "x") + suffix
