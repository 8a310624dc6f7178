"""`mistudio watch`, `retry`, `update`, `cancel`: following and steering what is done to a dataset."""

from __future__ import annotations

import click

from mistudio_pipelines.commands.datasets import print_plan
from mistudio_pipelines.commands.following import follow_to_end
from mistudio_pipelines.commands.session import open_client, open_instance, open_store
from mistudio_pipelines.errors import ErrorCode, MistudioError


@click.command()
@click.argument("dataset_ids", nargs=-1)
def watch(dataset_ids: tuple[str, ...]) -> None:
    """Follow datasets (all that are being worked on, or those named) until they are ready or in error."""
    from mistudio_pipelines.defs.status import list_datasets

    store = open_store()
    with open_instance(store) as instance:
        overviews = list_datasets(instance, store)
    known = {one.record.id for one in overviews}
    for dataset_id in dataset_ids:
        if dataset_id not in known:
            raise MistudioError(
                ErrorCode.UNKNOWN_DATASET, f"There is no dataset {dataset_id}.", "`mistudio list` shows the datasets."
            )
    busy = [one.record.id for one in overviews if one.status.status in ("downloading", "ingesting", "tokenizing")]
    chosen = list(dataset_ids) or busy
    if not chosen:
        click.echo("Nothing is being worked on.")
        return
    follow_to_end(store, chosen)


@click.command()
@click.argument("dataset_id")
@click.option("--watch", "watch_it", is_flag=True, help="Follow it until it is ready.")
def retry(dataset_id: str, *, watch_it: bool) -> None:
    """Continue whatever failed for a dataset, where it stopped."""
    from mistudio_pipelines.defs.retrying import retry_request
    from mistudio_pipelines.defs.status import show_dataset

    store = open_store()
    with open_instance(store) as instance:
        request = retry_request(show_dataset(instance, store, dataset_id))
    run_id = open_client(store).launch(request.job, tags=request.tags)
    click.echo(f"Started run {run_id[:8]} of job {request.job}.")
    if watch_it:
        follow_to_end(store, [dataset_id])


@click.command()
@click.argument("dataset_id")
@click.option("--dry-run", is_flag=True, help="Only show what would be fetched.")
@click.option("--watch", "watch_it", is_flag=True, help="Follow it until it is ready.")
def update(dataset_id: str, *, dry_run: bool, watch_it: bool) -> None:
    """Fetch the newest revision of a Hub dataset; files that did not change are not fetched again."""
    from mistudio_pipelines.defs import names
    from mistudio_pipelines.defs.operation import require_dataset
    from mistudio_pipelines.defs.registration import register_update
    from mistudio_pipelines.defs.resources import HuggingFaceHub
    from mistudio_pipelines.defs.retrying import dataset_run
    from mistudio_pipelines.updating import plan_update

    store = open_store()
    with open_instance(store) as instance:
        record = require_dataset(instance, store, dataset_id)
    plan = plan_update(store, record, lambda token_name: HuggingFaceHub().client(store, token_name))
    if plan is None:
        click.echo(f"Dataset {dataset_id} has the newest revision ({record.revision[:12]}).")
        return
    print_plan(plan, as_json=False)
    if dry_run:
        return
    client = open_client(store)
    register_update(store, plan, record.revision)
    request = dataset_run(names.DOWNLOAD_JOB, dataset_id)
    run_id = client.launch(request.job, tags=request.tags)
    click.echo(f"Started run {run_id[:8]}: {record.revision[:12]} → {plan.record.revision[:12]}.")
    if watch_it:
        follow_to_end(store, [dataset_id])


@click.command()
@click.argument("dataset_id")
def cancel(dataset_id: str) -> None:
    """Stop what is being done to a dataset; what is there is kept and `mistudio retry` continues it."""
    from mistudio_pipelines.defs.deletion import runs_of_dataset

    store = open_store()
    with open_instance(store) as instance:
        active = [run.run_id for run in runs_of_dataset(instance, dataset_id) if not run.is_finished]
    if not active:
        click.echo("Nothing is being done to it.")
        return
    client = open_client(store)
    for run_id in active:
        client.cancel(run_id)
        click.echo(f"Stopped run {run_id[:8]}.")


COMMANDS = [watch, retry, update, cancel]
