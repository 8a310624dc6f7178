"""`mistudio panel`: the REST API and the pages of the datasets panel alone, beside a Dagster that runs already."""

from __future__ import annotations

import click

from mistudio_pipelines.commands.session import home_of, open_store, prepared_instance


@click.command()
@click.option("--port", default=3001, show_default=True, type=click.IntRange(1, 65535), help="Port to listen on.")
@click.option("--host", default="127.0.0.1", show_default=True, help="Address to listen on. There is no login.")
@click.option(
    "--dagster-url", envvar="MISTUDIO_DAGSTER_URL", help="Dagster's webserver. [default: as `mistudio up` runs]"
)
@click.option("--allowed-host", "allowed_hosts", multiple=True, help="Host name to answer under; may be repeated.")
@click.option("--path-prefix", default="", help="Path below which a reverse proxy serves it, for example /mistudio.")
@click.option("--trust-forwarded-prefix", is_flag=True, help="Take the prefix from X-Forwarded-Prefix.")
@click.option("--read-only", is_flag=True, help="Only show datasets; refuse whatever changes anything.")
@click.option(
    "--downloads-per-hour", default=10, show_default=True, type=click.IntRange(0), help="Most downloads; 0: any number."
)
@click.option(
    "--upload-limit-bytes", default=10**10, show_default=True, type=click.IntRange(0), help="Largest uploaded file."
)
@click.option("--local-paths/--no-local-paths", default=True, show_default=True, help="Add files of this machine.")
def panel(
    *,
    port: int,
    host: str,
    dagster_url: str | None,
    allowed_hosts: tuple[str, ...],
    path_prefix: str,
    trust_forwarded_prefix: bool,
    read_only: bool,
    downloads_per_hour: int,
    upload_limit_bytes: int,
    local_paths: bool,
) -> None:
    """Serve the datasets panel and its REST API (/api/openapi.json); `mistudio up` does so too."""
    from mistudio_pipelines.api.server import serve
    from mistudio_pipelines.api.settings import ApiSettings

    store = open_store()
    with prepared_instance(store):
        settings = ApiSettings(
            data_folder=store.root,
            home=home_of(store),
            dagster_url=dagster_url,
            allowed_hosts=allowed_hosts,
            path_prefix=path_prefix.rstrip("/"),
            trust_forwarded_prefix=trust_forwarded_prefix,
            read_only=read_only,
            downloads_per_hour=downloads_per_hour,
            upload_limit_bytes=upload_limit_bytes,
            local_paths=local_paths,
        )
    click.echo(f"The panel is at http://{host}:{port}{settings.path_prefix}; Ctrl-C stops it.")
    serve(settings, host, port)


COMMANDS = [panel]
