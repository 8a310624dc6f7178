"""The panel's own files: style, script, htmx. They are few and small, so they are kept in memory.

Not starlette's mount: below the prefix of a proxy that takes its prefix away, mounted paths are not found.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from functools import cache
from importlib.resources import files

from fastapi import APIRouter, Request
from starlette.exceptions import HTTPException
from starlette.responses import Response

router = APIRouter(include_in_schema=False)

_TYPES = {
    "panel.css": "text/css; charset=utf-8",
    "panel.js": "text/javascript; charset=utf-8",
    "upload.js": "text/javascript; charset=utf-8",
    "icon.svg": "image/svg+xml",
    "htmx.min.js": "text/javascript; charset=utf-8",
}
_FOLDERS = {"htmx.min.js": "static/vendor"}


@dataclass(frozen=True)
class _File:
    content: bytes
    version: str


@cache
def _read(name: str) -> _File:
    folder = files("mistudio_pipelines.panel").joinpath(_FOLDERS.get(name, "static"))
    content = folder.joinpath(name).read_bytes()
    return _File(content, hashlib.sha256(content).hexdigest()[:12])


def static_version(name: str) -> str:
    """What changes with the content of a file."""
    return _read(name).version


@router.get("/static/{name}")
async def get_static(request: Request, name: str) -> Response:
    """One of the files; kept by browsers for ever where its address names this version of it."""
    if name not in _TYPES:
        raise HTTPException(404)
    file = _read(name)
    is_pinned = request.query_params.get("v") == file.version
    headers = {
        "Cache-Control": "public, max-age=31536000, immutable" if is_pinned else "no-cache",
        "ETag": f'"{file.version}"',
    }
    if request.headers.get("If-None-Match") == headers["ETag"]:
        return Response(status_code=304, headers=headers)
    return Response(file.content, media_type=_TYPES[name], headers=headers)
