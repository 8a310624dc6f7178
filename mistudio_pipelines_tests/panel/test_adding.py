"""The form that adds datasets, on a Hub of this machine: what it shows, what it sends on, what it never keeps."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlencode

import pytest
from starlette.testclient import TestClient

from mistudio_pipelines.api.settings import ApiSettings
from mistudio_pipelines.store.records import read_all_records
from mistudio_pipelines_tests.api.conftest import context_of, make_client
from mistudio_pipelines_tests.api.conftest import local_hub as local_hub
from mistudio_pipelines_tests.defs.conftest import Workshop
from mistudio_pipelines_tests.defs.conftest import workshop as workshop
from mistudio_pipelines_tests.hub_server import HubServer
from mistudio_pipelines_tests.live.stack import parquet_bytes

TOKEN = "hf_" + "onlyForThisOneRequest"
FRAGMENT = {"HX-Request": "true"}
FORM = {"content-type": "application/x-www-form-urlencoded"}


@pytest.fixture
def client(workshop: Workshop, tmp_path: Path, local_hub: HubServer) -> Iterator[TestClient]:
    with make_client(ApiSettings(workshop.store.root, tmp_path / "home"), workshop) as opened:
        yield opened


def send(client: TestClient, path: str, status: int = 200, fragment: bool = True, **fields: object) -> str:
    headers = {**FORM, **(FRAGMENT if fragment else {})}
    answer = client.post(path, content=urlencode(fields, doseq=True), headers=headers, follow_redirects=False)
    assert answer.status_code == status, answer.text[:1000]
    return answer.text


def test_a_repository_is_looked_at_while_its_name_is_typed_and_nothing_is_added(client: TestClient) -> None:
    shown = send(client, "/datasets/check", repo_id="someone/texts")
    assert "It fits:" in shown
    assert 'value="train" checked' in shown
    one = send(client, "/datasets/check", repo_id="someone/texts", planned_repo="someone/texts", splits=["test"])
    assert 'value="test" checked' in one
    assert 'value="train" checked' not in one
    assert "not found" in send(client, "/datasets/check", repo_id="someone/nowhere")
    assert "Type a repository id" in send(client, "/datasets/check", repo_id=" ")
    assert read_all_records(context_of(client).store) == []


def test_without_javascript_the_form_checks_and_adds_too(client: TestClient, workshop: Workshop) -> None:
    page = send(client, "/datasets/check", fragment=False, repo_id="someone/texts")
    assert "<html" in page
    assert "It fits:" in page
    send(client, "/datasets", 303, fragment=False, repo_id="someone/texts")
    (record,) = read_all_records(workshop.store)
    assert (record.repository, record.splits) == ("someone/texts", None)
    again = send(client, "/datasets", 409, fragment=False, repo_id="someone/texts")
    assert f'href="/datasets/{record.id}"' in again


def test_a_download_over_the_limit_is_said_above_the_form_with_when_to_try_again(
    workshop: Workshop, tmp_path: Path, local_hub: HubServer
) -> None:
    settings = ApiSettings(workshop.store.root, tmp_path / "home", downloads_per_hour=1)
    with make_client(settings, workshop) as client:
        send(client, "/datasets", 303, repo_id="someone/texts")
        refused = client.post("/datasets", content="repo_id=someone%2Fother", headers=FORM)
    assert refused.status_code == 429
    assert 0 < int(refused.headers["retry-after"]) <= 3600
    assert "1 download was started in the last hour" in refused.text
    assert "Try again in " in refused.text
    assert 'value="someone/other"' in refused.text


def test_splits_of_the_repository_that_was_typed_before_are_not_asked_of_another(
    client: TestClient, workshop: Workshop
) -> None:
    fields = {"planned_repo": "someone/else", "splits": ["left"], "available_splits": ["left", "right"], "config": "x"}
    send(client, "/datasets", 303, repo_id="someone/texts", **fields)
    (record,) = read_all_records(workshop.store)
    assert (record.splits, record.config) == (None, None)


def test_all_splits_chosen_is_the_same_as_none(client: TestClient, workshop: Workshop) -> None:
    both = ["train", "test"]
    send(
        client,
        "/datasets",
        303,
        repo_id="someone/texts",
        planned_repo="someone/texts",
        splits=both,
        available_splits=both,
    )
    assert read_all_records(workshop.store)[0].splits is None


def test_a_token_is_used_for_looking_and_kept_nowhere(
    client: TestClient, workshop: Workshop, local_hub: HubServer, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    local_hub.add_repository("someone/gated", {"train.parquet": parquet_bytes(["one"])}, gated=True)
    local_hub.allow(TOKEN, ["someone/gated"])
    assert "It fits:" not in send(client, "/datasets/check", repo_id="someone/gated")
    shown = send(client, "/datasets/check", repo_id="someone/gated", access_token=TOKEN)
    assert "It fits:" in shown
    refused = send(client, "/datasets", 403, repo_id="someone/gated", access_token=TOKEN)
    for text in (shown, refused, "".join(capfd.readouterr())):
        assert TOKEN not in text
    written = [path for path in tmp_path.rglob("*") if path.is_file() and TOKEN.encode() in path.read_bytes()]
    assert written == []
    assert read_all_records(workshop.store) == []


def test_an_update_says_where_there_is_nothing_newer_and_waits_for_dagster_where_there_is(
    client: TestClient, workshop: Workshop, local_hub: HubServer
) -> None:
    send(client, "/datasets", 303, repo_id="someone/texts")
    (record,) = read_all_records(workshop.store)
    assert workshop.run("download", record.id).success
    assert workshop.run("ingest", record.id).success
    context_of(client).snapshots.expire()
    assert "newest version already" in send(client, f"/datasets/{record.id}/update")
    said = client.post(f"/datasets/{record.id}/update", headers=FORM)  # the page that a browser without script gets
    assert "It is the newest version already." in said.text
    local_hub.commit("someone/texts", {"train.parquet": parquet_bytes(["one", "two", "three"])})
    assert "Dagster is not running" in send(client, f"/datasets/{record.id}/update", 503)
    assert read_all_records(workshop.store) == [record]
