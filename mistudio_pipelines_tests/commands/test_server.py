"""Starting and ending `mistudio up`."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from mistudio_pipelines.serving import find_server, free_port, stop_leftovers

_UP = """
import signal, sys
signal.signal(signal.SIGINT, signal.SIG_IGN)
from mistudio_pipelines.cli import main
sys.argv = ["mistudio", "up", "--port", sys.argv[1], "--panel-port", sys.argv[2]]
main()
"""


@pytest.mark.slow
def test_sigterm_ends_everything_also_where_the_shell_let_it_ignore_ctrl_c(tmp_path: Path) -> None:
    """A shell without job control starts `mistudio up &` so that it ignores SIGINT."""
    home = tmp_path / "data" / "dagster"
    environment = {**os.environ, "MISTUDIO_DATA": str(tmp_path / "data"), "DAGSTER_HOME": str(home)}
    command = [sys.executable, "-c", _UP, str(free_port()), str(free_port())]
    with subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True) as process:
        try:
            deadline = time.monotonic() + 90
            while (server := find_server(home)) is None:
                assert process.poll() is None
                assert time.monotonic() < deadline
                time.sleep(0.2)
            assert len(server.alive()) == len(server.pids) >= 4
            process.send_signal(signal.SIGTERM)
            assert process.wait(60) == 0
            assert server.alive() == []
            assert not (home / "server.json").exists()
        finally:
            process.kill()
            stop_leftovers(home)
