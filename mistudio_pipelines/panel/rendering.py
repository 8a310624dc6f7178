"""Templates and what every page of the panel has: addresses, theme, what the server allows.

What belongs here: making HTML of a template. What does not: what is in it (`views/`), which page is asked for
(`routes/`). Everything is escaped unless a template says otherwise; texts of datasets never do.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from functools import cache
from typing import Any
from urllib.parse import quote, urlencode

import jinja2
from fastapi import Request
from fastapi.responses import HTMLResponse
from markupsafe import Markup, escape
from starlette.responses import RedirectResponse, Response

from mistudio_pipelines import __version__
from mistudio_pipelines.api.settings import ApiSettings
from mistudio_pipelines.panel.static_files import static_version
from mistudio_pipelines.progress import format_bytes

THEMES = ("dark", "light")
THEME_COOKIE = "theme"
_VISIBLE = {" ": "·", "\n": "↵\n", "\t": "⇥\t", "\r": "␍", "\xa0": "⍽"}


class Page:
    """What a template knows of the request it is made for.

    Args:
        request: The request.
    """

    def __init__(self, request: Request) -> None:
        settings: ApiSettings = request.app.state.context.settings
        theme = request.cookies.get(THEME_COOKIE, "")
        self.prefix = str(request.scope.get("root_path", "")).rstrip("/")
        self.theme = theme if theme in THEMES else ""
        self.read_only = settings.read_only
        self.local_paths = settings.local_paths
        self.upload_limit_bytes = settings.upload_limit_bytes
        self.version = __version__

    def url(self, path: str, **query: Any) -> str:
        """Address of a page below the prefix of a proxy; empty and absent values are left out of the query.

        Args:
            path: From the root of the panel, for example `/datasets`.
            query: Names and values; a list is repeated.
        """
        return self.prefix + address(path, query)

    def static(self, name: str) -> str:
        """Address of a file of ours, which changes with its content."""
        return self.url(f"/static/{name}", v=static_version(name))


def address(path: str, query: Mapping[str, Any]) -> str:
    """A path with a query; empty and absent values are left out."""
    given = [(name, value) for name, value in query.items() if value not in (None, "", [], ())]
    text = urlencode(given, doseq=True)
    return f"{quote(path)}?{text}" if text else quote(path)


def is_fragment(request: Request) -> bool:
    """True where a part of a page is asked for, not a whole one."""
    return request.headers.get("HX-Request") == "true" and "HX-History-Restore-Request" not in request.headers


def render(
    request: Request, template: str, status_code: int = 200, headers: Mapping[str, str] | None = None, **values: Any
) -> Response:
    """An answer made of a template.

    Args:
        request: The request.
        template: Name of the template.
        status_code: HTTP status.
        headers: Further headers.
        values: What the template shows.
    """
    content = environment().get_template(template).render(page=Page(request), **values)
    # Texts may be confidential, and what is shown is only true now. The same address gives pages and parts of them.
    common = {"Cache-Control": "no-store", "Vary": "HX-Request"}
    return HTMLResponse(content.encode("utf-8", "replace"), status_code, {**common, **(headers or {})})


def redirect(request: Request, path: str, **query: Any) -> Response:
    """To another page, after something was done."""
    return RedirectResponse(Page(request).url(path, **query), status_code=303)


@cache
def environment() -> jinja2.Environment:
    """The templates."""
    made = jinja2.Environment(
        loader=jinja2.PackageLoader("mistudio_pipelines.panel"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    made.filters.update(
        bytes=format_bytes,
        count=_count,
        when=format_time,
        iso=_iso,
        plural=plural,
        prose=prose,
        short=short_count,
        visible=visible,
    )
    return made


def format_time(moment: datetime) -> str:
    """A moment as people read it, UTC."""
    return f"{moment.astimezone(UTC):%-d %b %Y, %H:%M} UTC"


def plural(count: int, noun: str, many: str | None = None) -> str:
    """A number with its noun: `1 sample`, `2,000 samples`."""
    return f"{count:,} {noun if count == 1 else many or noun + 's'}"


def prose(text: str) -> Markup:
    """A sentence with its commands, which are between backquotes, as code; everything is escaped."""
    parts = [escape(part) for part in text.split("`")]
    if len(parts) % 2 == 0:  # one that nothing closes is only a character
        return escape(text)
    return Markup("").join(Markup("<code>{}</code>").format(part) if at % 2 else part for at, part in enumerate(parts))


def short_count(count: float) -> str:
    """A number in three digits: `950`, `54.2 M`."""
    for unit, size in ((" G", 1e9), (" M", 1e6), (" k", 1e3)):
        if count >= size * 0.9995 and count >= 10_000:
            return f"{count / size:.3g}{unit}" if count < size * 999.5 else f"{count / size:.0f}{unit}"
    return f"{count:,.0f}"


def visible(text: str) -> str:
    """A token whose white space and control characters can be seen."""
    return "".join(_VISIBLE.get(one) or (one if one.isprintable() else f"\\u{ord(one):04x}") for one in text)


def _count(value: float) -> str:
    return f"{value:,.1f}" if isinstance(value, float) and value != int(value) else f"{value:,.0f}"


def _iso(moment: datetime) -> str:
    return moment.astimezone(UTC).isoformat(timespec="seconds")
