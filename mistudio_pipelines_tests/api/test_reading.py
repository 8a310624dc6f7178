"""What the API shows: the shapes of the PRD, filters, pages, and errors that help."""

from __future__ import annotations

import re
import shutil
from pathlib import Path
from typing import Any

import pytest
from starlette.testclient import TestClient

from mistudio_pipelines.store.records import read_record, write_record
from mistudio_pipelines_tests.api.conftest import TEXTS, context_of
from mistudio_pipelines_tests.defs.conftest import SAMPLE_TOKENIZER, Workshop


def _error(answer: Any, status: int) -> dict[str, Any]:
    assert answer.status_code == status, answer.text
    error: dict[str, Any] = answer.json()["error"]
    assert set(error) == {"code", "message", "next_step", "details", "retryable", "timestamp"}
    return error


def test_an_empty_installation_has_an_empty_list(client: TestClient) -> None:
    pagination = {"page": 1, "limit": 50, "total": 0, "has_next": False, "has_prev": False}
    assert client.get("/api/datasets").json() == {"data": [], "pagination": pagination}


def test_a_dataset_is_shown_with_the_fields_of_the_prd(client: TestClient, ready_dataset: str) -> None:
    context_of(client).snapshots.expire()  # the dataset was made beside the API
    (listed,) = client.get("/api/datasets").json()["data"]
    assert (listed["id"], listed["name"], listed["source"]) == (ready_dataset, "Foxes & dragons", "Local")
    assert (listed["status"], listed["progress"], listed["num_samples"]) == ("ready", None, len(TEXTS))
    assert listed["created_at"].endswith("Z")
    shown = client.get(f"/api/datasets/{ready_dataset}").json()["data"]
    assert {key: shown[key] for key in listed} == listed
    assert shown["statistics"]["splits"] == {"train": len(TEXTS)}
    assert sum(one["count"] for one in shown["statistics"]["token_distribution"]) == len(TEXTS)
    assert shown["avg_sequence_length"] == shown["statistics"]["avg_tokens_per_sample"]
    full = client.get(f"/api/datasets/{ready_dataset}/statistics").json()["data"]
    assert {key: full[key] for key in shown["statistics"]} == shown["statistics"]
    assert full["total"]["nulls"] == full["total"]["empties"] == 1
    assert set(full["storage"]) == {"raw", "index"}


def test_the_list_is_paged_and_filtered(client: TestClient, workshop: Workshop) -> None:
    ids = [workshop.add(workshop.write_texts(f"{name}.jsonl", [name])) for name in ("alpha", "beta", "gamma")]
    context_of(client).snapshots.expire()
    first = client.get("/api/datasets?limit=2").json()
    assert [one["id"] for one in first["data"]] == ids[:0:-1]
    assert first["pagination"] == {"page": 1, "limit": 2, "total": 3, "has_next": True, "has_prev": False}
    assert [one["id"] for one in client.get("/api/datasets?limit=2&page=2").json()["data"]] == ids[:1]
    assert client.get("/api/datasets?page=9").json()["data"] == []
    assert [one["id"] for one in client.get("/api/datasets?search=BETA").json()["data"]] == [ids[1]]
    assert len(client.get("/api/datasets?status=downloading&source=Local").json()["data"]) == 3
    assert client.get("/api/datasets?source=HuggingFace").json()["data"] == []


def test_what_was_added_a_moment_ago_is_found_at_once(client: TestClient, workshop: Workshop) -> None:
    assert client.get("/api/datasets").json()["data"] == []
    dataset_id = workshop.add(workshop.write_texts("new.jsonl", ["new"]))
    assert client.get(f"/api/datasets/{dataset_id}").json()["data"]["status"] == "downloading"
    assert _error(client.get(f"/api/datasets/{dataset_id}/statistics"), 409)["code"] == "data_missing"
    assert _error(client.get(f"/api/datasets/{dataset_id}/samples"), 409)["code"] == "data_missing"


