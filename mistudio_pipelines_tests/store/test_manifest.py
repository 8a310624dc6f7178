"""The manifest: what it counts, and what is said where it is missing or damaged."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mistudio_pipelines.errors import ErrorCode, MistudioError
from mistudio_pipelines.store.manifest import MANIFEST_NAME, Manifest, Origin, RawFile, read_manifest, write_manifest

files = st.builds(
    RawFile,
    path=st.just("train-00000-of-00001.parquet"),
    split=st.sampled_from(["train", "test", "été"]),
    rows=st.integers(0, 10**9),
    size=st.integers(0, 10**12),
    sha256=st.just("0" * 64),
    origins=st.lists(
        st.builds(
            Origin, path=st.text(st.characters(exclude_categories=("Cs",)), max_size=20), size=st.integers(0, 10)
        ),
        max_size=2,
    ).map(tuple),
    replaced_characters=st.integers(0, 5),
)
manifests = st.builds(
    Manifest,
    dataset_id=st.just("ds_x"),
    source=st.sampled_from(["huggingface", "local"]),
    repository=st.none() | st.just("owner/name"),
    revision=st.just("abc"),
    text_column=st.text(st.characters(exclude_categories=("Cs",)), min_size=1, max_size=5),
    files=st.lists(files, max_size=4).map(tuple),
)


@given(manifest=manifests)
def test_what_is_written_is_read_and_counts_agree(tmp_path_factory, manifest):
    folder = tmp_path_factory.mktemp("raw")
    write_manifest(folder, manifest)
    assert read_manifest(folder) == manifest
    assert sum(manifest.rows_by_split.values()) == manifest.rows == sum(file.rows for file in manifest.files)
    assert manifest.size == sum(file.size for file in manifest.files)
    assert list(manifest.rows_by_split) == list(dict.fromkeys(file.split for file in manifest.files))


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b"\xff", b'{"format_version": 2}', b'{"dataset_id": 1}'])
def test_a_damaged_manifest_is_said_with_what_to_do(tmp_path, content):
    (tmp_path / MANIFEST_NAME).write_bytes(content)
    with pytest.raises(MistudioError, match="cannot be read") as caught:
        read_manifest(tmp_path)
    assert caught.value.code == ErrorCode.DATA_CORRUPT
    assert "mistudio retry" in caught.value.next_step


def test_a_missing_manifest_is_another_error_than_a_damaged_one(tmp_path):
    for folder in (tmp_path, tmp_path / "nowhere"):
        with pytest.raises(MistudioError) as caught:
            read_manifest(folder)
        assert caught.value.code == ErrorCode.DATA_MISSING
