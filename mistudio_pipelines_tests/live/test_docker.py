"""The files for Docker, checked without Docker: against the published schema, by linters, and every service by hand.

"By hand" means: the commands and health checks of docker-compose.yaml as they are written, with the environment and the
configuration files that they have there, against a real PostgreSQL, and on a root file system that cannot be written
where this machine lets us have one. Only names of hosts, ports and folders differ.
"""

from __future__ import annotations

import contextlib
import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import yaml

from mistudio_pipelines.client import MistudioClient
from mistudio_pipelines.errors import MistudioError
from mistudio_pipelines.serving import free_port
from mistudio_pipelines_tests.live.stack import PROJECT, wait
from mistudio_pipelines_tests.postgres import PostgresServer

pytestmark = [pytest.mark.live, pytest.mark.timeout(300)]

DOCKER = PROJECT / "docker"
COMPOSE = DOCKER / "docker-compose.yaml"
PROGRAMS = Path(sys.executable).parent


def _services() -> dict[str, Any]:
    services: dict[str, Any] = yaml.safe_load(COMPOSE.read_text())["services"]
    return services


@pytest.mark.parametrize(
    "command",
    [
        ("check-jsonschema", "--builtin-schema", "vendor.compose-spec", COMPOSE),
        ("compose-lint", "--fail-on", "high", COMPOSE),
        ("hadolint", "--failure-threshold", "info", DOCKER / "Dockerfile"),
    ],
    ids=["published-schema", "compose-lint", "hadolint"],
)
def test_the_files_hold_to_the_schema_and_the_linters_rules(command: tuple[str, ...]) -> None:
    done = subprocess.run([PROGRAMS / command[0], *command[1:]], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stdout + done.stderr


def test_no_port_is_open_to_others_and_no_secret_is_in_a_file() -> None:
    services = _services()
    for service in services.values():
        assert all(port.startswith("127.0.0.1:") for port in service.get("ports", ()))
        for name, value in service["environment"].items():
            if re.search("PASSWORD|TOKEN", name):
                assert re.fullmatch(r"\$\{\w+:[?-][^}]*\}", value), name
    ours = [service for service in services.values() if service["image"].startswith("mistudio")]
    assert all(service["cap_drop"] == ["ALL"] and service["read_only"] for service in ours)
    assert re.findall(r"^USER (.*)", (DOCKER / "Dockerfile").read_text(), re.MULTILINE) == ["10001:10001"]
    used = set(re.findall(r"env: (\w+)", (DOCKER / "dagster.yaml").read_text()))
    assert used <= set(services["code"]["environment"])


@dataclass
class Compose:
    """The services of docker-compose.yaml as processes of this machine."""

    folder: Path
    database: Mapping[str, str]
    ports: dict[str, int] = field(default_factory=lambda: {port: free_port() for port in ("3000", "3001", "4000")})
    processes: list[subprocess.Popen[bytes]] = field(default_factory=list)

    def __post_init__(self) -> None:
        for name in ("data", "image", "tmp"):
            (self.folder / name).mkdir()
        shutil.copy(DOCKER / "dagster.yaml", self.folder / "image")
        workspace = (DOCKER / "workspace.yaml").read_text()
        (self.folder / "image" / "workspace.yaml").write_text(
            workspace.replace("host: code", "host: 127.0.0.1").replace("4000", str(self.ports["4000"]))
        )
        self.public_port = free_port()

    def here(self, text: str, public: bool = False) -> str:
        """A command with this machine's names in the place of the containers'."""
        text = text.replace("/opt/mistudio/", f"{self.folder}/image/").replace("/data/", f"{self.folder}/data/")
        text = re.sub(r"\b(webserver):", "127.0.0.1:", text).replace("0.0.0.0", "127.0.0.1")
        for inside, port in self.ports.items():
            text = re.sub(rf"\b{inside}\b", str(self.public_port if public and inside == "3000" else port), text)
        return text

    def start(self, name: str) -> subprocess.Popen[bytes]:
        """Start a service as its `command` says."""
        service = _services()[name]
        command = service["command"]
        arguments = shlex.split(command) if isinstance(command, str) else command
        arguments = [self.here(one, name == "public") for one in arguments]
        with (self.folder / f"{name}.log").open("wb") as log:
            process = subprocess.Popen(
                [*self._read_only_root(), *arguments], env=self._environment(service), cwd=self.folder / "image",
                stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True,
            )  # fmt: skip
        self.processes.append(process)
        return process

    def is_healthy(self, name: str) -> bool:
        """Run the health check of a service as it is written."""
        service = _services()[name]
        kind, *test = service["healthcheck"]["test"]
        assert kind == "CMD"
        test = [self.here(one, name == "public") for one in test]
        return subprocess.run(test, env=self._environment(service), capture_output=True, timeout=60).returncode == 0

    def stop(self) -> None:
        for number in (signal.SIGTERM, signal.SIGKILL):
            for process in self.processes:
                with contextlib.suppress(ProcessLookupError):
                    os.killpg(process.pid, number)
            for process in self.processes:
                with contextlib.suppress(subprocess.TimeoutExpired):
                    process.wait(timeout=20)

    def logs(self) -> str:
        return "\n".join(f"--- {path.name}\n{path.read_text()[-3000:]}" for path in self.folder.glob("*.log"))

    def _environment(self, service: Mapping[str, Any]) -> dict[str, str]:
        image = dict(re.findall(r"(\w+)=(\S+)", (DOCKER / "Dockerfile").read_text().split("WORKDIR")[0]))
        image = {
            name: f"{value}/".replace("/data/", f"{self.folder}/data/").rstrip("/") for name, value in image.items()
        }
        declared = {name: str(value) for name, value in service["environment"].items() if "${" not in str(value)}
        kept = {name: os.environ[name] for name in ("PYTHONPATH",) if name in os.environ}
        places = {"PATH": f"{PROGRAMS}:/usr/bin:/bin", "HOME": "/nonexistent", "TMPDIR": str(self.folder / "tmp")}
        return {**kept, **places, **image, **declared, **self.database}

    def _read_only_root(self) -> list[str]:
        if not _can_make_root_read_only():
            return []
        writable = [self.folder / "data", self.folder / "tmp"]
        mounts = " && ".join(f"mount --bind {shlex.quote(str(path))} {shlex.quote(str(path))}" for path in writable)
        return ["unshare", "--mount", "sh", "-c", f'{mounts} && mount -o remount,ro,bind / && exec "$@"', "sh"]


def _can_make_root_read_only() -> bool:
    probe = ["unshare", "--mount", "mount", "-o", "remount,ro,bind", "/"]
    return shutil.which("unshare") is not None and subprocess.run(probe, capture_output=True).returncode == 0


@pytest.fixture
def compose(tmp_path: Path, postgres: PostgresServer) -> Iterator[Compose]:
    running = Compose(tmp_path, postgres.make_database())
    try:
        yield running
    finally:
        running.stop()


@pytest.mark.slow
def test_every_service_runs_by_hand_as_it_is_written(compose: Compose) -> None:
    names = [name for name in _services() if name != "postgres"]
    assert names == ["migrate", "code", "webserver", "panel", "daemon", "public"]
    assert compose.start("migrate").wait(timeout=120) == 0, compose.logs()
    for name in names[1:]:
        compose.start(name)
        if name != "daemon":
            wait(lambda name=name: compose.is_healthy(name), what=name, describe=compose.logs)

    texts = compose.folder / "texts.jsonl"
    texts.write_text('{"text": "a text"}\n' * 100)
    client = MistudioClient(f"http://127.0.0.1:{compose.ports['3000']}")
    dataset_id = client.add(paths=[str(texts)])
    wait(lambda: client.dataset(dataset_id).status == "ready", what=dataset_id, describe=compose.logs)
    assert client.statistics(dataset_id)["num_samples"] == 100
    wait(lambda: compose.is_healthy("daemon"), what="the daemon", describe=compose.logs)
    with urllib.request.urlopen(f"http://127.0.0.1:{compose.ports['3001']}/api/datasets", timeout=20) as response:
        assert dataset_id in response.read().decode()

    public = MistudioClient(f"http://127.0.0.1:{compose.public_port}/datasets")
    assert [one.dataset_id for one in public.datasets()] == [dataset_id]
    with pytest.raises(MistudioError):
        public.delete([dataset_id])
    with pytest.raises(urllib.error.HTTPError):
        urllib.request.urlopen(f"http://127.0.0.1:{compose.public_port}/graphql?query={{version}}", timeout=20)

    # A second start of the stack finds everything as it was.
    assert compose.start("migrate").wait(timeout=120) == 0, compose.logs()
    assert "Dagster knows everything" in (compose.folder / "migrate.log").read_text()
