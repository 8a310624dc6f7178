"""A Hugging Face Hub on this machine: what the tests download from, and a way to try the product offline.

What belongs here: the two origins together, the interface for tests, and the command line. In `local_hub/`: the
content (`repositories.py`, `folder.py`), the answers (`protocol.py`, `information.py`, `links.py`, `messages.py`), the
wire (`transport.py`), what goes wrong on purpose (`faults.py`), the record of requests (`requests.py`).

By hand: `python -m mistudio_pipelines_tests.hub_server FOLDER --port 8100`.
"""

from __future__ import annotations

import argparse
import os
import signal
import threading
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Literal, Self

from mistudio_pipelines_tests.local_hub.faults import Faults
from mistudio_pipelines_tests.local_hub.folder import read_folder
from mistudio_pipelines_tests.local_hub.messages import Answer, Question
from mistudio_pipelines_tests.local_hub.protocol import Protocol
from mistudio_pipelines_tests.local_hub.repositories import (
    LFS_SUFFIXES,
    LFS_THRESHOLD,
    MAIN,
    Content,
    Kind,
    Repositories,
    Repository,
)
from mistudio_pipelines_tests.local_hub.requests import Exchange, Origin, Request, RequestLog
from mistudio_pipelines_tests.local_hub.transport import OriginServer

HOST = "127.0.0.1"
CLIENT_SETTINGS = ("HF_", "HUGGING", "TRANSFORMERS_OFFLINE", "DATASETS_", "XDG_CACHE_HOME")


class HubServer:
    """Two origins on this machine that speak the Hub's protocol.

    Args:
        folder: A folder of repositories to begin with.
        port: Port of the Hub; 0 takes a free one.
        cdn_port: Port of the second origin; 0 takes a free one.
        on_request: Called after each request.

    Attributes:
        faults: What goes wrong on purpose.
        protocol: `page_size` (entries in a page of a tree) and `links.lifetime` (seconds that a link to the second
            origin is good for) may be set.
    """

    def __init__(
        self,
        folder: str | Path | None = None,
        *,
        port: int = 0,
        cdn_port: int = 0,
        on_request: Callable[[Exchange], None] | None = None,
    ) -> None:
        self.faults = Faults()
        self.protocol = Protocol(Repositories(), self.faults)
        self._log = RequestLog()
        self._ports: dict[Origin, int] = {"hub": port, "cdn": cdn_port}
        self._servers: list[OriginServer] = []
        self._on_request = on_request
        for found in read_folder(Path(folder)) if folder is not None else ():
            self.add_repository(found.id, found.files, kind=found.kind, revision=found.revision)

    # Running

    def start(self) -> None:
        """Listen, on the same ports as before where it was stopped."""
        if self._servers:
            return
        try:
            self._listen("hub", self.protocol.answer_hub)
            self._listen("cdn", self.protocol.answer_cdn)
        except OSError:
            self.stop()
            raise
        self.protocol.endpoint = self.endpoint
        self.protocol.cdn_endpoint = self.cdn_endpoint

    def _listen(self, origin: Origin, answer: Callable[[Question], Answer]) -> None:
        address = (HOST, self._ports[origin])
        server = OriginServer(address, origin, answer, self.faults, self._log, self._on_request)
        self._servers.append(server)
        self._ports[origin] = server.port

    def stop(self) -> None:
        """Stop listening and break open connections; content, faults and the record of requests stay."""
        for server in self._servers:
            server.stop()
        self._servers.clear()

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    @property
    def endpoint(self) -> str:
        """The address for HF_ENDPOINT."""
        return f"http://{HOST}:{self._ports['hub']}"

    @property
    def cdn_endpoint(self) -> str:
        """The address of the second origin, to which LFS files redirect."""
        return f"http://{HOST}:{self._ports['cdn']}"

    def environment(self, home: str | Path, token: str | None = None) -> dict[str, str]:
        """Environment variables for a child process whose Hugging Face libraries shall use this Hub.

        Args:
            home: Folder for all that they cache.
            token: The token they find.
        """
        inherited = {name: value for name, value in os.environ.items() if not name.startswith(CLIENT_SETTINGS)}
        settings = {
            "HF_ENDPOINT": self.endpoint,
            "HF_HOME": str(home),
            "HF_HUB_DISABLE_TELEMETRY": "1",
            "HF_HUB_DISABLE_PROGRESS_BARS": "1",
            "HF_UPDATE_DOWNLOAD_COUNTS": "0",  # `datasets` else asks an address on the internet
        }
        return {**inherited, **settings, **({"HF_TOKEN": token} if token else {})}

    # Content

    def add_repository(
        self,
        repository_id: str,
        files: Mapping[str, Content],
        kind: Kind = "dataset",
        revision: str = MAIN,
        *,
        gated: bool | Literal["auto", "manual"] = False,
        private: bool = False,
        lfs_threshold: int = LFS_THRESHOLD,
        lfs_suffixes: Sequence[str] = LFS_SUFFIXES,
    ) -> str:
        """Add a repository, or a branch to one that exists, and return the commit's id.

        Args:
            repository_id: `namespace/name`, or a name alone.
            files: Bytes, or a path that is hashed once and served from disk.
            kind: `dataset` or `model`.
            revision: A branch, also `refs/convert/parquet`.
            gated: Whether files are for granted tokens only.
            private: Whether the repository is there for granted tokens only.
            lfs_threshold: Files from this size on are in LFS.
            lfs_suffixes: Names that are in LFS whatever their size.
        """
        repository = Repository(kind, repository_id, private, gated, lfs_threshold, tuple(lfs_suffixes))
        return self.protocol.repositories.add(repository, files, revision)

    def commit(
        self, repository_id: str, files: Mapping[str, Content | None], branch: str = MAIN, kind: Kind = "dataset"
    ) -> str:
        """Add a commit to a branch (None deletes a file) and return its id; older commits stay readable."""
        return self.protocol.repositories.commit(kind, repository_id, files, branch)

    def tag(self, repository_id: str, name: str, revision: str = MAIN, kind: Kind = "dataset") -> None:
        """Tag a commit."""
        self.protocol.repositories.tag(kind, repository_id, name, revision)

    def move_repository(self, old_id: str, new_id: str, kind: Kind = "dataset") -> None:
        """Rename a repository; its old name redirects."""
        self.protocol.repositories.move(kind, old_id, new_id)

    def remove_repository(self, repository_id: str, kind: Kind = "dataset") -> None:
        """Take a repository off the Hub."""
        self.protocol.repositories.remove(kind, repository_id)

    def allow(self, token: str, repositories: Iterable[str] = ()) -> None:
        """Make a token known; it may read these gated and private repositories."""
        known = self.protocol.tokens.get(token, frozenset())
        self.protocol.tokens[token] = known | frozenset(repositories)

    def revoke(self, token: str) -> None:
        """Make a token invalid."""
        self.protocol.tokens.pop(token, None)

    # What was asked

    @property
    def requests(self) -> list[Request]:
        """Every request so far, in the order in which they began, also those still going on."""
        return self._log.snapshot()

    def bytes_served(self, path_pattern: str = "*") -> int:
        """Bytes of bodies sent for the paths that fit the pattern."""
        return sum(request.bytes_sent for request in self._log.snapshot(path_pattern))

    def largest_number_at_once(self, path_pattern: str = "*") -> int:
        """How many of the fitting requests went on at the same time at most."""
        return self._log.largest_number_at_once(path_pattern)

    def clear_requests(self) -> None:
        """Forget the requests so far."""
        self._log.clear()


