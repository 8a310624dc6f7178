"""The documents say what is so: codes, settings, schemas and links are complete; commands run as they are written."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from mistudio_pipelines.defs.instance import home_folder
from mistudio_pipelines.defs.resources import DataStoreResource, HuggingFaceHub, ShardExecutor
from mistudio_pipelines.errors import ErrorCode
from mistudio_pipelines_tests.defs.conftest import Workshop, workshop
from mistudio_pipelines_tests.document_schemas import FOLDER, MODELS, schema_text

__all__ = ["workshop"]

PROJECT = Path(__file__).parents[1]
DOCUMENTS = sorted([PROJECT / "README.md", *(PROJECT / "docs").glob("*.md")])


def _text(name: str) -> str:
    return (PROJECT / "docs" / name).read_text()


def _first_column(name: str) -> list[str]:
    return [code for row in re.findall(r"^\| ([^|]*) \|", _text(name), re.MULTILINE) for code in _codes(row)]


def _codes(text: str) -> list[str]:
    return re.findall(r"`([^`]+)`", text)


def test_every_error_code_has_one_entry() -> None:
    assert sorted(_first_column("troubleshooting.md")) == sorted(ErrorCode)


def test_every_setting_of_a_resource_and_every_variable_is_there() -> None:
    documented = set(_first_column("settings.md"))
    resources = {"data_store": DataStoreResource, "hub": HuggingFaceHub, "shard_executor": ShardExecutor}
    settings = {f"{name}.{field}" for name, resource in resources.items() for field in resource.model_fields}
    assert {one for one in documented if one.split(".")[0] in resources} == settings
    code = "".join(path.read_text() for path in (PROJECT / "mistudio_pipelines").rglob("*.py"))
    assert set(re.findall(r"\"(MISTUDIO_[A-Z_]+|HF_ENDPOINT|DAGSTER_HOME)\"", code)) <= documented
    instance = (PROJECT / "docker" / "dagster.yaml").read_text()
    assert set(re.findall(r"env: (\w+)", instance)) <= documented


@pytest.mark.parametrize("name", MODELS)
def test_a_schema_is_that_of_the_code(name: str) -> None:
    written = "`python -m mistudio_pipelines_tests.document_schemas` writes it anew"
    assert (FOLDER / f"{name}.json").read_text() == schema_text(name), written
    assert f"schemas/{name}.json" in _text("formats.md")


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: path.name)
def test_links_lead_somewhere(path: Path) -> None:
    for target in re.findall(r"\]\((?!https?:|mailto:)([^)]+)\)", path.read_text()):
        name, _, heading = target.partition("#")
        linked = (path.parent / name).resolve() if name else path
        assert linked.exists(), target
        headings = re.findall(r"^#+ (.*)", linked.read_text(), re.MULTILINE) if heading else []
        slugs = [re.sub(r"[^\w -]", "", one).strip().lower().replace(" ", "-") for one in headings]
        assert not heading or heading in slugs, target


@pytest.mark.parametrize("name", ["operations.md", "settings.md"])
def test_commands_run_as_they_are_written(name: str, workshop: Workshop) -> None:
    dataset_id = workshop.add(workshop.write_texts("texts.jsonl", ["one"]))
    assert workshop.run("download", dataset_id).success
    environment = {
        **os.environ,
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
        "MISTUDIO_DATA": str(workshop.store.root),
        "DAGSTER_HOME": str(home_folder(workshop.store)),
    }
    commands = [line for block in re.findall(r"```sh\n(.*?)```", _text(name), re.DOTALL) for line in block.splitlines()]
    assert commands
    for command in commands:
        done = subprocess.run(
            ["sh", "-c", command], env=environment, cwd=PROJECT, capture_output=True, text=True, timeout=120
        )
        assert done.returncode == 0, f"{command}\n{done.stdout}{done.stderr}"
