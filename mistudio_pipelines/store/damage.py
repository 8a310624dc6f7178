"""The mark on a finished folder that a verification found damaged: from then on it is in error until made again.

The mark lies inside the folder (raw files, index, or one tokenization), so that a new copy comes without it.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from mistudio_pipelines.store.atomic import write_json

MARK_NAME = "damaged.json"


def mark_damaged(folder: Path, problems: Sequence[str]) -> None:
    """Mark a finished folder as damaged, or take the mark away where nothing is wrong.

    Args:
        folder: The folder.
        problems: What is wrong with its files, as sentences.
    """
    if problems:
        write_json(folder / MARK_NAME, {"problems": list(problems)})
    else:
        (folder / MARK_NAME).unlink(missing_ok=True)


def is_damaged(folder: str | Path) -> bool:
    """True where a verification found the files damaged."""
    return Path(folder, MARK_NAME).exists()
