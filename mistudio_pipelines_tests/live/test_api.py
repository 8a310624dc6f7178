"""The REST API with a real Dagster behind it: what is asked for is started, done, shown and deleted again."""

from __future__ import annotations

import json
import secrets
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from mistudio_pipelines.api.settings import ApiSettings
from mistudio_pipelines_tests.api.conftest import served
from mistudio_pipelines_tests.defs.conftest import SAMPLE_TOKENIZER
from mistudio_pipelines_tests.live.stack import Stack, parquet_bytes

pytestmark = [pytest.mark.live, pytest.mark.timeout(300)]

SPLITS = ("train", "test")


@pytest.fixture(scope="module")
def api(stack: Stack) -> Iterator[httpx.Client]:
    settings = ApiSettings(stack.store.root, stack.home, dagster_url=stack.services.url)
    with served(settings) as url, httpx.Client(base_url=url, timeout=60) as client:
        yield client


def _data(answer: httpx.Response, status: int = 200) -> Any:
    assert answer.status_code == status, answer.text
    return answer.json()["data"]


def _error(answer: httpx.Response, status: int) -> str:
    assert answer.status_code == status, answer.text
    return str(answer.json()["error"]["code"])


def _wait(stack: Stack, api: httpx.Client, dataset_id: str, status: str = "ready") -> dict[str, Any]:
    def look() -> dict[str, Any] | None:
        shown = _data(api.get(f"/api/datasets/{dataset_id}"))
        assert shown["status"] != "error" or status == "error", shown
        return shown if shown["status"] == status else None

    found: dict[str, Any] = stack.wait(look, what=f"{dataset_id} to be {status}")
    return found


def _wait_for_job(stack: Stack, api: httpx.Client, job_id: str) -> dict[str, Any]:
    def look() -> dict[str, Any] | None:
        state = _data(api.get(f"/api/jobs/{job_id}"))
        return state if state["finished"] else None

    found: dict[str, Any] = stack.wait(look, what=f"job {job_id}")
    return found


def test_a_dataset_is_downloaded_shown_tokenized_and_deleted(stack: Stack, api: httpx.Client) -> None:
    texts = [f"sample {number} about dragons" for number in range(120)]
    stack.hub.add_repository("someone/stories", {"data/train-00000-of-00001.parquet": parquet_bytes(texts)})
    events = api.stream("GET", "/api/events")

    plan = _data(api.post("/api/datasets/plan", json={"repo_id": "someone/stories"}))
    assert (plan["available_splits"], plan["text_column"]) == (["train"], "text")
    assert _data(api.get("/api/datasets")) == []

    with events as stream:
        started = api.post("/api/datasets/download", json={"repo_id": "someone/stories"})
        dataset_id = _data(started, 202)["dataset_id"]
        assert started.json()["meta"]["download_bytes"] == plan["download_bytes"]
        shown = _data(api.get("/api/datasets"))
        assert [(one["id"], one["status"]) for one in shown] == [(dataset_id, "downloading")]
        ready = _wait(stack, api, dataset_id)
        statuses = _statuses_until_ready(stream)
    assert statuses[0] == "downloading"
    assert statuses[-1] == "ready"
    assert (ready["num_samples"], ready["repository"]) == (120, "someone/stories")
    assert _error(api.post("/api/datasets/download", json={"repo_id": "someone/stories"}), 409) == "dataset_exists"

    page = api.get(f"/api/datasets/{dataset_id}/samples", params={"search": "dragons", "limit": 7, "page": 2}).json()
    assert page["pagination"] == {"page": 2, "limit": 7, "total": 120, "has_next": True, "has_prev": True}
    assert [one["text"] for one in page["data"]] == texts[7:14]

    preset = {"name": "small", "tokenizer": str(SAMPLE_TOKENIZER), "context_size": 16}
    assert _data(api.post("/api/tokenizations", json=preset), 201)["context_size"] == 16
    assert _error(api.post("/api/tokenizations", json={**preset, "context_size": 8}), 409) == "preset_exists"
    _data(api.post(f"/api/datasets/{dataset_id}/tokenizations", json={"preset": "small"}), 202)
    stack.wait(lambda: _states(api, dataset_id) == {"small": "ready"}, what="the tokenization")
    assert _data(api.get(f"/api/datasets/{dataset_id}/tokenizations/small/sources?split=train&row=0"))[0]["sample"] == 0

    deleted = _data(api.delete(f"/api/datasets/{dataset_id}"))
    assert deleted["freed_bytes"] > 0
    assert _data(api.get("/api/datasets")) == []
    assert _error(api.get(f"/api/datasets/{dataset_id}"), 404) == "unknown_dataset"
    assert not stack.store.raw(dataset_id).exists()


def _states(api: httpx.Client, dataset_id: str) -> dict[str, str]:
    found = _data(api.get(f"/api/datasets/{dataset_id}/tokenizations"))
    assert all(one["state"] != "failed" for one in found), found
    return {one["preset"]: one["state"] for one in found}


def _statuses_until_ready(stream: httpx.Response) -> list[str]:
    statuses: list[str] = []
    for line in stream.iter_lines():
        if line.startswith("data: "):
            statuses.append(json.loads(line.removeprefix("data: "))["status"])
            if statuses[-1] == "ready":
                break
    return statuses


