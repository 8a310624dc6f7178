"""The `mistudio` command: everything in a terminal that the Dagster UI offers, on the same instance and data.

What belongs here: the entry point and how errors are shown. The commands are in `commands/`, by subject.
"""

from __future__ import annotations

import json
import sys

import click

from mistudio_pipelines import __version__
from mistudio_pipelines.commands import (
    adoption,
    datasets,
    deletion,
    panel,
    pruning,
    runs,
    samples,
    server,
    tokenizations,
)
from mistudio_pipelines.errors import MistudioError
from mistudio_pipelines.processes import keep_files_private


@click.group(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 120})
@click.version_option(__version__, prog_name="mistudio")
@click.option(
    "--data",
    envvar="MISTUDIO_DATA",
    type=click.Path(file_okay=False),
    help="The data folder. [default: MISTUDIO_DATA, else ./data]",
)
@click.pass_context
def cli(context: click.Context, data: str | None) -> None:
    """Text datasets for sparse autoencoders: downloaded, verified, understood, searched, tokenized."""
    context.obj = data


for module in (server, panel, datasets, runs, samples, tokenizations, deletion, adoption, pruning):
    for command in module.COMMANDS:
        cli.add_command(command)


def main() -> None:
    """Run the command; an error is one sentence on standard error and exit code 1 (2 for wrong usage)."""
    keep_files_private()
    try:
        cli(standalone_mode=False)
    except MistudioError as error:
        _show_error(error)
        sys.exit(1)
    except click.ClickException as error:
        error.show()
        sys.exit(error.exit_code)
    except (click.Abort, KeyboardInterrupt):
        click.echo("Stopped.", err=True)
        sys.exit(130)
    except BrokenPipeError:  # the reader of our output went away (`| head`)
        sys.stderr.close()
        sys.exit(0)


def _show_error(error: MistudioError) -> None:
    if "--json" in sys.argv:
        click.echo(json.dumps({"error": error.as_dict()}, ensure_ascii=False), err=True)
    else:
        click.secho(f"Error: {error.message}", fg="red", err=True)
        if error.next_step:
            click.echo(error.next_step, err=True)
