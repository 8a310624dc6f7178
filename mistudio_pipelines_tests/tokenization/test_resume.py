"""The same rows whatever the number of workers, and after any interruption."""

from __future__ import annotations

import shutil
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from multiprocessing import get_context

import pytest

from mistudio_pipelines.errors import ErrorCode, MistudioError, Stopped
from mistudio_pipelines.store.layout import DataStore
from mistudio_pipelines.tokenization import assembly, encoding, output, planning
from mistudio_pipelines.tokenization import tokenize as tokenize_module
from mistudio_pipelines.tokenization.proof import check_tokenization, read_tokenization
from mistudio_pipelines.tokenization.tokenize import tokenize_dataset
from mistudio_pipelines_tests.text.raw_datasets import DATASET_ID, make_dataset
from mistudio_pipelines_tests.tokenization.tokenized_rows import files_of, tokenize

TEXTS = [f"Document {number} says: " + "the fox and the dog, " * (number % 19) for number in range(300)]


@pytest.fixture(autouse=True)
def small_shards(monkeypatch):
    monkeypatch.setattr(planning, "SHARD_BYTES", 12_000)
    monkeypatch.setattr(output, "FILE_TOKENS", 3_000)


def dataset(root) -> DataStore:
    return make_dataset(root, {"train": TEXTS, "validation": TEXTS[::7]}, row_group_size=20)


@pytest.mark.parametrize("settings", [{}, {"mode": "padded", "shuffle_seed": 7}])
def test_threads_processes_and_one_worker_write_the_same_bytes(settings, tmp_path, tokenizer_folder):
    written = []
    for name, make_executor in {
        "one": lambda: ThreadPoolExecutor(1),
        "threads": lambda: ThreadPoolExecutor(5),
        "processes": lambda: ProcessPoolExecutor(2, get_context("spawn")),
    }.items():
        store = dataset(tmp_path / name)
        with make_executor() as executor:
            tokenize(store, tokenizer_folder("sample"), context_size=64, executor=executor, **settings)
        written.append(files_of(store))

    assert len(written[0]) > 8
    assert written[0] == written[1] == written[2]


def test_shuffled_rows_are_the_same_rows_in_another_order(tmp_path, tokenizer_folder):
    from mistudio_pipelines_tests.tokenization.tokenized_rows import rows_of

    store = dataset(tmp_path)
    tokenize(store, tokenizer_folder("sample"), "plain", context_size=64)
    tokenize(store, tokenizer_folder("sample"), "shuffled", context_size=64, shuffle_seed=1)
    tokenize(store, tokenizer_folder("sample"), "other", context_size=64, shuffle_seed=2)

    plain, shuffled, other = (rows_of(store, "train", preset) for preset in ("plain", "shuffled", "other"))
    assert sorted(plain) == sorted(shuffled) == sorted(other)
    assert plain != shuffled != other
    assert check_tokenization(store, DATASET_ID, "shuffled") == []


class Crash(BaseException):
    """As a kill or an interrupt: not an Exception."""


def failing_after(function, calls: int, error: BaseException):
    """A function that works a few times and then raises."""
    done = []

    def call(task):
        if len(done) >= calls:
            raise error
        done.append(task)
        return function(task)

    return call


@pytest.mark.parametrize("step", ["encode_shard", "assemble_file"])
@pytest.mark.parametrize("settings", [{}, {"mode": "per_document", "truncation": "split", "shuffle_seed": 3}])
def test_a_run_that_was_cut_short_is_continued_without_redoing_finished_shards(
    step, settings, tmp_path, tokenizer_folder, monkeypatch
):
    whole = dataset(tmp_path / "whole")
    tokenize(whole, tokenizer_folder("sample"), context_size=32, **settings)
    store = dataset(tmp_path / "cut")
    work = {"encode_shard": encoding.encode_shard, "assemble_file": assembly.assemble_file}[step]

    monkeypatch.setattr(tokenize_module, step, failing_after(work, 4, Crash()))
    with ThreadPoolExecutor(1) as executor, pytest.raises(Crash):
        tokenize(store, tokenizer_folder("sample"), context_size=32, executor=executor, **settings)
    assert not store.tokenized(DATASET_ID, "p").exists()

    again = []
    monkeypatch.setattr(tokenize_module, step, lambda task: again.append(task) or work(task))
    tokenize_dataset(store, DATASET_ID, "p")

    assert files_of(store) == files_of(whole)
    tokenization = read_tokenization(store, DATASET_ID, "p")
    in_all = len(tokenization.shards if step == "encode_shard" else tokenization.files)
    assert len(again) == in_all - 4
    assert check_tokenization(store, DATASET_ID, "p") == []
    assert not store.tokenized_partial(DATASET_ID, "p").exists()


def test_stopping_ends_soon_and_keeps_finished_shards(tmp_path, tokenizer_folder):
    store = dataset(tmp_path)

    with pytest.raises(Stopped):
        tokenize(store, tokenizer_folder("sample"), context_size=32, should_stop=lambda: True)

    assert not store.tokenized(DATASET_ID, "p").exists()
    result = tokenize_dataset(store, DATASET_ID, "p")
    assert not result.unchanged


