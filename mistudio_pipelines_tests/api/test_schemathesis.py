"""Every endpoint with inputs made from the API's own description: no 5xx, and every answer as it is described.

It runs against a temporary installation: paths of this machine are refused, the Hub is a local one without
repositories, and no Dagster runs, so that nothing can be started. What needs Dagster to answer is left out here; the
live test has it.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from schemathesis.checks import not_a_server_error
from schemathesis.generation import GenerationMode
from schemathesis.schemas import APIOperation
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    negative_data_rejection,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from mistudio_pipelines.api.application import build_application
from mistudio_pipelines.api.settings import ApiSettings
from mistudio_pipelines_tests.api.conftest import make_ready, open_workshop, served
from mistudio_pipelines_tests.hub_server import HubServer

pytestmark = pytest.mark.timeout(170)

CHECKS = [
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
    negative_data_rejection,
]
tried = settings(
    max_examples=20,
    deadline=None,
    derandomize=os.environ.get("CI") == "true",
    database=None,
    phases=[Phase.explicit, Phase.generate],
    suppress_health_check=list(HealthCheck),
)


@dataclass(frozen=True)
class Served:
    """A running API.

    Attributes:
        url: Its address.
        dataset_id: A dataset that is ready.
    """

    url: str
    dataset_id: str


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    folder = tmp_path_factory.mktemp("api")
    with HubServer() as hub, open_workshop(folder) as workshop, pytest.MonkeyPatch.context() as patch:
        patch.setenv("HF_ENDPOINT", hub.endpoint)
        dataset_id = make_ready(workshop)
        chosen = ApiSettings(workshop.store.root, folder / "home", local_paths=False, upload_limit_bytes=10_000)
        with served(chosen, workshop) as url:
            yield Served(url, dataset_id)


SCHEMA = schemathesis.openapi.from_dict(build_application(ApiSettings(Path("data"), Path("home"))).openapi())
OPERATIONS = {operation.ok().label: operation.ok() for operation in SCHEMA.get_all_operations()}


def _takes_input(operation: APIOperation) -> bool:
    return bool(operation.body or operation.query or operation.path_parameters)


# Its answer has no end; nothing can be saved without Dagster.
LEFT_OUT = {"GET /api/events", "POST /api/tokenizations"}


@pytest.mark.parametrize("label", sorted(OPERATIONS.keys() - LEFT_OUT))
def test_inputs_as_described_are_answered_as_described(label: str, running: Served) -> None:
    @tried
    @given(case=OPERATIONS[label].as_strategy(generation_mode=GenerationMode.POSITIVE))
    def run(case: schemathesis.Case) -> None:
        case.call_and_validate(base_url=running.url, checks=CHECKS)

    run()


@pytest.mark.parametrize("label", sorted(key for key in OPERATIONS.keys() - LEFT_OUT if _takes_input(OPERATIONS[key])))
def test_inputs_that_do_not_fit_their_description_are_refused(label: str, running: Served) -> None:
    @tried
    @given(case=OPERATIONS[label].as_strategy(generation_mode=GenerationMode.NEGATIVE))
    def run(case: schemathesis.Case) -> None:
        case.call_and_validate(base_url=running.url, checks=CHECKS)

    run()


@pytest.mark.parametrize("label", sorted(label for label in OPERATIONS if re.match("GET .*{dataset_id}", label)))
def test_questions_about_a_real_dataset_are_answered_as_described(label: str, running: Served) -> None:
    @tried
    @given(case=OPERATIONS[label].as_strategy())
    def run(case: schemathesis.Case) -> None:
        case.path_parameters["dataset_id"] = running.dataset_id
        if "number" in case.path_parameters:
            case.path_parameters["number"] = 4
        case.call_and_validate(base_url=running.url, checks=CHECKS)

    run()
