"""`mistudio adopt`: datasets on disk are registered in Dagster's database again."""

from __future__ import annotations

import click

from mistudio_pipelines.commands.session import json_option, open_store, prepared_instance, print_json


@click.command()
@json_option
def adopt(*, as_json: bool) -> None:
    """Register datasets and presets that are on disk but unknown to Dagster, with all that is there of them.

    For a new database (a move to PostgreSQL, a lost one): nothing is downloaded or computed again. `mistudio up` does
    the same for datasets that are wholly unknown.
    """
    from mistudio_pipelines.defs.registration import adopt as register_all

    store = open_store()
    with prepared_instance(store) as instance:
        registered = register_all(instance, store)
    if as_json:
        print_json({"registered": registered})
    elif registered:
        for one in registered:
            click.echo(f"Registered {one}.")
    else:
        click.echo("Dagster knows everything that is on disk.")


COMMANDS = [adopt]
