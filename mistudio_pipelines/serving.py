"""Starting and stopping the services of one machine: code server, webserver and daemon, as three processes.

What belongs here: processes, ports and the note of what runs. What does not: anything about datasets.
"""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil

from mistudio_pipelines.errors import ErrorCode, MistudioError
from mistudio_pipelines.processes import ask_for_large_pages, end_processes, process_start
from mistudio_pipelines.store.atomic import write_bytes, write_json

LOCATION_NAME = "mistudio_pipelines"
_LOOPBACK = "127.0.0.1"
_SECONDS_TO_START = 120.0
_MOST_RESTARTS = 5
_RESTART_WINDOW_SECONDS = 60.0


@dataclass(frozen=True)
class RunningServer:
    """Services that were started earlier, as noted in the Dagster home.

    Attributes:
        url: Address of the UI and of GraphQL.
        pids: Process ids: the one that started them, then the services.
        started: When each of those processes was started, as `process_start` says it.
    """

    url: str
    pids: tuple[int, ...]
    started: tuple[str, ...]

    def alive(self) -> list[psutil.Process]:
        """Those of the processes that still run."""
        found = []
        for pid, started in zip(self.pids, self.started, strict=True):
            try:
                if started and process_start(pid) == started:
                    found.append(psutil.Process(pid))
            except psutil.NoSuchProcess:
                continue
        return found


def find_server(home: Path) -> RunningServer | None:
    """The services noted in a Dagster home, where their starter still runs and the webserver answers."""
    server = find_installation(home)
    return server if server is not None and answers(server.url) else None


def find_installation(home: Path) -> RunningServer | None:
    """The services noted in a Dagster home, where their starter still runs, whether or not they answer."""
    server = _read_note(home)
    if server is None:
        return None
    return server if any(process.pid == server.pids[0] for process in server.alive()) else None


def answers(url: str, path: str = "/server_info") -> bool:
    """True where a webserver answers."""
    try:
        with urllib.request.urlopen(url + path, timeout=5) as response:  # noqa: S310  (our own http address)
            return bool(response.status == 200)
    except (urllib.error.URLError, OSError):
        return False


def stop_leftovers(home: Path) -> None:
    """End services whose starter was killed; they would serve an instance that nobody watches.

    Where this very process started them, only they are ended.
    """
    server = _read_note(home)
    if server is not None:
        alive = [process for process in server.alive() if process.pid != os.getpid()]
        end_processes([child for process in alive for child in (process, *process.children(recursive=True))])
    _note(home).unlink(missing_ok=True)


@dataclass
class _Service:
    name: str
    arguments: list[str]
    log: Path
    process: subprocess.Popen[bytes] | None = None
    restarts: list[float] = field(default_factory=list)


class Services:
    """The services of one Dagster home: code server, webserver, daemon, and where it is wanted the datasets panel.

    Args:
        home: The Dagster home (prepared).
        data_folder: The data folder.
        host: Address the UI listens on; loopback unless chosen otherwise.
        port: Port of the UI.
        panel_port: Port of the datasets panel and its REST API; None: neither is served.
    """

    def __init__(
        self,
        home: Path,
        data_folder: Path,
        host: str = _LOOPBACK,
        port: int = 3000,
        panel_port: int | None = None,
    ) -> None:
        self._home = home
        self._environment = {
            **ask_for_large_pages(os.environ),
            "DAGSTER_HOME": str(home),
            "MISTUDIO_DATA": str(data_folder),
            "DAGSTER_DISABLE_TELEMETRY": "1",
        }
        # Without compiled modules on disk every run would compile its imports again.
        self._environment.pop("PYTHONDONTWRITEBYTECODE", None)
        self._host, self._port, self._panel_port = host, port, panel_port
        self.panel_url = None if panel_port is None else f"http://{_LOOPBACK}:{panel_port}"
        self.url = f"http://{_LOOPBACK if host == '0.0.0.0' else host}:{port}"  # noqa: S104  (only compared)
        self._services: list[_Service] = []

    def start(self) -> None:
        """Start everything and wait until the UI answers and knows the code.

        Raises:
            MistudioError: `port_in_use`, or `internal` where a service does not come up (names its log).
        """
        _require_free_port(self._host, self._port, "--port")
        if self._panel_port is not None:
            _require_free_port(_LOOPBACK, self._panel_port, "--panel-port")
        logs = self._home / "logs"
        logs.mkdir(parents=True, exist_ok=True)
        code_port = free_port()
        workspace = self._home / "workspace.yaml"
        write_bytes(workspace, _workspace(code_port).encode())
        try:
            self._add("code", ["-m", "dagster", *_code_server_arguments(code_port)], logs)
            self._add(
                "webserver",
                ["-m", "dagster_webserver", "-h", self._host, "-p", str(self._port), "-w", str(workspace)],
                logs,
            )
            # Not before the code server, so that it never finds a workspace that does not answer; not after the UI
            # either, because what was cut off waits for it.
            self._wait_for(lambda: not port_is_free(_LOOPBACK, code_port))
            self._add("daemon", ["-m", "dagster._daemon", "run", "-w", str(workspace)], logs)
            self._wait_for(lambda: code_is_loaded(self.url))
            if self.panel_url is not None:
                self._add("panel", _panel_arguments(self.url, self._panel_port), logs)
                self._wait_for(lambda: answers(f"{self.panel_url}/api/health", ""))
        except BaseException:
            self.stop()
            raise
        self._write_note()

    def watch(self) -> None:
        """Start a service again that has ended; call it every second or so.

        Raises:
            MistudioError: `internal` where one ends again and again.
        """
        for service in self._services:
            if service.process is None or service.process.poll() is None:
                continue
            now = time.monotonic()
            service.restarts = [at for at in service.restarts if now - at < _RESTART_WINDOW_SECONDS] + [now]
            if len(service.restarts) > _MOST_RESTARTS:
                raise self._failure(service)
            self._launch(service)
            self._write_note()

    def stop(self) -> None:
        """End everything that was started, also runs that are being worked on; they continue after the next start."""
        processes: list[psutil.Process] = []
        for service in reversed(self._services):
            if service.process is not None:
                try:
                    process = psutil.Process(service.process.pid)
                    processes += [process, *process.children(recursive=True)]
                except psutil.NoSuchProcess:
                    continue
        end_processes(processes)
        for service in self._services:
            if service.process is not None:
                service.process.wait()
        _note(self._home).unlink(missing_ok=True)

    def _add(self, name: str, arguments: list[str], logs: Path) -> None:
        service = _Service(name, arguments, logs / f"{name}.log")
        self._services.append(service)
        self._launch(service)

    def _launch(self, service: _Service) -> None:
        with service.log.open("ab") as log, _interruptible_children():
            # A session of its own: Ctrl-C in the terminal reaches only us, and we end them in order.
            service.process = subprocess.Popen(
                [sys.executable, *service.arguments],
                env=self._environment,
                cwd=self._home,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )

    def _wait_for(self, ready: Callable[[], bool]) -> None:
        deadline = time.monotonic() + _SECONDS_TO_START
        while not ready():
            for service in self._services:
                if service.process is not None and service.process.poll() is not None:
                    raise self._failure(service)
            if time.monotonic() > deadline:
                raise self._failure(self._services[-1])
            time.sleep(0.1)

    def _failure(self, service: _Service) -> MistudioError:
        return MistudioError(
            ErrorCode.INTERNAL, f"The {service.name} service does not stay up.", f"Its log says why: {service.log}."
        )

    def _write_note(self) -> None:
        pids = [os.getpid(), *(one.process.pid for one in self._services if one.process is not None)]
        started = [process_start(pid) or "" for pid in pids]
        write_json(_note(self._home), {"url": self.url, "pids": pids, "started": started})


