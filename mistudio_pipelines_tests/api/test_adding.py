"""Adding over the API: plans, downloads, their limit, uploads; tokens are kept out of everything."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from starlette.testclient import TestClient

from mistudio_pipelines.api.settings import ApiSettings
from mistudio_pipelines.api.tidying import remove_old_uploads
from mistudio_pipelines_tests.api.conftest import context_of, make_client
from mistudio_pipelines_tests.defs.conftest import Workshop
from mistudio_pipelines_tests.hub_server import HubServer
from mistudio_pipelines_tests.live.stack import parquet_bytes

TOKEN = "hf_this-must-never-be-written-anywhere"
BYTES = {"content-type": "application/octet-stream"}


def _code(answer: Any, status: int) -> str:
    assert answer.status_code == status, answer.text
    return str(answer.json()["error"]["code"])


def test_a_plan_says_what_a_download_takes_and_adds_nothing(client: TestClient, local_hub: HubServer) -> None:
    plan = client.post("/api/datasets/plan", json={"repo_id": "someone/texts"}).json()["data"]
    assert (plan["splits"], plan["format"], plan["files"]) == (["train", "test"], "parquet", 2)
    assert plan["download_bytes"] > 0
    assert client.get("/api/datasets").json()["data"] == []


def test_a_download_is_registered_and_cannot_be_added_twice(client: TestClient, local_hub: HubServer) -> None:
    answer = client.post("/api/datasets/download", json={"repo_id": "someone/texts", "split": "train"})
    assert answer.status_code == 202
    assert answer.json()["data"]["status"] == "downloading"
    (listed,) = client.get("/api/datasets").json()["data"]
    assert (listed["id"], listed["status"]) == (answer.json()["data"]["dataset_id"], "downloading")
    again = client.post("/api/datasets/download", json={"repo_id": "someone/texts", "split": "train"})
    assert _code(again, 409) == "dataset_exists"


@pytest.mark.parametrize(
    ("body", "status", "code"),
    [
        ({}, 400, "validation_error"),
        ({"repo_id": ""}, 400, "validation_error"),
        ({"repo_id": "a//b"}, 400, "invalid_id"),
        ({"repo_id": "../../etc"}, 400, "invalid_id"),
        ({"repo_id": "a\x00b"}, 400, "invalid_id"),
        ({"repo_id": "someone/none"}, 404, "repository_not_found"),
        ({"repo_id": "someone/texts", "split": "dev"}, 400, "unknown_split_or_config"),
        ({"repo_id": "someone/texts", "token_name": "NO_SUCH"}, 400, "secret_not_found"),
        ({"repo_id": "someone/texts", "tokenizations": ["never"]}, 404, "unknown_preset"),
        ({"repo_id": "someone/gated"}, 403, "authentication_required"),
        ({"repo_id": "someone/texts", "unknown": 1}, 400, "validation_error"),
        ({"repo_id": "someone/texts", "access_token": TOKEN}, 400, "validation_error"),
    ],
)
def test_downloads_that_cannot_be_say_why(
    client: TestClient, local_hub: HubServer, body: dict[str, Any], status: int, code: str
) -> None:
    local_hub.add_repository("someone/gated", {"train.parquet": parquet_bytes(["one"])}, gated=True)
    answer = client.post("/api/datasets/download", json=body)
    assert _code(answer, status) == code
    assert TOKEN not in answer.text
    assert client.get("/api/datasets").json()["data"] == []


@pytest.mark.parametrize(
    "body", [b"", b"{", b"[]", b'"x"', b"[" * 50_000, b'{"repo_id": "\\ud800"}', b"\xff\xfe", b'{"repo_id": 1e999}']
)
def test_bodies_that_are_no_request_are_refused(client: TestClient, body: bytes) -> None:
    headers = {"content-type": "application/json"}
    assert _code(client.post("/api/datasets/download", content=body, headers=headers), 400) == "validation_error"


def test_a_token_for_a_plan_is_used_and_left_nowhere(
    client: TestClient, local_hub: HubServer, workshop: Workshop, tmp_path: Path, capfd: pytest.CaptureFixture
) -> None:
    local_hub.add_repository("someone/gated", {"train.parquet": parquet_bytes(["one"])}, gated=True)
    local_hub.allow(TOKEN, ["someone/gated"])
    request = {"repo_id": "someone/gated", "access_token": TOKEN}
    assert client.post("/api/datasets/plan", json=request).status_code == 200
    for spoiled in ({**request, "splits": 5}, {**request, "access_token": [TOKEN]}, {**request, "repo_id": TOKEN}):
        assert TOKEN not in client.post("/api/datasets/plan", json=spoiled).text
    assert any(TOKEN in str(one.headers.get("authorization")) for one in local_hub.requests)
    output = "".join(capfd.readouterr())
    assert "/api/datasets/plan" in output
    assert TOKEN not in output
    assert [path for path in tmp_path.rglob("*") if path.is_file() and TOKEN.encode() in path.read_bytes()] == []


def test_downloads_are_limited_and_failed_ones_do_not_count(
    workshop: Workshop, settings: ApiSettings, local_hub: HubServer
) -> None:
    with make_client(replace(settings, downloads_per_hour=1), workshop) as client:
        assert client.post("/api/datasets/download", json={"repo_id": "someone/none"}).status_code == 404
        assert client.post("/api/datasets/download", json={"repo_id": "someone/texts"}).status_code == 202
        refused = client.post("/api/datasets/download", json={"repo_id": "someone/texts"})
        assert _code(refused, 429) == "too_many_requests"
        assert 3500 < int(refused.headers["retry-after"]) <= 3600
        assert refused.json()["error"]["retryable"] is True
        assert client.post("/api/datasets/plan", json={"repo_id": "someone/none"}).status_code == 404


def test_paths_of_this_machine_are_planned_or_refused(
    client: TestClient, workshop: Workshop, settings: ApiSettings
) -> None:
    path = str(workshop.write_texts("mine.jsonl", ["one", "two"]))
    assert client.post("/api/datasets/plan", json={"paths": [path]}).json()["data"]["source"] == "Local"
    assert _code(client.post("/api/datasets/plan", json={"paths": [path], "repo_id": "a/b"}), 400) == "invalid_config"
    assert _code(client.post("/api/datasets/local", json={"paths": [path]}), 503) == "server_unreachable"
    with make_client(replace(settings, local_paths=False), workshop) as strict:
        assert _code(strict.post("/api/datasets/plan", json={"paths": ["/etc/passwd"]}), 403) == "access_denied"
        assert _code(strict.post("/api/datasets/local", json={"paths": ["/etc/passwd"]}), 403) == "access_denied"


def test_an_update_says_where_there_is_nothing_newer_and_what_stands_against_it(
    client: TestClient, workshop: Workshop, settings: ApiSettings, local_hub: HubServer
) -> None:
    with make_client(replace(settings, downloads_per_hour=1), workshop) as limited:
        started = limited.post("/api/datasets/download", json={"repo_id": "someone/texts"}).json()["data"]
        address = f"/api/datasets/{started['dataset_id']}/update"
        assert _code(limited.post(address), 409) == "busy"
        assert workshop.run("download", started["dataset_id"]).success
        assert workshop.run("ingest", started["dataset_id"]).success
        same = limited.post(address)
        assert (same.status_code, same.json()["data"]["job_id"]) == (200, None)
        newest = local_hub.commit("someone/texts", {"train.parquet": parquet_bytes(["one", "two", "three"])})
        assert _code(limited.post(address), 429) == "too_many_requests"
    assert _code(client.post(address), 503) == "server_unreachable"
    shown = client.get(f"/api/datasets/{started['dataset_id']}").json()["data"]
    assert shown["revision"] == same.json()["data"]["revision"] != newest
    local = workshop.add(workshop.write_texts("mine.jsonl", ["one"]))
    assert _code(client.post(f"/api/datasets/{local}/update"), 409) == "busy"
    assert workshop.run("download", local).success
    assert workshop.run("ingest", local).success
    assert _code(client.post(f"/api/datasets/{local}/update"), 400) == "invalid_config"
    assert _code(client.post("/api/datasets/ds_nobody_a1b2c3/update"), 404) == "unknown_dataset"


def _announce(client: TestClient, **fields: Any) -> str:
    answer = client.post("/api/uploads", json={"filename": "texts.jsonl", **fields})
    assert answer.status_code == 201, answer.text
    return f"/api/uploads/{answer.json()['data']['upload_id']}"


def test_an_upload_lies_under_our_name_and_waits_for_dagster(client: TestClient, workshop: Workshop) -> None:
    address = _announce(client, filename="../../..\\evil\x00.JSONL", size_bytes=15)
    assert _code(client.put(address, content=b'{"text": "one"}', headers=BYTES), 503) == "server_unreachable"
    (stored,) = [path for path in workshop.store.uploads_root.rglob("*") if path.is_file()]
    assert stored.name == "uploaded.jsonl"
    assert client.get("/api/storage").json()["data"]["uploads_bytes"] == 15
    # What was received is not sent again where only Dagster was missing.
    assert _code(client.put(address, content=b"", headers=BYTES), 503) == "server_unreachable"
    assert client.delete(address).status_code == 204
    assert list(workshop.store.uploads_root.iterdir()) == []
    assert _code(client.get(address), 404) == "not_found"


@pytest.mark.parametrize(
    ("fields", "status", "code"),
    [
        ({"filename": "program.exe"}, 400, "unsupported_format"),
        ({"filename": "texts"}, 400, "unsupported_format"),
        ({"filename": ""}, 400, "validation_error"),
        ({"size_bytes": 100_001}, 413, "body_too_large"),
        ({"size_bytes": -1}, 400, "validation_error"),
    ],
)
def test_uploads_that_cannot_be_are_refused_before_the_first_byte(
    client: TestClient, fields: dict[str, Any], status: int, code: str
) -> None:
    assert _code(client.post("/api/uploads", json={"filename": "texts.jsonl", **fields}), status) == code


def test_a_body_over_the_limit_is_cut_off_and_removed(client: TestClient, workshop: Workshop) -> None:
    def endless() -> Iterator[bytes]:
        for _ in range(1000):
            yield b"x" * 10_000

    address = _announce(client)
    assert _code(client.put(address, content=endless(), headers=BYTES), 413) == "body_too_large"
    assert client.get(address).json()["data"]["state"] == "failed"
    assert list(workshop.store.uploads_root.iterdir()) == []
    short = _announce(client, size_bytes=10)
    assert _code(client.put(short, content=b"12345", headers=BYTES), 400) == "validation_error"


def test_uploads_are_removed_when_nothing_needs_them_any_more(client: TestClient, workshop: Workshop) -> None:
    context = context_of(client)
    kept, abandoned, used, unused = "0" * 16, "1" * 16, "2" * 16, "3" * 16
    for upload_id in (kept, abandoned, used, unused):
        folder = context.uploads.folder(upload_id)
        folder.mkdir(parents=True)
        (folder / "uploaded.jsonl").write_text(json.dumps({"text": upload_id}) + "\n")
    dataset_id = workshop.add(context.uploads.folder(used) / "uploaded.jsonl")
    for upload_id in (used, unused):
        (context.uploads.folder(upload_id) / "run").write_text("00000000-0000-0000-0000-000000000000")
    hours_ago = time.time() - 2 * 3600
    for path in (*context.uploads.folder(abandoned).iterdir(), context.uploads.folder(abandoned)):
        os.utime(path, (hours_ago, hours_ago))

    def left() -> list[str]:
        remove_old_uploads(context)  # the application does so too, at any moment
        return sorted(path.name for path in workshop.store.uploads_root.iterdir())

    assert left() == [kept, used]
    assert workshop.run("download", dataset_id).success
    assert left() == [kept]
