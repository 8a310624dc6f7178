"""The local Hub as a whole: stopping and starting it, many clients, and running it by hand."""

from __future__ import annotations

import http.client
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from mistudio_pipelines_tests.hub_server import HubServer
from mistudio_pipelines_tests.local_hub.bare_client import api, ask, resolve
from mistudio_pipelines_tests.local_hub.stock import CONTENT, lfs_link


@pytest.fixture
def link(hub: HubServer) -> str:
    """The link to an LFS file of the Hub's only dataset."""
    return lfs_link(hub)


def test_a_hub_that_was_stopped_comes_back_on_the_same_ports_with_its_content(hub: HubServer, link: str) -> None:
    connection = http.client.HTTPConnection(urlsplit(hub.endpoint).netloc, timeout=20)
    connection.request("GET", "/api/datasets/user/name")
    connection.getresponse().read()
    hub.stop()
    assert connection.sock.recv(1) == b""  # an open connection ends, too
    connection.close()
    with pytest.raises(ConnectionError):
        ask(api(hub, "user/name"))
    hub.start()
    hub.start()  # twice does no harm
    assert ask(link).body == CONTENT
    assert ask(api(hub, "user/name")).status == 200


def test_many_clients_at_once_all_get_their_bytes(hub: HubServer, link: str) -> None:
    bodies: list[bytes] = []
    threads = [threading.Thread(target=lambda: bodies.append(ask(link).body)) for _ in range(30)]
    for thread in threads:
        thread.start()
    for number in range(10):
        hub.commit("user/name", {f"{number}.txt": b"x"})
        ask(api(hub, "user/name/tree/main"))
    for thread in threads:
        thread.join()
    assert bodies == [CONTENT] * 30


def test_a_child_process_gets_an_environment_without_the_settings_of_this_one(
    hub: HubServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_TOKEN", "hf_mine")
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    environment = hub.environment(tmp_path)
    assert environment["HF_ENDPOINT"] == hub.endpoint
    assert environment["HF_HOME"] == str(tmp_path)
    assert environment["PATH"] == os.environ["PATH"]
    assert not {"HF_TOKEN", "HF_HUB_OFFLINE"} & set(environment)
    assert hub.environment(tmp_path, token="hf_given")["HF_TOKEN"] == "hf_given"


@contextmanager
def started_by_hand(*arguments: str) -> Iterator[tuple[subprocess.Popen[str], list[str]]]:
    """The command, running, and the lines that it has printed up to the one with its address."""
    command = [sys.executable, "-m", "mistudio_pipelines_tests.hub_server", *arguments]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    try:
        assert process.stdout is not None
        lines = []
        for line in process.stdout:
            lines.append(line.strip())
            if line.startswith("export "):
                break
        yield process, lines
    finally:
        process.kill()
        process.wait()
        process.stdout.close()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder of repositories of every sort."""
    for name in (
        "datasets/user/name/data/train.parquet",
        "datasets/user/name/README.md",
        "datasets/user/name/.cache/ignored",
        "datasets/user/name@v2/data/train.parquet",
        "datasets/user/name@refs%2Fconvert%2Fparquet/default/train/0000.parquet",
        "datasets/bare/train.txt",
        "models/user/tokenizer/tokenizer.json",
    ):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(name)
    return tmp_path


def test_a_folder_of_repositories_is_served_with_its_branches(folder: Path) -> None:
    with HubServer(folder) as hub:
        references = ask(api(hub, "user/name/refs")).json
        assert [each["name"] for each in references["branches"]] == ["main", "v2"]
        assert [each["ref"] for each in references["converts"]] == ["refs/convert/parquet"]
        files = [entry["path"] for entry in ask(api(hub, "user/name/tree/main?recursive=true")).json]
        assert files == ["README.md", "data", "data/train.parquet"]
        assert ask(resolve(hub, "train.txt", repository_id="bare")).body == b"datasets/bare/train.txt"
        assert ask(f"{hub.endpoint}/api/models/user/tokenizer").status == 200


def test_the_command_serves_a_folder_until_it_is_told_to_end(folder: Path) -> None:
    arguments = (str(folder), "--gated", "user/name", "--token", "hf_granted", "--bytes-per-second", "1e6")
    with started_by_hand(*arguments) as (process, lines):
        assert "dataset user/name (main, refs/convert/parquet, v2)" in lines
        endpoint = lines[-1].removeprefix("export HF_ENDPOINT=")
        address = f"{endpoint}/datasets/user/name/resolve/main/data/train.parquet"
        assert ask(address).status == 401
        assert ask(ask(address, token="hf_granted").headers["location"]).status == 200
        process.send_signal(signal.SIGTERM)
        assert process.stdout is not None
        printed = process.stdout.read()
        assert process.wait(10) == 0
    assert "hub  401" in printed
    assert "cdn  200" in printed


def test_the_command_says_in_one_line_what_it_cannot_do(
    folder: Path, hub: HubServer, capsys: pytest.CaptureFixture[str]
) -> None:
    from mistudio_pipelines_tests.hub_server import main

    (folder / "empty").mkdir()
    taken = str(urlsplit(hub.endpoint).port)
    for arguments, message in (
        ([str(folder / "nope")], "is not a folder"),
        ([str(folder / "empty")], "has no datasets/NAMESPACE/NAME"),
        ([str(folder), "--gated", "no/such"], "--gated names no repository of the folder: no/such"),
        ([str(folder), "--bytes-per-second", "0"], "must be more than 0"),
        ([str(folder), "--port", taken], f"cannot listen on port {taken}"),
        ([str(folder), "--port", "99999"], "cannot listen on port 99999"),
    ):
        before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
        with pytest.raises(SystemExit) as end:
            main(arguments)
        for number, handler in before.items():
            signal.signal(number, handler)
        assert end.value.code != 0
        assert message in capsys.readouterr().err
