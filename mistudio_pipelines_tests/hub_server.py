"""A Hugging Face Hub on this machine: what the tests download from, and a way to try the product offline.

What belongs here: the two origins together, the interface for tests, and the command line. The content is in
`hub_repositories.py`, the answers in `hub_protocol.py`, the wire in `hub_transport.py`, what goes wrong on purpose in
`hub_faults.py`.

By hand: `python -m mistudio_pipelines_tests.hub_server FOLDER --port 8100`.
"""

from __future__ import annotations

import argparse
import threading
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Literal, Self

from mistudio_pipelines_tests.hub_faults import Exchange, Faults, Request, RequestLog
from mistudio_pipelines_tests.hub_protocol import Protocol
from mistudio_pipelines_tests.hub_repositories import (
    LFS_SUFFIXES,
    LFS_THRESHOLD,
    MAIN,
    Content,
    Kind,
    Repositories,
    Repository,
    read_folder,
)
from mistudio_pipelines_tests.hub_transport import OriginServer

HOST = "127.0.0.1"


class HubServer:
    """Two origins on this machine that speak the Hub's protocol.

    Args:
        folder: A folder of repositories to begin with (`hub_repositories.read_folder` says how it is laid out).
        port: Port of the Hub; 0 takes a free one.
        cdn_port: Port of the second origin; 0 takes a free one.
        on_request: Called after each request.

    Attributes:
        faults: What goes wrong on purpose.
        protocol: `page_size` (entries in a page of a tree) and `link_lifetime` (seconds that a link to the second
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
        self._ports = {"hub": port, "cdn": cdn_port}
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
            for name, answer in (("hub", self.protocol.answer_hub), ("cdn", self.protocol.answer_cdn)):
                address = (HOST, self._ports[name])
                server = OriginServer(address, name, answer, self.faults, self._log, self._on_request)  # type: ignore[arg-type]  # a literal
                self._servers.append(server)
                self._ports[name] = server.server_port
        except OSError:
            self.stop()
            raise
        self.protocol.endpoint = self.endpoint
        self.protocol.cdn_endpoint = self.cdn_endpoint

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

    # What was asked

    @property
    def requests(self) -> list[Request]:
        """Every request so far, in the order in which they began."""
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
    print(
        f"{exchange.origin} {exchange.status} {exchange.bytes_sent:>12,} B {exchange.method} {exchange.path}",
        flush=True,
    )


def main(arguments: Sequence[str] | None = None) -> None:
    """Serve a folder of repositories until interrupted."""
    parser = argparse.ArgumentParser(prog="python -m mistudio_pipelines_tests.hub_server", description=__doc__)
    parser.add_argument("folder", type=Path, help="holds datasets/NAMESPACE/NAME/… and models/NAMESPACE/NAME/…")
    parser.add_argument("--port", type=int, default=0, help="port of the Hub (default: a free one)")
    parser.add_argument("--bytes-per-second", type=float, help="send files at this speed, to watch a download")
    parser.add_argument("--gated", action="append", default=[], metavar="ID", help="make a repository gated")
    parser.add_argument("--token", action="append", default=[], help="a token that may read gated repositories")
    parser.add_argument("--quiet", action="store_true", help="do not print requests")
    options = parser.parse_args(arguments)
    if not options.folder.is_dir():
        parser.error(f"{options.folder} is not a folder")
    try:
        hub = HubServer(options.folder, port=options.port, on_request=None if options.quiet else _print_request)
        hub.start()
    except OSError as error:
        parser.exit(1, f"The Hub cannot start: {error}\n")
    with hub:
        repositories = list(hub.protocol.repositories)
        for repository in repositories:
            repository.gated = repository.id in options.gated
            print(f"{repository.kind} {repository.id} ({', '.join(repository.references)})")
        for token in options.token:
            hub.allow(token, [repository.id for repository in repositories])
        if options.bytes_per_second:
            hub.faults.slow("*", options.bytes_per_second)
        print(f"export HF_ENDPOINT={hub.endpoint}", flush=True)
        try:
            threading.Event().wait()
        except KeyboardInterrupt:
            print()


if __name__ == "__main__":
    main()