def _require_free_port(host: str, port: int, option: str) -> None:
    if not port_is_free(host, port):
        raise MistudioError(
            ErrorCode.PORT_IN_USE,
            f"Port {port} is in use by another program.",
            f"Choose another: `mistudio up {option} {port + 1}`.",
        )


def port_is_free(host: str, port: int) -> bool:
    """True where a server could listen there."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError:
            return False
    return True


@contextmanager
def _interruptible_children() -> Iterator[None]:
    """Let what is started here take interrupts, also where a shell without job control made us ignore them.

    Dagster's services turn SIGTERM into an interrupt; where that is ignored they never end by themselves.
    """
    in_main_thread = threading.current_thread() is threading.main_thread()
    if not in_main_thread or signal.getsignal(signal.SIGINT) != signal.SIG_IGN:
        yield
        return
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, signal.SIG_IGN)


def free_port() -> int:
    """A port of the loopback interface that nobody listens on."""
    with socket.socket() as probe:
        probe.bind((_LOOPBACK, 0))
        return int(probe.getsockname()[1])


def _code_server_arguments(port: int) -> list[str]:
    return [
        *("api", "grpc", "--module-name", "mistudio_pipelines.definitions", "--host", _LOOPBACK),
        *("--port", str(port), "--location-name", LOCATION_NAME),
    ]


def _panel_arguments(dagster_url: str, port: int | None) -> list[str]:
    # Always on the loopback interface: there is no login.
    command = "from mistudio_pipelines.cli import main; main()"
    return ["-c", command, "panel", "--dagster-url", dagster_url, "--port", str(port)]


def _workspace(code_port: int) -> str:
    return (
        "# Written by `mistudio up` at each start.\n"
        "load_from:\n"
        f"  - grpc_server:\n      host: {_LOOPBACK}\n      port: {code_port}\n      location_name: {LOCATION_NAME}\n"
    )


def code_is_loaded(url: str) -> bool:
    """True where a webserver answers and its code server too."""
    query = "{ repositoriesOrError { __typename ... on RepositoryConnection { nodes { name } } } }"
    request = urllib.request.Request(  # noqa: S310  (our own http address)
        url + "/graphql", json.dumps({"query": query}).encode(), {"Content-Type": "application/json"}
    )
    try:
        with urllib.request.urlopen(request, timeout=30) as response:  # noqa: S310  (as above)
            answer: dict[str, Any] = json.load(response)
    except (urllib.error.URLError, OSError, ValueError):
        return False
    return bool(answer.get("data", {}).get("repositoriesOrError", {}).get("nodes"))


def _note(home: Path) -> Path:
    return home / "server.json"


def _read_note(home: Path) -> RunningServer | None:
    try:
        value = json.loads(_note(home).read_text())
        return RunningServer(str(value["url"]), tuple(map(int, value["pids"])), tuple(map(str, value["started"])))
    except (FileNotFoundError, ValueError, KeyError, TypeError):
        return None
