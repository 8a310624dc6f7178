"""Unmodified `huggingface_hub`, `datasets` and `transformers` at the local Hub (one child process for all of them)."""

from __future__ import annotations

import io
import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import mistudio_pipelines.sample
from mistudio_pipelines_tests.hub_server import HubServer
from mistudio_pipelines_tests.local_hub.client_scenarios import DATASET, GRANTED, OTHER
from mistudio_pipelines_tests.local_hub.repositories import Blob

TOKENIZER = Path(mistudio_pipelines.sample.__file__).parent / "tokenizer"
README = b"---\nlicense: mit\n---\n# Hello\n"
CHUNK = 10 << 20
"""`huggingface_hub` writes, and so keeps, chunks of 10 MiB."""
LARGE = bytes(range(256)) * 49_152
BUSY = b"busy" * 1000


def parquet(*texts: str) -> bytes:
    buffer = io.BytesIO()
    pq.write_table(pa.table({"text": list(texts)}), buffer)
    return buffer.getvalue()


class Run:
    """The Hub after the scenarios, and their outcomes."""

    def __init__(self, hub: HubServer, outcomes: dict[str, dict[str, Any]]) -> None:
        self.hub = hub
        self._outcomes = outcomes

    def result(self, name: str) -> Any:
        outcome = self._outcomes[name]
        assert "result" in outcome, outcome
        return outcome["result"]

    def error(self, name: str) -> tuple[str, int | None]:
        outcome = self._outcomes[name]
        return outcome.get("error", f"no error but {outcome}"), outcome.get("status")

    def message(self, name: str) -> str:
        return self._outcomes[name]["message"]


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Run]:
    with HubServer() as hub:
        hub.protocol.page_size = 3
        files = {"README.md": README, "data/train.parquet": parquet("one", "two"), "data/test.parquet": parquet("x")}
        hub.add_repository(DATASET, files)
        hub.add_repository(
            DATASET, {"default/train/0000.parquet": parquet("converted")}, revision="refs/convert/parquet"
        )
        hub.add_repository("user/gated", {"data.txt": b"secret"}, gated=True)
        hub.add_repository("user/private", {"data.txt": b"secret"}, private=True)
        hub.add_repository("oldname", {"data.txt": b"moved"})
        hub.move_repository("oldname", "user/newname")
        for name in ("user/tokenizer", "tokenizer"):
            hub.add_repository(name, {path.name: path for path in TOKENIZER.iterdir() if path.is_file()}, kind="model")
        hub.allow(GRANTED, {"user/gated", "user/private"})
        hub.allow(OTHER)
        hub.add_repository("user/faulty", {"cut.parquet": LARGE, "busy.parquet": BUSY})
        hub.add_repository("user/failing", {"a.txt": b"a"})
        hub.faults.cut_after("cut.parquet", CHUNK + 100_000)
        hub.faults.fail("busy.parquet", 429, headers={"Retry-After": "0"}, origin="cdn")
        hub.faults.fail("user/failing/tree/main", 503)
        yield Run(hub, run_scenarios(hub, tmp_path_factory.mktemp("home")))


def run_scenarios(hub: HubServer, home: Path) -> dict[str, dict[str, Any]]:
    command = [sys.executable, "-m", "mistudio_pipelines_tests.local_hub.client_scenarios"]
    child = subprocess.run(command, env=hub.environment(home), capture_output=True, text=True, timeout=120, check=False)
    assert child.returncode == 0, child.stderr
    return json.loads(child.stdout.splitlines()[-1])


def test_the_client_reads_information_and_hashes(run: Run) -> None:
    information = run.result("dataset_info")
    train = next(each for each in information["siblings"] if "train.parquet" in str(each))
    assert information["sha"] == run.result("commits")[0]
    assert Blob.of(parquet("one", "two")).sha256 in str(train)
    assert run.result("model_info")["gated"] is False
    assert run.result("revision") != information["sha"]


def test_the_client_follows_the_pages_of_a_tree(run: Run) -> None:
    assert [item["path"] for item in run.result("tree")] == [
        "README.md",
        "data",
        "data/test.parquet",
        "data/train.parquet",
    ]
    assert sum("/tree/" in request.path and "cursor" in request.query for request in run.hub.requests) >= 1
    assert run.result("paths") == ["README.md", "data"]
    assert "refs/convert/parquet" in str(run.result("references"))


def test_the_client_follows_the_new_name_of_a_repository(run: Run) -> None:
    assert run.result("moved name") == "user/newname"