@pytest.mark.parametrize(
    ("address", "status", "code"),
    [
        ("/api/datasets/ds_none_a1b2c3", 404, "unknown_dataset"),
        ("/api/datasets/ds_none_a1b2c3/samples", 404, "unknown_dataset"),
        ("/api/datasets/..%2f..%2fetc", 404, "not_found"),
        ("/api/datasets/%00", 400, "validation_error"),
        ("/api/datasets/%ff%fe", 400, "validation_error"),
        ("/api/datasets?limit=101", 400, "validation_error"),
        ("/api/datasets?page=0", 400, "validation_error"),
        ("/api/datasets?status=odd", 400, "validation_error"),
        ("/api/datasets?page=99999999999999999999999", 400, "validation_error"),
        ("/api/jobs/00000000-0000-0000-0000-000000000000", 404, "not_found"),
        ("/api/uploads/0123456789abcdef", 404, "not_found"),
        ("/api/nothing", 404, "not_found"),
        ("/api/tokenizations/x", 404, "not_found"),
    ],
)
def test_bad_addresses_are_one_sentence(client: TestClient, address: str, status: int, code: str) -> None:
    assert _error(client.get(address), status)["code"] == code


def test_samples_are_searched_filtered_and_highlighted_without_markup(client: TestClient, ready_dataset: str) -> None:
    address = f"/api/datasets/{ready_dataset}/samples"
    found = client.get(address, params={"search": "dragon AND hello"}).json()
    (sample,) = found["data"]
    assert (sample["id"], sample["split"], sample["token_count"]) == (1, "train", 4)
    assert sample["text"] == "the dragon said <b>hello</b>"
    (snippet,) = sample["snippets"]
    assert [snippet["text"][start:end] for start, end in snippet["highlights"]] == ["dragon", "hello"]
    assert sample["tokens"] == ["the", "dragon", "said", "<b>hello</b>"]
    assert sample["metadata"] == {"number": 1}
    assert [one["id"] for one in client.get(address, params={"min_tokens": 100}).json()["data"]] == [4]
    nothing = client.get(address, params={"search": "fox", "min_tokens": 5000}).json()
    assert nothing["data"] == []
    assert "none of these has" in nothing["meta"]["removed_by"]
    assert _error(client.get(address, params={"search": '"open'}), 400)["code"] == "invalid_query"
    assert _error(client.get(address, params={"split": "dev"}), 400)["details"]["splits"] == ["train"]
    assert _error(client.get(address, params={"sort": "relevance"}), 400)["code"] == "invalid_query"


def test_long_texts_are_cut_on_the_page_and_whole_alone(client: TestClient, ready_dataset: str) -> None:
    page = client.get(f"/api/datasets/{ready_dataset}/samples?text_limit=10").json()["data"]
    assert [one["text_truncated"] for one in page] == [True, True, False, False, True]
    assert page[2]["text"] is None
    assert page[4]["text"] == "a fox and "
    assert client.get(f"/api/datasets/{ready_dataset}/samples/4").json()["data"]["text"] == TEXTS[4]
    assert _error(client.get(f"/api/datasets/{ready_dataset}/samples/5"), 404)["code"] == "not_found"


def test_the_tokens_of_a_sample_are_its_text_in_pieces(
    client: TestClient, ready_dataset: str, workshop: Workshop
) -> None:
    workshop.save_preset()
    address = f"/api/datasets/{ready_dataset}/samples/1/tokens"
    shown = client.get(address, params={"preset": "small"}).json()["data"]
    assert "".join(piece["text"] for piece in shown["pieces"]) == TEXTS[1]
    by_folder = client.get(address, params={"tokenizer": str(SAMPLE_TOKENIZER), "limit": 2}).json()["data"]
    assert by_folder["pieces"] == shown["pieces"][:2]
    assert by_folder["total"] == shown["total"]
    assert _error(client.get(address), 400)["code"] == "invalid_config"
    assert _error(client.get(address, params={"preset": "never"}), 404)["code"] == "unknown_preset"


