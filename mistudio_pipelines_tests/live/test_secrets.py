"""A token reaches the Hub and nothing else: not the databases, not a file, not a log, not an answer over GraphQL."""

from __future__ import annotations

import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from mistudio_pipelines_tests.live.stack import Stack, parquet_bytes

pytestmark = [pytest.mark.live, pytest.mark.timeout(300)]

GOOD = "hf_GoodTokenThatMustNeverBeWrittenAnywhere"
BAD = "hf_BadTokenThatMustNeverBeWrittenAnywhere"


@pytest.fixture(scope="module")
def files_with(stack: Stack) -> Iterator[Callable[[str], list[str]]]:
    """Finds files of the installation that hold a token; the secret files themselves left out."""

    def find(token: str) -> list[str]:
        # In a process of its own: reading a database's file in a process that has it open would break SQLite's locks.
        secrets = stack.store.secrets_root.name
        command = ["grep", "-rlaF", f"--exclude-dir={secrets}", "--", token, str(stack.store.root)]
        done = subprocess.run(command, capture_output=True, text=True, timeout=60)
        assert done.returncode in (0, 1), done.stderr
        return done.stdout.splitlines()

    yield find


def _secret(stack: Stack, name: str, token: str) -> Path:
    stack.store.secrets_root.mkdir(parents=True, exist_ok=True)
    path = stack.store.secrets_root / name
    path.write_text(token + "\n")
    path.chmod(0o600)
    return path


def test_a_gated_dataset_is_downloaded_with_a_named_token_that_is_written_nowhere(
    stack: Stack, files_with: Callable[[str], list[str]]
) -> None:
    texts = [f"A secret text number {number}" for number in range(200)]
    stack.hub.add_repository("someone/gated", {"data/train-00000-of-00001.parquet": parquet_bytes(texts)}, gated=True)
    stack.hub.allow(GOOD, ["someone/gated"])
    _secret(stack, "my-token", GOOD)
    refused = stack.run("add", "someone/gated", "--token-name", "not-my-token")
    assert (refused.returncode, "not-my-token" in refused.stderr) == (1, True)
    assert "authentication" in stack.run("add", "someone/gated").stderr

    dataset_id = stack.add("someone/gated", "--token-name", "my-token")
    stack.wait_until([dataset_id])

    assert any(request.headers.get("authorization") == f"Bearer {GOOD}" for request in stack.hub.requests)
    assert not any("authorization" in request.headers for request in stack.hub.requests if request.origin == "cdn")
    assert files_with(GOOD) == []
    state = stack.client.run_state(stack.runs("download", dataset_id)[0].run_id)
    assert GOOD not in str(state.tags)


def test_a_token_that_is_revoked_meanwhile_is_not_in_the_error(
    stack: Stack, files_with: Callable[[str], list[str]]
) -> None:
    stack.hub.add_repository("someone/closing", {"train.parquet": parquet_bytes(["one", "two"])}, gated=True)
    stack.hub.allow(BAD, ["someone/closing"])
    _secret(stack, "closing-token", BAD)
    stack.hub.faults.fail("*/closing/resolve/*train.parquet", 503, times=None)
    config = {"repository": "someone/closing", "token_name": "closing-token", "text_column": "text"}
    run_id = stack.client.launch("add_dataset", run_config={"ops": {"validate_and_register": {"config": config}}})
    stack.hub.revoke(BAD)
    state = stack.wait(lambda: (run := stack.client.run_state(run_id)).is_finished and run, what="the run")
    assert state.status == "FAILURE"
    assert BAD not in str(state.tags)
    assert files_with(BAD) == []