@pytest.mark.parametrize(
    ("name", "error"),
    [
        ("no repository", ("RepositoryNotFoundError", 401)),
        ("no repository for a known token", ("RepositoryNotFoundError", 404)),
        ("no revision", ("RevisionNotFoundError", 404)),
        ("no folder", ("RemoteEntryNotFoundError", 404)),
        ("no entry", ("RemoteEntryNotFoundError", 404)),
        ("private", ("RepositoryNotFoundError", 404)),
        ("unknown token", ("HfHubHTTPError", 401)),
        ("gate", ("GatedRepoError", 403)),
        ("gated", ("GatedRepoError", 401)),
        ("gated, not granted", ("GatedRepoError", 403)),
        ("load_dataset, missing", ("DatasetNotFoundError", None)),
        ("load_dataset, gated", ("DatasetNotFoundError", None)),
    ],
)
def test_the_client_knows_each_refusal_by_its_own_error(run: Run, name: str, error: tuple[str, int | None]) -> None:
    assert run.error(name) == error


def test_messages_of_the_hub_reach_the_client(run: Run) -> None:
    assert "not in the authorized list" in run.message("gated, not granted")
    assert "Invalid credentials" in run.message("unknown token")
    assert "gated dataset" in run.message("load_dataset, gated")


def test_a_granted_token_opens_gated_and_private_repositories(run: Run) -> None:
    assert bytes.fromhex(run.result("gated, granted")) == b"secret"
    assert run.result("private, granted") is True
    assert run.result("gate, granted") is None
    assert run.result("whoami") == "local-user"


def test_the_client_downloads_files_inside_and_outside_lfs(run: Run) -> None:
    assert bytes.fromhex(run.result("download in LFS")) == parquet("one", "two")
    assert bytes.fromhex(run.result("download outside LFS")) == README
    assert bytes.fromhex(run.result("download by revision")) == parquet("converted")


def test_a_snapshot_has_the_checksums_of_the_tree(run: Run) -> None:
    snapshot = run.result("snapshot")
    assert snapshot == {
        "files": ["README.md", "data/test.parquet", "data/train.parquet"],
        "mismatches": [],
        "checked": 3,
    }


def test_the_token_goes_to_the_hub_and_never_to_the_second_origin(run: Run) -> None:
    with_token = {request.origin for request in run.hub.requests if "authorization" in request.headers}
    assert with_token == {"hub"}
    assert any(request.origin == "cdn" and request.status == 200 for request in run.hub.requests)


def test_the_file_system_lists_and_reads_also_ranges(run: Run) -> None:
    assert sorted(run.result("file system lists")) == [
        f"datasets/{DATASET}/data/test.parquet",
        f"datasets/{DATASET}/data/train.parquet",
    ]
    assert bytes.fromhex(run.result("file system reads")) == README
    assert bytes.fromhex(run.result("file system reads a range")) == parquet("one", "two")[4:12]
    assert any(request.status == 206 for request in run.hub.requests)


def test_the_client_goes_on_after_a_cut_with_a_range(run: Run) -> None:
    assert bytes.fromhex(run.result("cut")) == LARGE
    answers = [each for each in run.hub.requests if each.origin == "cdn" and "/cut." in each.path]
    assert [(each.status, each.range) for each in answers] == [(200, None), (206, f"bytes={CHUNK}-")]
    assert [each.bytes_sent for each in answers] == [CHUNK + 100_000, len(LARGE) - CHUNK]


def test_the_client_waits_when_the_hub_is_busy_and_tries_again_when_it_fails(run: Run) -> None:
    assert bytes.fromhex(run.result("busy")) == BUSY
    busy = [each for each in run.hub.requests if each.origin == "cdn" and "/busy." in each.path]
    assert [each.status for each in busy] == [429, 200]
    assert busy[1].time_started - busy[0].time_started >= 0.9
    assert run.result("failing") == 1


def test_datasets_loads_whole_streamed_and_from_the_parquet_branch(run: Run) -> None:
    assert run.result("load_dataset") == ["one", "two"]
    assert run.result("load_dataset streaming") == ["one", "two"]
    assert run.result("load_dataset by revision") == ["converted"]
    assert run.result("configs") == ["default"]


def test_transformers_loads_a_tokenizer_with_and_without_a_namespace(run: Run) -> None:
    assert run.result("tokenizer")
    assert run.result("tokenizer without a namespace") == run.result("tokenizer")
