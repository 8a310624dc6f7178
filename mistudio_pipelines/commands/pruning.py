"""`mistudio prune`: Dagster's database stays small."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import click

from mistudio_pipelines.commands.session import home_of, open_instance, open_store


@click.command()
@click.option(
    "--older-than", "days", default=90, show_default=True, type=click.IntRange(1), help="Days for which all is kept."
)
@click.option("--dry-run", is_flag=True, help="Only say what would be removed.")
def prune(*, days: int, dry_run: bool) -> None:
    """Remove old runs and notes from Dagster's database; no dataset and nothing that says what is there is touched.

    What made the present files, the newest attempt at each of them and their newest checks stay however old they are.
    """
    from mistudio_pipelines.defs import pruning

    store = open_store()
    with open_instance(store) as instance:
        prunable = pruning.find_prunable(instance, datetime.now(UTC) - timedelta(days=days))
        runs, notes = len(prunable.run_ids), len(prunable.observations)
        if dry_run:
            click.echo(f"Would remove {runs:,} runs and {notes:,} notes that are older than {days} days.")
            return
        pruning.prune(instance, prunable)
    pruning.vacuum(home_of(store))
    click.echo(f"Removed {runs:,} runs and {notes:,} notes that were older than {days} days.")


COMMANDS = [prune]
