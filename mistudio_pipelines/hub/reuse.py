"""Which files of a dataset on disk spare a newer revision the download.

What does not belong here: fetching or linking them (`hub/download.py` takes the result as `reuse`).
"""

from __future__ import annotations

from pathlib import Path

from mistudio_pipelines.store.manifest import Manifest


def unchanged_originals(folder: Path, manifest: Manifest) -> dict[str, Path]:
    """Files that are still the Hub's bytes, by `RemoteFile.content_hash`.

    Args:
        folder: The raw folder.
        manifest: Its manifest.
    """
    found: dict[str, Path] = {}
    for file in manifest.files:
        if len(file.origins) == 1 and file.origins[0].unchanged:
            origin = file.origins[0]
            if origin.sha256 is not None:
                found[f"sha256:{origin.sha256}"] = folder / file.path
            if origin.git_sha1 is not None:
                found[f"git:{origin.git_sha1}"] = folder / file.path
    return found
