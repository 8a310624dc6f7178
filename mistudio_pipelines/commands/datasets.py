"""`mistudio add`, `list`, `show`, `watch`, `retry`, `cancel`: the way of a dataset."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import click

from mistudio_pipelines.commands.following import follow_to_end
from mistudio_pipelines.commands.session import (
    json_option,
    make_table,
    open_instance,
    open_store,
    prepared_instance,
    print_json,
    print_table,
)
from mistudio_pipelines.errors import ErrorCode, MistudioError

if TYPE_CHECKING:
    from mistudio_pipelines.adding import AddPlan
    from mistudio_pipelines.defs.status import DatasetOverview
    from mistudio_pipelines.store.layout import DataStore


@click.command()
@click.argument("sources", nargs=-1, required=True)
@click.option("--config", help="Config of the repository.")
@click.option("--split", "splits", multiple=True, help="Split to take; may be repeated. [default: all]")
@click.option("--revision", help="Branch, tag or commit. [default: the default branch]")
@click.option("--text-column", help="Column that holds the text. [default: found by itself]")
@click.option("--name", help="What to call the dataset.")
@click.option("--token-name", help="NAME of the secret to use: an environment variable or a file in DATA/secrets.")
@click.option("--allow-large", is_flag=True, help="Allow a dataset of 100 GB or more.")
@click.option("--strict", is_flag=True, help="Refuse invalid UTF-8 instead of replacing and counting it.")
@click.option("--tokenize", "tokenizations", multiple=True, help="Saved preset to tokenize it with; may be repeated.")
@click.option("--size-limit", "size_limit_bytes", type=int, help="Refuse local files of more bytes than this.")
@click.option("--local", is_flag=True, help="SOURCES are paths, whatever they look like.")
@click.option("--dry-run", is_flag=True, help="Only validate and show the plan.")
@click.option("--watch", "watch_it", is_flag=True, help="Follow it until it is ready.")
@json_option
def add(sources: tuple[str, ...], *, local: bool, dry_run: bool, watch_it: bool, as_json: bool, **options: Any) -> None:
    """Add a dataset: a Hub id (roneneldan/TinyStories) or local files and folders (./texts.jsonl)."""
    from mistudio_pipelines.adding import AddRequest, looks_local, plan_adding
    from mistudio_pipelines.defs.registration import register_dataset
    from mistudio_pipelines.defs.resources import HuggingFaceHub

    is_local = local or all(looks_local(source) for source in sources)
    if not is_local and len(sources) > 1:
        raise MistudioError(
            ErrorCode.INVALID_CONFIG,
            "Give one Hub id, or only paths.",
            "Paths begin with ./ or / or end like data files; `--local` says that all are paths.",
        )
    request = AddRequest(repository=None if is_local else sources[0], paths=sources if is_local else (), **options)
    store = open_store()
    hub = HuggingFaceHub()
    plan = plan_adding(store, request, lambda token_name: hub.client(store, token_name))
    if dry_run:
        print_plan(plan, as_json=as_json)
        return
    with prepared_instance(store) as instance:
        record = register_dataset(instance, store, plan)
        if as_json:
            print_json({"id": record.id, "plan": _plan_values(plan)})
        else:
            print_plan(plan, as_json=False)
            click.secho(f"Added as {record.id}.", fg="green")
            click.echo(_what_happens_next(store))
        if watch_it:
            follow_to_end(store, [record.id])


def _what_happens_next(store: DataStore) -> str:
    from mistudio_pipelines.commands.session import home_of
    from mistudio_pipelines.serving import find_server

    server = find_server(home_of(store))
    if server is None:
        return "It will be downloaded as soon as Dagster runs: `mistudio up`."
    return f"Its download starts by itself; `mistudio watch` or {server.url} shows it."


def _plan_values(plan: AddPlan) -> dict[str, Any]:
    record = plan.record
    return {
        "name": record.name,
        "source": record.source,
        "repository": record.repository,
        "paths": list(record.paths),
        "config": record.config,
        "splits": list(record.splits or plan.available_splits),
        "available_splits": list(plan.available_splits),
        "revision": record.revision,
        "text_column": record.text_column,
        "license": record.license,
        "files": plan.file_count,
        "format": plan.file_format,
        "download_bytes": record.download_bytes,
        "pipeline_bytes": record.pipeline_bytes,
        "free_bytes": plan.free_bytes,
        "warnings": list(plan.warnings),
    }


def print_plan(plan: AddPlan, *, as_json: bool) -> None:
    """Print what adding or updating a dataset would do."""
    from mistudio_pipelines.progress import format_bytes

    values = _plan_values(plan)
    if as_json:
        print_json(values)
        return
    table = make_table("plan", "")
    for key in ("download_bytes", "pipeline_bytes", "free_bytes"):
        values[key.removesuffix("_bytes")] = format_bytes(values.pop(key))
    for key, value in values.items():
        if key != "warnings" and value not in (None, [], ""):
            table.add_row(key, ", ".join(map(str, value)) if isinstance(value, list) else str(value))
    print_table(table)
    for warning in plan.warnings:
        click.secho(warning, fg="yellow")


@click.command(name="list")
@click.option("--status", help="Only datasets with this status.")
@click.option("--source", type=click.Choice(["huggingface", "local"]), help="Only datasets from there.")
@click.option("--text", "contains", help="Only datasets whose name or id contains this.")
@json_option
def list_command(*, status: str | None, source: str | None, contains: str | None, as_json: bool) -> None:
    """List the datasets, most recent first."""
    from mistudio_pipelines.defs.status import list_datasets

    store = open_store()
    with open_instance(store) as instance:
        overviews = list_datasets(instance, store)
    chosen = [
        one
        for one in overviews
        if (status is None or one.status.status == status)
        and (source is None or one.record.source == source)
        and (contains is None or contains.lower() in f"{one.record.name} {one.record.id}".lower())
    ]
    if as_json:
        print_json([overview_values(one) for one in chosen])
    elif not overviews:
        click.echo("No datasets yet. Add one: `mistudio add roneneldan/TinyStories` or `mistudio add ./texts.jsonl`.")
    else:
        _print_list(chosen)


def _print_list(overviews: list[DatasetOverview]) -> None:
    from mistudio_pipelines.commands.following import status_line
    from mistudio_pipelines.progress import format_bytes

    table = make_table("id", "name", "source", "size", "status", "tokenizations", "added", right=("size",))
    for one in overviews:
        table.add_row(
            one.record.id,
            one.record.name,
            one.record.source,
            format_bytes(one.size_bytes),
            status_line(one.status),
            ", ".join(one.tokenizations),
            f"{one.record.created_at.astimezone():%Y-%m-%d %H:%M}",
        )
    print_table(table)


def overview_values(overview: DatasetOverview) -> dict[str, Any]:
    """A dataset as plain values for JSON output."""
    status = overview.status
    return {
        **overview.record.model_dump(mode="json"),
        "status": status.status,
        "detail": status.detail,
        "progress": status.percent,
        "error_message": status.error,
        "error_code": status.error_code,
        "next_step": status.next_step,
        "run_id": status.run_id,
        "size_bytes": overview.size_bytes,
        "tokenizations": list(overview.tokenizations),
    }


@click.command()
@click.argument("dataset_id")
@json_option
def show(dataset_id: str, *, as_json: bool) -> None:
    """Show one dataset: status, source, statistics, tokenizations."""
    from mistudio_pipelines.defs.deletion import users_of_dataset
    from mistudio_pipelines.defs.status import show_dataset

    store = open_store()
    with open_instance(store) as instance:
        overview = show_dataset(instance, store, dataset_id)
        users = users_of_dataset(instance, dataset_id)
    if as_json:
        statistics = store.statistics(dataset_id)
        import json

        values = overview_values(overview) | {"used_by": users}
        values["statistics"] = json.loads(statistics.read_text()) if statistics.exists() else None
        print_json(values)
    else:
        print_overview(store, overview, users)


def print_overview(store: DataStore, overview: DatasetOverview, users: Sequence[str] = ()) -> None:
    """Print a dataset with its statistics, where they are there, and who uses it from outside."""
    from mistudio_pipelines.commands.following import status_line
    from mistudio_pipelines.progress import format_bytes

    record, status = overview.record, overview.status
    table = make_table(record.name, "")
    rows = {
        "id": record.id,
        "status": status_line(status),
        "next step": status.next_step,
        "used by": ", ".join(users),
        "source": record.repository or ", ".join(record.paths),
        "config": record.config,
        "revision": record.revision,
        "text column": record.text_column,
        "license": record.license,
        "size": format_bytes(overview.size_bytes),
        "tokenizations": ", ".join(overview.tokenizations),
        **_statistics_rows(store, record.id),
    }
    for key, value in rows.items():
        if value:
            table.add_row(key, str(value))
    print_table(table)


def _statistics_rows(store: DataStore, dataset_id: str) -> dict[str, str]:
    if not store.statistics(dataset_id).exists():
        return {}
    from mistudio_pipelines.text.statistics_model import read_statistics

    total = (statistics := read_statistics(store, dataset_id)).total
    return {
        "samples": ", ".join(f"{split.samples:,} {name}" for name, split in statistics.splits.items()),
        "tokens": f"{total.tokens:,} (whitespace)",
        "tokens per sample": f"min {total.min_tokens:,}, median {total.median_tokens:,.0f}, "
        f"mean {total.mean_tokens:,.1f}, p95 {total.p95_tokens:,.0f}, max {total.max_tokens:,}",
        "vocabulary": f"{total.vocabulary:,} distinct words",
        "nulls, empties, duplicates": f"{total.nulls:,}, {total.empties:,}, {total.duplicates:,}",
    }


COMMANDS = [add, list_command, show]
