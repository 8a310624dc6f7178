"""What the tests of the Hub part share: small files, and clients that do not wait long."""

import io
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from mistudio_pipelines.hub.client import HubClient
from mistudio_pipelines.store.layout import DataStore


@pytest.fixture(autouse=True)
def no_token_of_this_machine(monkeypatch, tmp_path):
    """Neither the environment nor a login of whoever runs the tests may leak in."""
    from huggingface_hub import constants

    for name in ("HF_TOKEN", "HUGGING_FACE_HUB_TOKEN", "HF_ENDPOINT"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(constants, "HF_TOKEN_PATH", str(tmp_path / "login" / "token"))
    monkeypatch.setattr(constants, "HF_STORED_TOKENS_PATH", str(tmp_path / "login" / "stored_tokens"))


@pytest.fixture
def store(tmp_path: Path) -> DataStore:
    return DataStore(tmp_path / "data")


@pytest.fixture
def client(hub, store) -> HubClient:
    return HubClient(store, endpoint=hub.endpoint, first_wait_seconds=0.01)


def parquet_bytes(columns: dict, **options) -> bytes:
    buffer = io.BytesIO()
    pq.write_table(pa.table(columns), buffer, **options)
    return buffer.getvalue()


def texts_parquet(rows: int = 10) -> bytes:
    return parquet_bytes({"id": list(range(rows)), "text": [f"Text number {row}." for row in range(rows)]})
