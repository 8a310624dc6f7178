"""What every command needs: the data folder, the Dagster instance, the server, and how things are printed."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from mistudio_pipelines.errors import ErrorCode, MistudioError
from mistudio_pipelines.store.layout import DataStore

if TYPE_CHECKING:
    import dagster as dg
    from rich.table import Table

    from mistudio_pipelines.client import MistudioClient

json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON for other tools.")


def open_store() -> DataStore:
    """The data folder that was chosen with `--data` or MISTUDIO_DATA, else ./data."""
    chosen = click.get_current_context().find_root().obj
    return DataStore(Path(chosen or "data").expanduser().resolve())


def home_of(store: DataStore) -> Path:
    """The Dagster home of a data folder."""
    from mistudio_pipelines.defs.instance import home_folder

    return home_folder(store)


@contextmanager
def open_instance(store: DataStore) -> Iterator[dg.DagsterInstance]:
    """The Dagster instance; it must have been prepared with `mistudio up`."""
    from mistudio_pipelines.defs import instance

    with instance.open_instance(instance.home_folder(store)) as opened:
        yield opened


@contextmanager
def prepared_instance(store: DataStore) -> Iterator[dg.DagsterInstance]:
    """The Dagster instance, prepared where it is not yet: adding datasets needs no running server."""
    from mistudio_pipelines.defs import instance

    home = instance.home_folder(store)
    instance.prepare_home(home)
    with instance.open_instance(home) as opened:
        yield opened


def open_client(store: DataStore) -> MistudioClient:
    """A client of the webserver that `mistudio up` started.

    Raises:
        MistudioError: `server_unreachable`.
    """
    from mistudio_pipelines.claiming import does_not_answer
    from mistudio_pipelines.client import MistudioClient
    from mistudio_pipelines.serving import answers, find_installation

    server = find_installation(home_of(store))
    if server is not None and not answers(server.url):
        raise does_not_answer(server)
    if server is None:
        raise MistudioError(
            ErrorCode.SERVER_UNREACHABLE,
            "Dagster is not running for this data folder.",
            "Start it with `mistudio up` (in another terminal), then try again.",
        )
    return MistudioClient(server.url)


def print_json(value: Any) -> None:
    """Print a value as JSON on standard output."""
    click.echo(json.dumps(value, ensure_ascii=False, indent=2, default=str))


def print_table(table: Table) -> None:
    """Print a table as wide as the terminal, or as wide as it needs where the output is a file or a pipe."""
    from rich.console import Console

    console = Console()
    Console(width=None if console.is_terminal else 200).print(table)


def make_table(*columns: str, right: tuple[str, ...] = ()) -> Table:
    """A plain table.

    Args:
        *columns: Headings.
        right: Those whose values are numbers, aligned right.
    """
    from rich import box
    from rich.table import Table

    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for column in columns:
        table.add_column(column, justify="right" if column in right else "left", overflow="fold")
    return table