def test_tokenizations_are_listed_with_their_rows(client: TestClient, ready_dataset: str, workshop: Workshop) -> None:
    preset = workshop.save_preset()
    address = f"/api/datasets/{ready_dataset}/tokenizations"
    assert client.get(address).json() == {"data": []}
    assert workshop.run("tokenize", f"{ready_dataset}|{preset}").success
    context_of(client).snapshots.expire()
    (shown,) = client.get(address).json()["data"]
    assert (shown["preset"], shown["state"], shown["context_size"]) == ("small", "ready", 16)
    assert shown["rows_by_split"] == {"train": shown["rows"]}
    sources = client.get(f"{address}/small/sources?split=train&row=0").json()["data"]
    assert sources[0]["sample"] == 0
    assert _error(client.get(f"{address}/small/sources?split=train&row=100000"), 404)["code"] == "not_found"
    row = client.get(f"{address}/small/row?split=train&row=0&limit=5").json()["data"]
    assert (row["split"], row["row"], row["rows"], row["length"]) == ("train", 0, shown["rows"], 16)
    assert row["sources"] == sources
    assert [one["special"] for one in row["tokens"]] == [True, False, False, False, False]
    assert [one["sample"] for one in row["tokens"]] == [None, 0, 0, 0, 0]
    assert "".join(one["text"] for one in row["tokens"][1:]) in str(TEXTS[0])
    assert _error(client.get(f"{address}/small/row?split=train&row=100000"), 404)["code"] == "not_found"
    assert _error(client.get(f"{address}/small/row?split=dev&row=0"), 404)["code"] == "not_found"
    assert _error(client.get(f"{address}/never/row?split=train&row=0"), 409)["code"] == "data_missing"
    estimates = client.post(f"{address}/estimate", json={"tokenizers": [str(SAMPLE_TOKENIZER)], "context_size": 16})
    assert estimates.json()["data"][0]["exact"] is True
    assert [one["name"] for one in client.get("/api/tokenizations").json()["data"]] == ["small"]


def test_storage_and_deletion_plans_say_what_takes_room(client: TestClient, ready_dataset: str) -> None:
    storage = client.get("/api/storage").json()["data"]
    (stored,) = storage["datasets"]
    assert storage["used_bytes"] == stored["total_bytes"] == stored["raw_bytes"] + stored["index_bytes"]
    (plan,) = client.get("/api/deletions", params={"dataset_id": [ready_dataset, ready_dataset]}).json()["data"]
    assert plan["freed_bytes"] == stored["total_bytes"]
    assert (plan["used_by"], plan["active_job_ids"]) == ([], [])


def test_a_dataset_that_is_gone_is_not_kept_open(client: TestClient, ready_dataset: str, workshop: Workshop) -> None:
    assert client.get(f"/api/datasets/{ready_dataset}/samples").status_code == 200
    browsers = context_of(client).browsers
    assert len(browsers) == 1
    shutil.rmtree(workshop.store.raw(ready_dataset))
    assert _error(client.get(f"/api/datasets/{ready_dataset}/samples"), 409)["code"] == "data_missing"
    assert len(browsers) == 0


def test_names_from_outside_are_only_values(client: TestClient, workshop: Workshop, tmp_path: Path) -> None:
    dataset_id = workshop.add(workshop.write_texts("odd.jsonl", ["x"]))
    odd = "<script>\u2028\x00\x1b[31m" + "é" * 300
    write_record(workshop.store, read_record(workshop.store, dataset_id).model_copy(update={"name": odd}))
    context_of(client).snapshots.expire()
    assert client.get("/api/datasets").json()["data"][0]["name"] == odd


def test_the_documentation_is_complete(client: TestClient) -> None:
    document = client.get("/api/openapi.json").json()
    for address, operations in document["paths"].items():
        for method, operation in operations.items():
            where = f"{method} {address}"
            assert operation["description"], where
            assert "422" not in operation["responses"], where
            assert {"400", "403"} <= set(operation["responses"]), where
            for status, answer in operation["responses"].items():
                if int(status) >= 400:
                    assert answer["content"]["application/json"]["example"]["error"]["code"], where
    assert "never stored" in document["paths"]["/api/datasets/plan"]["post"]["description"]


def test_every_request_is_in_the_document(client: TestClient) -> None:
    paths = client.get("/api/openapi.json").json()["paths"]
    described = {f"{method.upper()} {address}" for address, operations in paths.items() for method in operations}
    written = re.findall(
        r"^\| `([^`]+)` \|", (Path(__file__).parents[2] / "docs" / "rest.md").read_text(), re.MULTILINE
    )
    assert sorted(written) == sorted(described)
