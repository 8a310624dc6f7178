"""One installation per Dagster home, also where the first does not answer; real processes."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from mistudio_pipelines.claiming import claim_home
from mistudio_pipelines.errors import ErrorCode, MistudioError
from mistudio_pipelines.processes import process_start
from mistudio_pipelines.serving import free_port

_HOLDER = """
import sys, time
from pathlib import Path
from mistudio_pipelines.claiming import claim_home
with claim_home(Path(sys.argv[1])) as other:
    print(other, flush=True)
    time.sleep(60)
"""


@contextmanager
def _holder(home: Path) -> Iterator[subprocess.Popen[str]]:
    process = subprocess.Popen([sys.executable, "-c", _HOLDER, str(home)], stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None
        assert process.stdout.readline() == "None\n"
        yield process
    finally:
        process.kill()
        process.wait()
        process.stdout.close()


def _note(home: Path, pid: int, port: int) -> None:
    note = {"url": f"http://127.0.0.1:{port}", "pids": [pid], "started": [process_start(pid)]}
    (home / "server.json").write_text(json.dumps(note))


class _Answer(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self.send_response(200)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_: object) -> None: ...


def test_a_second_installation_waits_for_the_first_to_answer_and_else_refuses(tmp_path: Path) -> None:
    with _holder(tmp_path) as first:
        with pytest.raises(MistudioError, match="being started") as caught, claim_home(tmp_path, wait_seconds=0):
            pass
        assert caught.value.code == ErrorCode.SERVER_UNREACHABLE

        port = free_port()
        _note(tmp_path, first.pid, port)
        refused = pytest.raises(MistudioError, match=f"process {first.pid}.*does not answer")
        with refused, claim_home(tmp_path, wait_seconds=0.2):
            pass
        assert first.poll() is None  # it is left alone

        with ThreadingHTTPServer(("127.0.0.1", port), _Answer) as server:
            threading.Thread(target=server.serve_forever).start()
            with claim_home(tmp_path, wait_seconds=30) as other:
                assert other is not None
                assert other.url.endswith(str(port))
            server.shutdown()
        first.kill()
        first.wait()
        # Its note is still there; the claim died with it.
        with claim_home(tmp_path, wait_seconds=0) as other:
            assert other is None


def test_an_installation_that_ends_meanwhile_is_taken_over(tmp_path: Path) -> None:
    with _holder(tmp_path) as first:
        threading.Timer(1.0, first.kill).start()
        with claim_home(tmp_path, wait_seconds=30) as other:
            assert other is None


def test_a_claim_ends_with_its_block(tmp_path: Path) -> None:
    for _ in range(2):
        with claim_home(tmp_path, wait_seconds=0) as other:
            assert other is None
