"""`mistudio up` (everything on one machine) and `mistudio demo` (the sample through the whole pipeline)."""

from __future__ import annotations

import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

import click

from mistudio_pipelines.commands.session import home_of, open_store
from mistudio_pipelines.errors import MistudioError

if TYPE_CHECKING:
    import dagster as dg

    from mistudio_pipelines.serving import Services
    from mistudio_pipelines.store.layout import DataStore

SAMPLE_NAME = "State of the Union (sample)"
SAMPLE_PRESET = "sample-128"
_SAMPLE_CONTEXT_SIZE = 128

_port = click.option("--port", default=3000, show_default=True, type=click.IntRange(1, 65535), help="Port of the UI.")
_host = click.option("--host", default="127.0.0.1", show_default=True, help="Address the UI listens on.")
_panel_port = click.option(
    "--panel-port", type=click.IntRange(1, 65535), help="Port of the datasets panel. [default: the UI's port + 1]"
)


@click.command()
@_port
@_host
@_panel_port
def up(port: int, host: str, panel_port: int | None) -> None:
    """Start the Dagster UI, its daemon and the datasets panel for this data folder; they run until Ctrl-C."""
    with _installation(open_store(), host, port, panel_port) as services:
        if services is not None:
            _watch_until_stopped(services)


@click.command()
@_port
@_host
@_panel_port
@click.option("--exit", "exit_when_done", is_flag=True, help="Stop everything when the sample is through.")
def demo(port: int, host: str, panel_port: int | None, exit_when_done: bool) -> None:
    """Take the sample dataset through the whole pipeline, show its statistics, and leave the UI up."""
    from mistudio_pipelines.defs.instance import open_instance

    store = open_store()
    with _installation(store, host, port, panel_port) as services:
        with open_instance(home_of(store)) as instance:
            _run_sample(instance, store, services)
        if services is not None and not exit_when_done:
            _watch_until_stopped(services)


def _end_cleanly_when_terminated() -> None:
    """SIGTERM ends this command as Ctrl-C does: the services it started must not outlive it."""
    # Not by way of SIGINT: a shell without job control lets what it starts in the background ignore that.
    signal.signal(signal.SIGTERM, signal.default_int_handler)


@contextmanager
def _installation(store: DataStore, host: str, port: int, panel_port: int | None) -> Iterator[Services | None]:
    """Have the services run while the block does; None where somebody else's run already."""
    from mistudio_pipelines.claiming import claim_home
    from mistudio_pipelines.defs.recovery import recover_before_start
    from mistudio_pipelines.serving import Services

    _end_cleanly_when_terminated()
    home = home_of(store)
    with claim_home(home) as server:
        if server is not None:
            click.echo(f"Already running: the UI is at {server.url}.")
            yield None
            return
        for sentence in recover_before_start(store, home):
            click.echo(sentence)
        services = Services(home, store.root, host, port, panel_port or _port_beside(port))
        click.echo("Starting Dagster …")
        services.start()
        try:
            yield services
        finally:
            _stop(store, services)


def _port_beside(port: int) -> int:
    """The port after the UI's where nobody listens there, else any that is free."""
    from mistudio_pipelines.serving import free_port, port_is_free

    return port + 1 if port < 65535 and port_is_free("127.0.0.1", port + 1) else free_port()


def _watch_until_stopped(services: Services) -> None:
    click.echo(f"The datasets panel is at {services.panel_url}, Dagster at {services.url}; Ctrl-C stops both.")
    try:
        while True:
            services.watch()
            time.sleep(1)
    except KeyboardInterrupt:
        click.echo("Stopping …")


def _stop(store: DataStore, services: Services) -> None:
    from mistudio_pipelines.defs.recovery import settle_after_stop

    # A second Ctrl-C must not leave half of the services running.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    services.stop()
    settle_after_stop(home_of(store))


def _run_sample(instance: dg.DagsterInstance, store: DataStore, services: Services | None) -> None:
    from mistudio_pipelines.commands.datasets import print_overview
    from mistudio_pipelines.commands.following import follow
    from mistudio_pipelines.errors import ErrorCode

    dataset_id = _add_sample(instance, store)
    _retry_where_in_error(instance, store, dataset_id)
    watch = services.watch if services is not None else lambda: None
    ended = follow(instance, store, [dataset_id], tokenizations=[SAMPLE_PRESET], check=watch)
    for overview in ended:
        print_overview(store, overview)
        if overview.status.status != "ready":
            raise MistudioError(
                ErrorCode.RUN_FAILED,
                f"The sample did not become ready: {overview.status.error}",
                overview.status.next_step or "",
            )


def _retry_where_in_error(instance: dg.DagsterInstance, store: DataStore, dataset_id: str) -> None:
    """An earlier attempt may have ended in an error; whoever asks again wants it tried again."""
    from mistudio_pipelines.commands.session import open_client
    from mistudio_pipelines.defs.retrying import retry_request
    from mistudio_pipelines.defs.status import show_dataset

    overview = show_dataset(instance, store, dataset_id)
    if overview.status.status == "error":
        click.echo(f"Trying again after: {overview.status.error}")
        request = retry_request(overview)
        open_client(store).launch(request.job, tags=request.tags)


def _add_sample(instance: dg.DagsterInstance, store: DataStore) -> str:
    """Add the sample and its preset; the id of the one that is there already otherwise."""
    from importlib import resources
    from pathlib import Path

    from mistudio_pipelines.adding import AddRequest, plan_adding
    from mistudio_pipelines.defs.registration import register_dataset, register_preset
    from mistudio_pipelines.defs.resources import HuggingFaceHub
    from mistudio_pipelines.tokenization.presets import TokenizationPreset

    sample = Path(str(resources.files("mistudio_pipelines.sample")))
    hub = HuggingFaceHub()
    hub.prepare(store)
    register_preset(
        instance,
        store,
        TokenizationPreset(name=SAMPLE_PRESET, tokenizer=str(sample / "tokenizer"), context_size=_SAMPLE_CONTEXT_SIZE),
    )
    request = AddRequest(paths=(str(sample / "data"),), name=SAMPLE_NAME, tokenizations=(SAMPLE_PRESET,))
    try:
        plan = plan_adding(store, request, lambda token_name: hub.client(store, token_name))
    except MistudioError as error:
        if "dataset_id" in error.details:
            return str(error.details["dataset_id"])
        raise
    return register_dataset(instance, store, plan).id


COMMANDS = [up, demo]
