"""Content that the local Hub's own tests share."""

from __future__ import annotations

from mistudio_pipelines_tests.hub_server import HubServer
from mistudio_pipelines_tests.local_hub.bare_client import ask, resolve

CONTENT = bytes(range(256)) * 1000
README = b"---\nlicense: mit\nconfigs:\n- config_name: default\n---\n# Hello\n"


def stock(hub: HubServer) -> None:
    """Add the dataset `user/name`: one file in LFS, two outside."""
    files = {"README.md": README, "data/train.parquet": CONTENT, "data/more/notes.txt": b"notes"}
    hub.add_repository("user/name", files)


def lfs_link(hub: HubServer) -> str:
    """Stock the Hub and return the link to its file in LFS, with a record of requests that begins now."""
    stock(hub)
    link = ask(resolve(hub, "data/train.parquet")).headers["location"]
    hub.clear_requests()
    return link
