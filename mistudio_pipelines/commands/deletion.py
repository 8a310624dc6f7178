"""`mistudio delete` and `mistudio storage`: what takes room, and getting it back."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from mistudio_pipelines.commands.session import (
    json_option,
    make_table,
    open_instance,
    open_store,
    print_json,
    print_table,
)
from mistudio_pipelines.errors import ErrorCode, MistudioError
from mistudio_pipelines.store.audit import write_audit

if TYPE_CHECKING:
    from mistudio_pipelines.store.deletion import StoredBytes
    from mistudio_pipelines.store.layout import DataStore
    from mistudio_pipelines.store.orphans import Orphan


@click.command()
@click.argument("dataset_ids", nargs=-1, required=True)
@click.option("--tokenization", help="Delete only this tokenization of them.")
@click.option("--cancel-runs", is_flag=True, help="Cancel runs that are working on them; else they are refused.")
@click.option("--dry-run", is_flag=True, help="Only show what would be deleted.")
@click.option("--yes", is_flag=True, help="Do not ask.")
def delete(
    dataset_ids: tuple[str, ...], *, tokenization: str | None, cancel_runs: bool, dry_run: bool, yes: bool
) -> None:
    """Delete datasets: files, index, tokenizations, runs and partition."""
    from mistudio_pipelines.defs.deletion import delete as delete_dataset
    from mistudio_pipelines.defs.deletion import plan_deletion
    from mistudio_pipelines.progress import format_bytes

    store = open_store()
    with open_instance(store) as instance:
        plans = [plan_deletion(instance, store, one, tokenization) for one in dict.fromkeys(dataset_ids)]
        table = make_table("id", "name", "raw", "index", "tokenizations", "frees", "used by", right=("frees",))
        for plan in plans:
            users = ", ".join((*plan.users, *(f"run {run[:8]}" for run in plan.active_runs)))
            whole = plan.preset is None
            variants = plan.stored.tokenized if whole else {plan.preset: plan.bytes}
            table.add_row(
                plan.dataset_id,
                plan.name,
                format_bytes(plan.stored.raw) if whole else "",
                format_bytes(plan.stored.index) if whole else "",
                ", ".join(f"{preset} {format_bytes(size)}" for preset, size in variants.items()),
                format_bytes(plan.bytes),
                users,
            )
        print_table(table)
        click.echo(f"{format_bytes(sum(plan.bytes for plan in plans))} would be free again.")
        if dry_run:
            return
        _confirm(f"Type {len(plans)} to delete {len(plans)} of them", str(len(plans)), yes=yes)
        for plan in plans:
            freed = delete_dataset(instance, store, plan, cancel_runs=cancel_runs)
            what = plan.dataset_id if plan.preset is None else f"tokenization {plan.preset} of {plan.dataset_id}"
            click.echo(f"Deleted {what}: {format_bytes(freed)} are free again.")


def _confirm(question: str, expected: str, *, yes: bool) -> None:
    if not yes and click.prompt(question, default="", show_default=False).strip() != expected:
        raise MistudioError(ErrorCode.NOT_CONFIRMED, "Nothing was deleted.", "Confirm it, or use `--yes`.")


@click.command()
@click.option("--clean", is_flag=True, help="Remove the orphans that are shown.")
@click.option("--yes", is_flag=True, help="Do not ask.")
@json_option
def storage(*, clean: bool, yes: bool, as_json: bool) -> None:
    """Show what every dataset takes on disk, the free space, and orphans: files that belong to nothing."""
    from mistudio_pipelines.progress import format_bytes
    from mistudio_pipelines.store.deletion import stored_bytes
    from mistudio_pipelines.store.orphans import find_orphans, remove_orphans
    from mistudio_pipelines.store.records import list_record_ids, read_record, stand_in_record
    from mistudio_pipelines.store.space import free_bytes

    def name_of(dataset_id: str) -> str:
        try:
            return read_record(store, dataset_id).name
        except MistudioError:
            return stand_in_record(store, dataset_id).name

    store = open_store()
    stored = {one: (name_of(one), stored_bytes(store, one)) for one in list_record_ids(store)}
    orphans = find_orphans(store, _registered_ids(store))
    if as_json:
        print_json(
            {
                "free_bytes": free_bytes(store.root),
                "datasets": [_stored_values(one, name, sizes) for one, (name, sizes) in stored.items()],
                "orphans": [
                    {"path": str(one.path), "kind": one.kind, "dataset_id": one.dataset_id, "bytes": one.bytes}
                    for one in orphans
                ],
            }
        )
    else:
        _print_stored(stored)
        _print_orphans(orphans, store.root)
    if clean and orphans:
        _confirm(f"Type {len(orphans)} to remove {len(orphans)} orphan(s)", str(len(orphans)), yes=yes)
        freed = remove_orphans(store, orphans)
        write_audit(store, "orphans_removed", None, paths=[str(one.path) for one in orphans], bytes_freed=freed)
        click.echo(f"Removed; {format_bytes(freed)} are free again.", err=as_json)
    if not as_json:
        click.echo(f"{format_bytes(free_bytes(store.root))} are free.")


def _registered_ids(store: DataStore) -> list[str]:
    """Datasets that Dagster knows: what they have is no orphan, even where a record was lost."""
    from mistudio_pipelines.defs.partitions import DATASETS

    try:
        with open_instance(store) as instance:
            return list(instance.get_dynamic_partitions(str(DATASETS.name)))
    except MistudioError as error:
        if error.code != ErrorCode.NO_DAGSTER_HOME:
            raise
        return []


def _stored_values(dataset_id: str, name: str, sizes: StoredBytes) -> dict[str, Any]:
    return {
        "id": dataset_id,
        "name": name,
        "raw_bytes": sizes.raw,
        "index_bytes": sizes.index,
        "tokenized_bytes": sizes.tokenized,
        "total_bytes": sizes.total,
    }


def _print_stored(stored: dict[str, tuple[str, StoredBytes]]) -> None:
    from mistudio_pipelines.progress import format_bytes

    table = make_table("id", "name", "raw", "index", "tokenized", "total", right=("raw", "index", "tokenized", "total"))
    for dataset_id, (name, one) in sorted(stored.items(), key=lambda item: -item[1][1].total):
        sizes = (one.raw, one.index, sum(one.tokenized.values()), one.total)
        table.add_row(dataset_id, name, *(format_bytes(size) for size in sizes))
    print_table(table)


def _print_orphans(orphans: list[Orphan], root: Path) -> None:
    from mistudio_pipelines.progress import format_bytes

    if not orphans:
        click.echo("There are no orphans.")
        return
    table = make_table("orphan", "of", "bytes", right=("bytes",))
    for one in orphans:
        shown = str(one.path.relative_to(root)).encode("ascii", "backslashreplace").decode()
        table.add_row(f"{one.kind}: {shown}", one.dataset_id or "", format_bytes(one.bytes))
    print_table(table)
    click.echo(f"{format_bytes(sum(one.bytes for one in orphans))} belong to nothing; `mistudio storage --clean`.")


COMMANDS = [delete, storage]