def test_a_finished_shard_that_was_damaged_meanwhile_is_made_again(tmp_path, tokenizer_folder, monkeypatch):
    whole = dataset(tmp_path / "whole")
    tokenize(whole, tokenizer_folder("sample"), context_size=32)
    store = dataset(tmp_path / "damaged")
    monkeypatch.setattr(tokenize_module, "assemble_file", failing_after(assembly.assemble_file, 2, Crash()))
    with ThreadPoolExecutor(1) as executor, pytest.raises(Crash):
        tokenize(store, tokenizer_folder("sample"), context_size=32, executor=executor)
    partial = store.tokenized_partial(DATASET_ID, "p")
    pieces = sorted((partial / ".work" / "pieces").glob("*.ids"))
    for path in (pieces[0], *sorted((partial / "data").glob("*.parquet"))[:1]):
        content = bytearray(path.read_bytes())
        content[len(content) // 2] ^= 1
        path.write_bytes(bytes(content))
    pieces[1].write_bytes(pieces[1].read_bytes()[:-2])
    monkeypatch.undo()
    monkeypatch.setattr(planning, "SHARD_BYTES", 12_000)
    monkeypatch.setattr(output, "FILE_TOKENS", 3_000)

    tokenize_dataset(store, DATASET_ID, "p")

    assert files_of(store) == files_of(whole)


def test_nothing_is_done_where_nothing_changed(tmp_path, tokenizer_folder, monkeypatch):
    store = dataset(tmp_path)
    first = tokenize(store, tokenizer_folder("sample"), context_size=32)
    monkeypatch.setattr(tokenize_module, "make_plan", lambda *_: pytest.fail("it was tokenized again"))

    again = tokenize_dataset(store, DATASET_ID, "p")

    assert again.unchanged
    assert again.tokenization == first.tokenization


def test_new_raw_data_or_a_missing_file_is_tokenized_again(tmp_path, tokenizer_folder):
    store = dataset(tmp_path)
    first = tokenize(store, tokenizer_folder("sample"), context_size=32)
    next((store.tokenized(DATASET_ID, "p") / "data").glob("*")).unlink()

    mended = tokenize_dataset(store, DATASET_ID, "p")
    shutil.rmtree(store.raw(DATASET_ID))
    make_dataset(tmp_path, {"train": TEXTS[:50]}, revision="r2")
    newer = tokenize_dataset(store, DATASET_ID, "p")

    assert not mended.unchanged
    assert mended.counts == first.counts
    assert newer.counts.documents == 50


def test_a_full_disk_is_one_sentence_and_what_was_done_is_kept(tmp_path, tokenizer_folder, monkeypatch):
    store = dataset(tmp_path)
    full = OSError(28, "No space left on device")
    monkeypatch.setattr(tokenize_module, "encode_shard", failing_after(encoding.encode_shard, 3, full))

    with ThreadPoolExecutor(1) as executor, pytest.raises(MistudioError, match="The disk is full") as stopped:
        tokenize(store, tokenizer_folder("sample"), context_size=32, executor=executor)

    assert stopped.value.code is ErrorCode.INSUFFICIENT_STORAGE
    assert len(list((store.tokenized_partial(DATASET_ID, "p") / ".work" / "pieces").glob("*.json"))) == 3


def test_progress_goes_up_and_ends_at_the_total(tmp_path, tokenizer_folder):
    store = dataset(tmp_path)
    told = []

    tokenize(store, tokenizer_folder("sample"), context_size=32, on_progress=told.append)

    for stage in ("encoding", "writing"):
        of_stage = [progress for progress in told if progress.stage.startswith(stage)]
        assert [progress.done for progress in of_stage] == sorted(progress.done for progress in of_stage)
        assert of_stage[-1].done == of_stage[-1].total


def test_what_a_process_refuses_is_the_same_sentence_as_in_a_thread(tmp_path, tokenizer_folder):
    store = make_dataset(tmp_path, {"train": ["one two", "one unknown"]})
    settings = {"context_size": 4, "begin_of_batch": None, "separator": None}

    sentence = r"Sample 1 \(split train\) cannot be tokenized"
    with (
        ProcessPoolExecutor(1, get_context("spawn")) as executor,
        pytest.raises(MistudioError, match=sentence) as refused,
    ):
        tokenize(store, tokenizer_folder("refusing"), executor=executor, **settings)
    assert refused.value.code is ErrorCode.TOKENIZATION_FAILED
    assert refused.value.details["sample"] == 1
    assert refused.value.next_step


def test_a_shard_whose_space_was_given_back_is_encoded_again_where_its_rows_were_damaged(
    tmp_path, tokenizer_folder, monkeypatch
):
    whole = dataset(tmp_path / "whole")
    tokenize(whole, tokenizer_folder("sample"), context_size=32)
    store = dataset(tmp_path / "damaged")
    monkeypatch.setattr(tokenize_module, "write_descriptions", lambda *_: (_ for _ in ()).throw(Crash()))
    with pytest.raises(Crash):
        tokenize(store, tokenizer_folder("sample"), context_size=32)
    partial = store.tokenized_partial(DATASET_ID, "p")
    assert not list(partial.glob(".work/pieces/*.ids"))
    next((partial / "data").glob("*.parquet")).write_bytes(b"")
    monkeypatch.setattr(tokenize_module, "write_descriptions", output.write_descriptions)

    tokenize_dataset(store, DATASET_ID, "p")

    assert files_of(store) == files_of(whole)
