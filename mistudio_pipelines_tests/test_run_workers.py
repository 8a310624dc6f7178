"""The configuration files for several run workers are ones that Dagster's launchers accept."""

from __future__ import annotations

from importlib import import_module
from pathlib import Path
from typing import Any

import pytest
import yaml
from dagster._config import process_config
from dagster._core.instance.config import dagster_instance_config_schema

DOCKER = Path(__file__).parent.parent / "docker"
FILES = {"docker.yaml": "DockerRunLauncher", "kubernetes.yaml": "K8sRunLauncher"}


def read(path: Path) -> dict[str, Any]:
    return yaml.safe_load(path.read_text())


def launcher_config_problems(section: dict[str, Any], config: dict[str, Any]) -> list[str]:
    launcher = getattr(import_module(section["module"]), section["class"])
    result = process_config(launcher.config_type(), config)
    return [error.message for error in result.errors or []]


@pytest.mark.parametrize(("name", "launcher"), FILES.items())
def test_the_launcher_accepts_every_field(name, launcher, monkeypatch):
    monkeypatch.setenv("MISTUDIO_NAMESPACE", "mistudio")
    section = read(DOCKER / "run-workers" / name)["run_launcher"]
    assert section["class"] == launcher
    assert launcher_config_problems(section, section["config"]) == []


@pytest.mark.parametrize("name", FILES)
def test_a_field_that_the_launcher_does_not_know_would_be_noticed(name, monkeypatch):
    monkeypatch.setenv("MISTUDIO_NAMESPACE", "mistudio")
    section = read(DOCKER / "run-workers" / name)["run_launcher"]
    assert launcher_config_problems(section, {**section["config"], "no_such_field": 1})


@pytest.mark.parametrize("name", FILES)
def test_it_replaces_a_section_of_the_instance_that_is_valid_as_a_whole(name, monkeypatch):
    variables = {"HOST": "postgres", "PORT": "5432", "USERNAME": "u", "PASSWORD": "p", "DB": "d"}
    for variable, value in variables.items():
        monkeypatch.setenv(f"DAGSTER_PG_{variable}", value)
    instance = {**read(DOCKER / "dagster.yaml"), **read(DOCKER / "run-workers" / name)}
    result = process_config(dagster_instance_config_schema(), instance)
    assert not result.errors


@pytest.mark.parametrize("name", FILES)
def test_only_names_of_secrets_are_in_it(name):
    text = (DOCKER / "run-workers" / name).read_text()
    assert "hf_" not in text
    assert "password:" not in text