@pytest.mark.slow
def test_an_update_fetches_only_the_files_that_changed(stack: Stack, api: httpx.Client) -> None:
    files = {f"data/{split}.parquet": parquet_bytes([f"{split} {number}" for number in range(50)]) for split in SPLITS}
    first = stack.hub.add_repository("someone/growing", files)
    dataset_id = _data(api.post("/api/datasets/download", json={"repo_id": "someone/growing"}), 202)["dataset_id"]
    assert _wait(stack, api, dataset_id)["revision"] == first
    address = f"/api/datasets/{dataset_id}/update"
    same = _data(api.post(address))
    assert (same["revision"], same["job_id"]) == (first, None)

    second = stack.hub.commit("someone/growing", {"data/test.parquet": parquet_bytes(["another dragon"] * 70)})
    stack.hub.clear_requests()
    started = _data(api.post(address), 202)
    assert started["revision"] == second
    assert _wait_for_job(stack, api, started["job_id"])["status"] == "SUCCESS"
    # Planning reads a range at the end of a file to know its columns; a file that is fetched is asked for whole.
    fetched = {one.path.rpartition("/")[2] for one in stack.hub.requests if "range" not in one.headers}
    assert {name for name in fetched if name.endswith(".parquet")} == {"test.parquet"}

    # Statistics and index follow by themselves.
    stack.wait(lambda: _data(api.get(f"/api/datasets/{dataset_id}"))["num_samples"] == 120, what="the new statistics")
    updated = _wait(stack, api, dataset_id)
    assert (updated["revision"], updated["statistics"]["splits"]) == (second, {"test": 70, "train": 50})
    found = api.get(f"/api/datasets/{dataset_id}/samples", params={"search": "dragon"}).json()
    assert found["pagination"]["total"] == 70
    assert _data(api.post(address))["job_id"] is None
    _data(api.delete(f"/api/datasets/{dataset_id}"))


@pytest.mark.slow
def test_a_download_that_was_cancelled_is_retried(stack: Stack, api: httpx.Client) -> None:
    stack.hub.add_repository(
        "someone/slow", {"train.parquet": parquet_bytes([secrets.token_hex(5000) for _ in range(400)])}
    )
    stack.hub.faults.slow("someone/slow/*parquet", 30_000)
    dataset_id = _data(api.post("/api/datasets/download", json={"repo_id": "someone/slow"}), 202)["dataset_id"]
    stack.wait(lambda: _data(api.get(f"/api/datasets/{dataset_id}"))["progress"], what="progress")
    assert _error(api.delete(f"/api/datasets/{dataset_id}"), 409) == "in_use"
    assert _error(api.post(f"/api/datasets/{dataset_id}/retry"), 409) == "busy"
    assert len(_data(api.post(f"/api/datasets/{dataset_id}/cancel"), 202)) == 1
    assert _wait(stack, api, dataset_id, "error")["error_code"] == "cancelled"
    stack.hub.faults.clear()
    assert _data(api.post(f"/api/datasets/{dataset_id}/retry"), 202)["job"] == "download"
    _wait(stack, api, dataset_id)
    ids = [dataset_id]
    (plan,) = _data(api.get("/api/deletions", params={"dataset_id": dataset_id}))
    assert plan["freed_bytes"] > 0
    assert _error(api.post("/api/deletions", json={"dataset_ids": ids, "confirm": []}), 409) == "not_confirmed"
    assert _data(api.post("/api/deletions", json={"dataset_ids": ids, "confirm": ids}))["freed_bytes"] > 0


@pytest.mark.slow
def test_an_uploaded_file_becomes_a_dataset_and_is_not_kept_beside_it(stack: Stack, api: httpx.Client) -> None:
    body = "".join(json.dumps({"text": f"uploaded {number}"}) + "\n" for number in range(50)).encode()
    announced = _data(api.post("/api/uploads", json={"filename": "../../evil.jsonl", "size_bytes": len(body)}), 201)
    address = f"/api/uploads/{announced['upload_id']}"
    headers = {"content-type": "application/octet-stream"}
    sent = _data(api.put(address, content=body, headers=headers), 202)
    assert _wait_for_job(stack, api, sent["job_id"])["status"] == "SUCCESS"
    upload = _data(api.get(address))
    assert upload["state"] == "added"
    ready = _wait(stack, api, upload["dataset_id"])
    assert (ready["name"], ready["source"], ready["num_samples"]) == ("../../evil.jsonl", "Local", 50)
    assert api.delete(address).status_code == 204
    _data(api.delete(f"/api/datasets/{upload['dataset_id']}"))
    assert list(Path(stack.store.root).glob("**/evil*")) == []


def test_a_file_that_cannot_be_read_says_why(stack: Stack, api: httpx.Client) -> None:
    announced = _data(api.post("/api/uploads", json={"filename": "broken.jsonl"}), 201)
    address = f"/api/uploads/{announced['upload_id']}"
    sent = _data(api.put(address, content=b"{not json\n", headers={"content-type": "application/octet-stream"}), 202)
    _wait_for_job(stack, api, sent["job_id"])
    upload = _data(api.get(address))
    assert upload["state"] == "failed"
    assert "line 1" in upload["error_message"]
