"""`mistudio delete` and `mistudio storage`: what takes room, and getting it back."""

from __future__ import annotations

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
        table = make_table("id", "name", "deletes", "bytes", "used by", right=("bytes",))
        for plan in plans:
            what = tokenization or ", ".join(["raw", "index", *plan.stored.tokenized])
            users = ", ".join((*plan.users, *(f"run {run[:8]}" for run in plan.active_runs)))
            table.add_row(plan.dataset_id, plan.name, what, format_bytes(plan.bytes), users)
        print_table(table)
        if dry_run:
            return
        if not yes and click.prompt(f"Type {len(plans)} to delete {len(plans)} of them", default="") != str(len(plans)):
            raise MistudioError(ErrorCode.NOT_CONFIRMED, "Nothing was deleted.", "Confirm it, or use `--yes`.")
        for plan in plans:
            freed = delete_dataset(instance, store, plan, cancel_runs=cancel_runs)
            click.echo(f"Deleted {plan.dataset_id}: {format_bytes(freed)} are free again.")


@click.command()
@json_option
def storage(*, as_json: bool) -> None:
    """Show what every dataset takes on disk, and the free space."""
    from mistudio_pipelines.progress import format_bytes
    from mistudio_pipelines.store.deletion import stored_bytes
    from mistudio_pipelines.store.records import read_all_records
    from mistudio_pipelines.store.space import free_bytes

    store = open_store()
    stored = [(record, stored_bytes(store, record.id)) for record in read_all_records(store)]
    free = free_bytes(store.root)
    if as_json:
        print_json(
            {
                "free_bytes": free,
                "datasets": [
                    {
                        "id": record.id,
                        "name": record.name,
                        "raw_bytes": one.raw,
                        "index_bytes": one.index,
                        "tokenized_bytes": one.tokenized,
                        "total_bytes": one.total,
                    }
                    for record, one in stored
                ],
            }
        )
        return
    table = make_table("id", "name", "raw", "index", "tokenized", "total", right=("raw", "index", "tokenized", "total"))
    for record, one in sorted(stored, key=lambda pair: -pair[1].total):
        sizes = (one.raw, one.index, sum(one.tokenized.values()), one.total)
        table.add_row(record.id, record.name, *(format_bytes(size) for size in sizes))
    print_table(table)
    click.echo(f"{format_bytes(free)} are free.")


COMMANDS = [delete, storage]
