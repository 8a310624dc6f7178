"""The commands that read: samples, tokens, estimate, export, source, show, list, storage; on one prepared dataset."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

from mistudio_pipelines.cli import cli
from mistudio_pipelines.defs.instance import open_instance, prepare_home
from mistudio_pipelines.defs.partitions import pair_key
from mistudio_pipelines.store.layout import DataStore
from mistudio_pipelines_tests.defs.conftest import SAMPLE_TOKENIZER, Workshop

TEXTS = [f"Sample number {number}: the quick brown fox jumps over {number} lazy dogs." for number in range(120)]


@dataclass
class Prepared:
    """A dataset that is ready and tokenized, and the command on it."""

    dataset_id: str
    run: Callable[..., str]


@pytest.fixture(scope="module")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Prepared]:
    folder = tmp_path_factory.mktemp("prepared")
    before = dict(os.environ)
    store, home = DataStore(folder / "data"), folder / "home"
    os.environ.update({"MISTUDIO_DATA": str(store.root), "DAGSTER_HOME": str(home)})
    prepare_home(home)
    with open_instance(home) as instance:
        workshop = Workshop(store, instance, folder)
        preset = workshop.save_preset("small", 16)
        dataset_id = workshop.add(workshop.write_texts("foxes.jsonl", [*TEXTS, None]))
        for job, key in (("download", dataset_id), ("ingest", dataset_id), ("tokenize", pair_key(dataset_id, preset))):
            assert workshop.run(job, key).success

    def run(*arguments: str) -> str:
        result = CliRunner().invoke(cli, arguments, catch_exceptions=False)
        assert result.exit_code == 0, result.output
        return result.output

    yield Prepared(dataset_id, run)
    os.environ.clear()
    os.environ.update(before)


def test_samples_are_paged_and_no_page_overlaps(prepared: Prepared) -> None:
    numbers: list[int] = []
    for page in ("1", "2", "3"):
        shown = json.loads(prepared.run("samples", prepared.dataset_id, "--page", page, "--json"))
        assert (shown["total"], shown["pages"]) == (121, 3)
        numbers += [sample["number"] for sample in shown["samples"]]
    assert numbers == list(range(121))


def test_a_search_marks_its_hits_and_filters_combine(prepared: Prepared) -> None:
    shown = json.loads(prepared.run("samples", prepared.dataset_id, "--search", '"number 7" AND fox', "--json"))
    assert shown["total"] == 1
    (sample,) = shown["samples"]
    assert "<mark>" in sample["snippets"][0]
    assert sample["metadata"] == {"number": 7}
    nothing = prepared.run("samples", prepared.dataset_id, "--search", "fox", "--min-tokens", "1000")
    assert "1,000" in nothing or "1000" in nothing
    assert "lazy dogs" in prepared.run("samples", prepared.dataset_id, "--search", "fox*", "--page-size", "2")


def test_a_sample_is_shown_whole(prepared: Prepared) -> None:
    assert prepared.run("samples", prepared.dataset_id, "--full", "3").strip() == TEXTS[3]
    assert json.loads(prepared.run("samples", prepared.dataset_id, "--full", "120", "--json"))["text"] is None


def test_the_tokens_of_a_sample_are_its_pieces(prepared: Prepared) -> None:
    arguments = ("tokens", prepared.dataset_id, "--sample", "3", "--tokenizer", str(SAMPLE_TOKENIZER))
    pieces = json.loads(prepared.run(*arguments, "--json"))
    assert "".join(piece["text"] for piece in pieces if not piece["special"]) == TEXTS[3]
    assert f"{len(pieces)} tokens." in prepared.run(*arguments)


def test_tokenizers_are_compared_before_anything_is_tokenized(prepared: Prepared) -> None:
    tokenizer = ("--tokenizer", str(SAMPLE_TOKENIZER))
    options = (*tokenizer, *tokenizer, "--context-size", "16", "--estimate")
    first, second = json.loads(prepared.run("tokenize", prepared.dataset_id, *options, "--json"))
    assert first["tokens"] == second["tokens"] > 1000
    assert first["exact"]
    assert "bytes/token" in prepared.run("tokenize", prepared.dataset_id, *options)


def test_a_row_is_traced_to_its_documents(prepared: Prepared) -> None:
    arguments = ("tokenization", "source", prepared.dataset_id, "small", "--split", "train", "--row", "10", "--json")
    stretches = json.loads(prepared.run(*arguments))
    assert 1 <= sum(one["length"] for one in stretches) <= 16
    assert all(0 <= one["sample"] < 120 for one in stretches)


def test_a_tokenization_is_exported_as_flat_arrays(prepared: Prepared, tmp_path: Path) -> None:
    prepared.run("tokenization", "export", prepared.dataset_id, "small", "--to", str(tmp_path / "flat"))
    ids = np.fromfile(tmp_path / "flat" / "train.bin", dtype="<u2")
    assert len(ids) % 16 == 0
    assert len(ids) > 1000


def test_lists_and_storage_tell_people_and_tools_the_same(prepared: Prepared) -> None:
    (listed,) = json.loads(prepared.run("list", "--json"))
    assert (listed["id"], listed["status"], listed["tokenizations"]) == (prepared.dataset_id, "ready", ["small"])
    assert prepared.dataset_id in prepared.run("list", "--text", "FOXES", "--source", "local")
    assert prepared.dataset_id not in prepared.run("list", "--status", "error")
    assert "120 train" not in prepared.run("show", prepared.dataset_id)
    assert "121 train" in prepared.run("show", prepared.dataset_id)
    assert "small" in prepared.run("tokenization", "list")
    (stored,) = json.loads(prepared.run("storage", "--json"))["datasets"]
    assert stored["total_bytes"] == stored["raw_bytes"] + stored["index_bytes"] + sum(
        stored["tokenized_bytes"].values()
    )
