"""Free space, sizes of folders, and whether a dataset fits."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mistudio_pipelines.errors import ErrorCode, MistudioError
from mistudio_pipelines.store.room import BLOCK_BYTES, FLOOR_BYTES, WARN_BYTES, check_room
from mistudio_pipelines.store.space import folder_bytes, free_bytes


def test_free_space_of_a_folder_that_is_not_there_yet_is_that_of_its_disk(tmp_path):
    assert free_bytes(tmp_path / "a" / "b" / "c") > 0


def test_the_bytes_of_a_folder_count_links_as_links(tmp_path):
    assert folder_bytes(tmp_path / "nowhere") == 0
    (tmp_path / "x" / "deep").mkdir(parents=True)
    (tmp_path / "x" / "a").write_bytes(b"12345")
    (tmp_path / "x" / "deep" / "b").write_bytes(b"123")
    (tmp_path / "big").write_bytes(bytes(10_000))
    (tmp_path / "x" / "link").symlink_to(tmp_path / "big")
    assert 8 <= folder_bytes(tmp_path / "x") < 1000


sizes = st.integers(0, 10**13)


@given(download=sizes, pipeline=sizes, free=sizes, promised=sizes, allowed=st.booleans())
def test_a_dataset_is_accepted_exactly_where_it_fits(download, pipeline, free, promised, allowed):
    fits = pipeline <= max(0, free - promised - FLOOR_BYTES)
    blocked = download >= BLOCK_BYTES and not allowed
    try:
        warnings = check_room(download, pipeline, free, promised=promised, allow_large=allowed)
    except MistudioError as error:
        assert error.code == (ErrorCode.DATASET_TOO_LARGE if blocked else ErrorCode.INSUFFICIENT_STORAGE)
        assert blocked or not fits
    else:
        assert fits and not blocked
        assert bool(warnings) == (download >= WARN_BYTES)


def test_the_refusal_is_the_sentence_people_know_with_the_largest_datasets_first():
    with pytest.raises(MistudioError) as caught:
        check_room(10**9, 2_300_000_000, 800_000_000 + FLOOR_BYTES, sizes={"ds_small": 5, "ds_big": 5 * 10**9})
    assert str(caught.value) == (
        "Insufficient storage: dataset requires 2.3 GB but only 800 MB is available. Please free up space or delete "
        "unused datasets. Largest datasets: ds_big (5 GB), ds_small (5 B)."
    )