def _print_request(exchange: Exchange) -> None:
    answer = f"{exchange.status or 'cut':>4} {exchange.bytes_sent:>14,} B"
    print(f"{exchange.origin} {answer}  {exchange.method} {exchange.path}", flush=True)


def _arguments() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m mistudio_pipelines_tests.hub_server",
        description="Serve a folder of repositories as the Hugging Face Hub would, on this machine.",
    )
    parser.add_argument("folder", type=Path, help="holds datasets/NAMESPACE/NAME/… and models/NAMESPACE/NAME/…")
    parser.add_argument("--port", type=int, default=0, help="port of the Hub (default: a free one)")
    parser.add_argument("--bytes-per-second", type=float, help="send each file at this speed, to watch a download")
    parser.add_argument("--gated", action="append", default=[], metavar="ID", help="make a repository gated")
    parser.add_argument("--token", action="append", default=[], help="a token that may read the gated repositories")
    parser.add_argument("--quiet", action="store_true", help="do not print requests")
    return parser


def _hub_of_folder(parser: argparse.ArgumentParser, options: argparse.Namespace) -> HubServer:
    """The Hub that the command line describes, not yet listening."""
    if not options.folder.is_dir():
        parser.error(f"{options.folder} is not a folder")
    if options.bytes_per_second is not None and options.bytes_per_second <= 0:
        parser.error("--bytes-per-second must be more than 0")
    hub = HubServer(options.folder, port=options.port, on_request=None if options.quiet else _print_request)
    repositories = {repository.id: repository for repository in hub.protocol.repositories}
    if not repositories:
        parser.error(f"{options.folder} has no datasets/NAMESPACE/NAME or models/NAMESPACE/NAME folder")
    unknown = sorted(set(options.gated) - set(repositories))
    if unknown:
        parser.error(f"--gated names no repository of the folder: {', '.join(unknown)}")
    for repository_id in options.gated:
        repositories[repository_id].gated = True
    for token in options.token:
        hub.allow(token, options.gated)
    if options.bytes_per_second:
        hub.faults.slow("*", options.bytes_per_second)
    return hub


def main(arguments: Sequence[str] | None = None) -> None:
    """Serve a folder of repositories until interrupted."""
    parser = _arguments()
    options = parser.parse_args(arguments)
    ended = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: ended.set())
    hub = _hub_of_folder(parser, options)
    try:
        hub.start()
    except (OSError, OverflowError) as error:
        parser.exit(1, f"The local Hub cannot listen on port {options.port}: {error}.\n")
    with hub:
        for repository in hub.protocol.repositories:
            print(f"{repository.kind} {repository.id} ({', '.join(repository.references)})")
        print(f"export HF_ENDPOINT={hub.endpoint}", flush=True)
        ended.wait()


if __name__ == "__main__":
    main()
