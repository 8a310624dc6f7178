"""The application over a workshop: real files, a real instance, no Dagster webserver."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import uvicorn
from starlette.testclient import TestClient

from mistudio_pipelines.api.application import build_application
from mistudio_pipelines.api.context import ApiContext
from mistudio_pipelines.api.settings import ApiSettings
from mistudio_pipelines.defs.instance import open_instance, prepare_home
from mistudio_pipelines.serving import free_port
from mistudio_pipelines.store.layout import DataStore
from mistudio_pipelines_tests.defs.conftest import Workshop
from mistudio_pipelines_tests.defs.conftest import workshop as workshop
from mistudio_pipelines_tests.hub_server import HubServer
from mistudio_pipelines_tests.live.stack import parquet_bytes

TEXTS = ["once upon a time there was a fox", "the dragon said <b>hello</b>", None, "", "a fox and a dragon met " * 30]


@pytest.fixture
def settings(workshop: Workshop, tmp_path: Path) -> ApiSettings:
    return ApiSettings(data_folder=workshop.store.root, home=tmp_path / "home", upload_limit_bytes=100_000)


@pytest.fixture
def client(workshop: Workshop, settings: ApiSettings) -> Iterator[TestClient]:
    with make_client(settings, workshop) as opened:
        yield opened


def make_client(settings: ApiSettings, workshop: Workshop) -> TestClient:
    """A client of an application of its own; enter it to start the application."""
    application = build_application(settings, workshop.instance)
    return TestClient(application, base_url="http://127.0.0.1:3001", raise_server_exceptions=True)


def context_of(client: TestClient) -> ApiContext:
    context: ApiContext = client.app.state.context  # type: ignore[attr-defined]  # an ASGI application of any kind
    return context


@pytest.fixture
def ready_dataset(workshop: Workshop) -> str:
    """A dataset that was taken through download and ingestion."""
    return make_ready(workshop)


@pytest.fixture
def local_hub(hub: HubServer, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> HubServer:
    """A Hub with one repository of two splits, which everything asks; nobody has a token for it."""
    for name in ("HF_TOKEN", "HUGGING_FACE_HUB_TOKEN"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HF_ENDPOINT", hub.endpoint)
    monkeypatch.setenv("HF_HOME", str(tmp_path / "hf"))
    monkeypatch.setenv("HF_TOKEN_PATH", str(tmp_path / "no-token"))
    files = {f"{split}.parquet": parquet_bytes(["one", "two"]) for split in ("train", "test")}
    hub.add_repository("someone/texts", files)
    return hub


def make_ready(workshop: Workshop) -> str:
    dataset_id = workshop.add(workshop.write_texts("texts.jsonl", TEXTS), name="Foxes & dragons")
    assert workshop.run("download", dataset_id).success
    assert workshop.run("ingest", dataset_id).success
    return dataset_id


@contextmanager
def open_workshop(folder: Path) -> Iterator[Workshop]:
    """A workshop that lives longer than one test."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("DAGSTER_HOME", str(folder / "home"))
        prepare_home(folder / "home")
        (folder / "files").mkdir()
        with open_instance(folder / "home") as instance:
            yield Workshop(DataStore(folder / "data"), instance, folder / "files")


@contextmanager
def served(settings: ApiSettings, workshop: Workshop | None = None) -> Iterator[str]:
    """The application behind a real web server; gives its address."""
    port = free_port()
    application = build_application(settings, workshop and workshop.instance)
    server = uvicorn.Server(
        uvicorn.Config(application, port=port, log_level="error", access_log=False, timeout_graceful_shutdown=1)
    )
    thread = threading.Thread(target=server.run)
    thread.start()
    try:
        deadline = time.monotonic() + 30
        while not server.started:
            assert thread.is_alive(), "the server did not start"
            assert time.monotonic() < deadline, "the server did not start in time"
            time.sleep(0.02)
        yield f"http://127.0.0.1:{port}"
    finally:
        server.should_exit = True
        thread.join()
