"""A Dagster instance and a data folder of their own, and datasets on them, for tests without live processes."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import dagster as dg
import pytest

from mistudio_pipelines.adding import AddRequest, plan_adding
from mistudio_pipelines.definitions import build_definitions
from mistudio_pipelines.defs.instance import open_instance, prepare_home
from mistudio_pipelines.defs.registration import register_dataset, register_preset
from mistudio_pipelines.defs.resources import DataStoreResource
from mistudio_pipelines.store.layout import DataStore
from mistudio_pipelines.tokenization.presets import TokenizationPreset

SAMPLE_TOKENIZER = Path(__file__).parents[2] / "mistudio_pipelines" / "sample" / "tokenizer"


@dataclass
class Workshop:
    """A prepared installation whose jobs are run in this process.

    Attributes:
        store: Its data folder.
        instance: Its Dagster instance.
        folder: Where a test may put files.
    """

    store: DataStore
    instance: dg.DagsterInstance
    folder: Path

    @cached_property
    def definitions(self) -> dg.Definitions:
        return build_definitions(data_store=DataStoreResource(data_folder=str(self.store.root)))

    def run(self, job: str, partition: str | None = None, **options: object) -> dg.ExecuteInProcessResult:
        """Run a job to its end in this process; a failure is a result, not an exception."""
        return self.definitions.resolve_job_def(job).execute_in_process(
            instance=self.instance,
            partition_key=partition,
            raise_on_error=False,
            **options,  # type: ignore[arg-type]
        )

    def write_texts(self, name: str, texts: list[str | None]) -> Path:
        path = self.folder / name
        path.write_text("".join(json.dumps({"text": text, "number": i}) + "\n" for i, text in enumerate(texts)))
        return path

    def add(self, path: Path, **options: object) -> str:
        """Add local files and return the id."""

        def no_client(_: str | None) -> object:
            raise AssertionError("local files need no Hub")

        request = AddRequest(paths=(str(path),), **options)  # type: ignore[arg-type]
        plan = plan_adding(self.store, request, no_client)  # type: ignore[arg-type]
        return register_dataset(self.instance, self.store, plan).id

    def save_preset(self, name: str = "small", context_size: int = 16) -> str:
        preset = TokenizationPreset(name=name, tokenizer=str(SAMPLE_TOKENIZER), context_size=context_size)
        return register_preset(self.instance, self.store, preset).name


@pytest.fixture
def workshop(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Workshop]:
    """A prepared installation in a temporary folder."""
    home = tmp_path / "home"
    monkeypatch.setenv("DAGSTER_HOME", str(home))
    prepare_home(home)
    folder = tmp_path / "files"
    folder.mkdir()
    with open_instance(home) as instance:
        yield Workshop(DataStore(tmp_path / "data"), instance, folder)
