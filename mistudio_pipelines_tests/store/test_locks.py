"""One writer per part of a dataset, across processes, and none that outlives its process."""

from __future__ import annotations

import subprocess
import sys
import time

import pytest

from mistudio_pipelines.errors import ErrorCode, MistudioError
from mistudio_pipelines.store.layout import DataStore
from mistudio_pipelines.store.locks import INDEX_PART, RAW_PART, dataset_lock, tokenized_part

HOLDER = """
import sys, time
from pathlib import Path
from mistudio_pipelines.store.layout import DataStore
from mistudio_pipelines.store.locks import dataset_lock
with dataset_lock(DataStore(Path(sys.argv[1])), "ds_x", sys.argv[2], "downloading"):
    print("held", flush=True)
    time.sleep(float(sys.argv[3]))
"""


@pytest.fixture
def store(tmp_path):
    return DataStore(tmp_path)


def hold(store, part="raw", seconds=60.0):
    process = subprocess.Popen(
        [sys.executable, "-c", HOLDER, str(store.root), part, str(seconds)], stdout=subprocess.PIPE, text=True
    )
    assert process.stdout.readline() == "held\n"
    return process


def test_a_second_process_is_told_what_the_first_is_doing_and_a_killed_one_holds_nothing(store):
    holder = hold(store)
    try:
        with (
            pytest.raises(MistudioError, match="ds_x is downloading by another run") as caught,
            dataset_lock(store, "ds_x", RAW_PART, "converting"),
        ):
            pass
        assert caught.value.code == ErrorCode.BUSY
        assert caught.value.transient
        with dataset_lock(store, "ds_x", INDEX_PART, "indexing"), dataset_lock(store, "ds_y", RAW_PART, "downloading"):
            pass
    finally:
        holder.kill()
        holder.wait()
        holder.stdout.close()
    with dataset_lock(store, "ds_x", RAW_PART, "converting"):
        pass


def test_waiting_for_the_other_process_is_possible(store):
    holder = hold(store, seconds=0.5)
    start = time.monotonic()
    with dataset_lock(store, "ds_x", RAW_PART, "converting", wait_seconds=20):
        assert time.monotonic() - start < 15
    assert holder.wait() == 0
    holder.stdout.close()


def test_a_lock_is_free_again_after_an_error(store):
    for _ in range(2):
        with pytest.raises(ZeroDivisionError), dataset_lock(store, "ds_x", RAW_PART, "converting"):
            raise ZeroDivisionError


def test_an_empty_note_of_the_holder_is_no_riddle(store):
    with dataset_lock(store, "ds_x", RAW_PART, "downloading"):
        store.lock("ds_x", RAW_PART).with_suffix(".holder").write_text("")
        with (
            pytest.raises(MistudioError, match="ds_x is being written by another run"),
            dataset_lock(store, "ds_x", RAW_PART, "converting"),
        ):
            pass


def test_the_part_of_a_tokenization_cannot_lead_out_of_the_folder(store):
    assert tokenized_part("gpt2-1024") == "tokenized.gpt2-1024"
    with pytest.raises(MistudioError):
        tokenized_part("../x")
