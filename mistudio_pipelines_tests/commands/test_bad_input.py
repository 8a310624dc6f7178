"""Bad input: one clear sentence, what to do next, a non-zero exit, and nothing left behind."""

from __future__ import annotations

import io
import json
import socket
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from mistudio_pipelines import cli
from mistudio_pipelines.serving import free_port
from mistudio_pipelines_tests.hub_server import HubServer

Mistudio = Callable[..., tuple[int, str, str]]


@pytest.fixture
def mistudio(tmp_path: Path, hub: HubServer, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture) -> Mistudio:
    """Run the command as the installed one does, in this process; returns exit code, output and errors."""
    for name in ("HF_TOKEN", "HUGGING_FACE_HUB_TOKEN"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HF_ENDPOINT", hub.endpoint)
    monkeypatch.setenv("HF_TOKEN_PATH", str(tmp_path / "no-token"))
    monkeypatch.setenv("MISTUDIO_DATA", str(tmp_path / "data"))
    monkeypatch.setenv("DAGSTER_HOME", "")

    def run(*arguments: str) -> tuple[int, str, str]:
        capfd.readouterr()
        monkeypatch.setattr("sys.argv", ["mistudio", *arguments])
        code = 0
        try:
            cli.main()
        except SystemExit as exit_:
            code = int(exit_.code or 0)
        output, errors = capfd.readouterr()
        return code, output, errors

    return run


def _parquet(**columns: list[object]) -> bytes:
    buffer = io.BytesIO()
    pq.write_table(pa.table(columns), buffer)
    return buffer.getvalue()


@pytest.fixture
def repositories(hub: HubServer) -> None:
    hub.add_repository("someone/texts", {"train.parquet": _parquet(text=["one", "two"])})
    hub.add_repository("someone/numbers", {"train.parquet": _parquet(number=[1, 2])})
    hub.add_repository("someone/secret", {"train.parquet": _parquet(text=["one"])}, gated=True)
    card = b"---\nconfigs:\n- config_name: en\n  data_files: en/*\n- config_name: de\n  data_files: de/*\n---\n"
    files = {"README.md": card, "en/train.parquet": _parquet(text=["a"]), "de/train.parquet": _parquet(text=["b"])}
    hub.add_repository("someone/languages", files)


@pytest.mark.usefixtures("repositories")
@pytest.mark.parametrize(
    ("arguments", "code", "sentence"),
    [
        (["someone/is-not-there"], "repository_not_found", "Repository 'someone/is-not-there' not found"),
        (["someone//texts"], "invalid_id", "is not the id of a dataset repository"),
        (["someone/texts", "--split", "dev"], "unknown_split_or_config", "train"),
        (["someone/languages", "--config", "fr"], "unknown_split_or_config", "de"),
        (["someone/languages"], "unknown_split_or_config", "en"),
        (["someone/texts", "--revision", "v9"], "revision_not_found", "v9"),
        (["someone/numbers"], "no_text_column", "number"),
        (["someone/texts", "--text-column", "body"], "no_text_column", "body"),
        (["someone/secret"], "authentication_required", "authentication"),
        (["someone/texts", "--token-name", "NO_SUCH_SECRET"], "secret_not_found", "NO_SUCH_SECRET"),
        (["someone/texts", "--tokenize", "never-saved"], "unknown_preset", "never-saved"),
        (["someone/texts", "someone/numbers"], "invalid_config", "one Hub id"),
        (["./is-not-there"], "path_not_found", "is-not-there"),
    ],
)
def test_a_dataset_that_cannot_be_added_leaves_nothing(
    mistudio: Mistudio, tmp_path: Path, arguments: list[str], code: str, sentence: str
) -> None:
    exit_code, output, errors = mistudio("add", *arguments, "--json")
    assert exit_code == 1, output + errors
    error = json.loads(errors.strip().splitlines()[-1])["error"]
    assert error["code"] == code, error
    assert sentence in f"{error['message']} {error['next_step']} {error['details']}"
    assert "Traceback" not in errors
    assert not list(tmp_path.glob("data/datasets/metadata/*"))
    assert not list(tmp_path.glob("data/dagster"))


def test_an_empty_folder_and_an_unreadable_format_are_refused(mistudio: Mistudio, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    assert mistudio("add", str(tmp_path / "empty"))[0] == 1
    (tmp_path / "picture.png").write_bytes(b"\x89PNG\r\n\x1a\n")
    code, _, errors = mistudio("add", "--local", str(tmp_path / "picture.png"))
    assert code == 1
    assert ".jsonl" in errors


@pytest.mark.usefixtures("repositories")
def test_the_same_dataset_twice_says_which_one_holds_it(mistudio: Mistudio) -> None:
    code, output, errors = mistudio("add", "someone/texts", "--json")
    assert code == 0, errors
    dataset_id = json.loads(output)["id"]
    code, _, errors = mistudio("add", "someone/texts")
    assert code == 1
    assert dataset_id in errors
    assert mistudio("add", "someone/texts", "--split", "train", "--json")[0] == 0, "another choice of splits is another"


@pytest.mark.usefixtures("repositories")
def test_a_dry_run_shows_the_plan_and_writes_nothing(mistudio: Mistudio, tmp_path: Path) -> None:
    code, output, errors = mistudio("add", "someone/texts", "--dry-run", "--json")
    assert code == 0, errors
    plan = json.loads(output)
    assert (plan["splits"], plan["text_column"], plan["format"]) == (["train"], "text", "parquet")
    assert 0 < plan["download_bytes"] < plan["pipeline_bytes"]
    assert not list(tmp_path.glob("data/datasets/metadata/*"))


@pytest.mark.parametrize("arguments", [["list"], ["show", "ds_a_123456"], ["watch"], ["delete", "ds_a_123456"]])
def test_without_a_dagster_home_the_next_step_is_named(mistudio: Mistudio, arguments: list[str]) -> None:
    code, _, errors = mistudio(*arguments)
    assert code == 1
    assert "no Dagster home" in errors
    assert "mistudio up" in errors


def test_a_port_in_use_is_refused_before_anything_is_started(mistudio: Mistudio, tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        code, _, errors = mistudio("up", "--port", str(port))
    assert code == 1
    assert f"Port {port} is in use" in errors
    assert not list(tmp_path.glob("data/dagster/server.json"))
    assert free_port() != port


def test_what_needs_a_running_server_says_how_to_start_it(mistudio: Mistudio, tmp_path: Path) -> None:
    (tmp_path / "texts.txt").write_text("one\ntwo\n")
    code, output, errors = mistudio("add", str(tmp_path / "texts.txt"), "--json")
    assert code == 0, errors
    dataset_id = json.loads(output)["id"]
    code, _, errors = mistudio("tokenize", dataset_id, "--preset", "gpt2")
    assert code == 1
    assert "mistudio up" in errors


def test_an_unknown_dataset_is_named(mistudio: Mistudio, tmp_path: Path) -> None:
    (tmp_path / "texts.txt").write_text("one\ntwo\n")
    assert mistudio("add", str(tmp_path / "texts.txt"))[0] == 0
    for command in ("show", "delete", "samples"):
        code, _, errors = mistudio(command, "ds_never_added_abcdef")
        assert code == 1, command
        assert "ds_never_added_abcdef" in errors
    assert mistudio("show", "../../etc/passwd")[0] == 1


def test_wrong_usage_is_exit_code_two(mistudio: Mistudio) -> None:
    assert mistudio("add")[0] == 2
    assert mistudio("no-such-command")[0] == 2
    assert mistudio("list", "--source", "elsewhere")[0] == 2
