"""Serving the application on a port. What belongs here: the web server's settings. What does not: endpoints."""

from __future__ import annotations

from mistudio_pipelines.api.settings import ApiSettings

_MOST_CONNECTIONS = 500
_SECONDS_TO_FINISH = 3


def serve(settings: ApiSettings, host: str, port: int) -> None:
    """Serve until the process is asked to end.

    Args:
        settings: Of the API.
        host: Address to listen on.
        port: Port to listen on.
    """
    import uvicorn

    from mistudio_pipelines.api.application import build_application

    uvicorn.run(
        build_application(settings),
        host=host,
        port=port,
        log_level="warning",
        # Addresses of requests may hold what people search for.
        access_log=False,
        server_header=False,
        proxy_headers=False,
        limit_concurrency=_MOST_CONNECTIONS,
        timeout_graceful_shutdown=_SECONDS_TO_FINISH,
    )
