"""What must not be in the code, and what must not be readable by others."""

from __future__ import annotations

import os
import re
import stat
import subprocess
import sys
from pathlib import Path

import pytest

PROJECT = Path(__file__).parents[1]
PACKAGE = PROJECT / "mistudio_pipelines"
# Names of files that may hold bytes of any kind, or other people's texts.
_NOT_READ = {".parquet", ".gz", ".png", ".lock"}

FORBIDDEN = {
    "pickle is read": r"^\s*(import|from) (c?pickle|dill|joblib|cloudpickle|shelve|marshal)\b",
    "objects are read from arrays": r"allow_pickle\s*=\s*True",
    "code from repositories is run": r"trust_remote_code\s*=\s*(?!False)",
    "code is made from texts": r"(?<![\w.])(eval|exec)\(",
    "a shell reads a command": r"shell\s*=\s*True|os\.system\(",
    "yaml makes objects": r"yaml\.(unsafe_load|full_load|load)\(",
    "certificates are not checked": r"verify\s*=\s*False|_create_unverified_context",
    "archives are unpacked unseen": r"\.extractall\(|shutil\.unpack_archive",
}
SECRETS = [
    r"hf_(?![A-Za-z]*Token)[A-Za-z0-9]{30,}",  # the made-up ones of our tests say Token
    r"AKIA[0-9A-Z]{16}",
    r"gh[pousr]_[A-Za-z0-9]{30,}",
    r"xox[abpr]-[A-Za-z0-9-]{10,}",
    r"-----BEGIN [A-Z ]*PRIVATE KEY-----",
    r"https?://[^/\s:@\"'{}]+:[^/\s:@\"'{}$]+@(?!127\.0\.0\.1|localhost)",
]


def _modules() -> list[Path]:
    return sorted(PACKAGE.rglob("*.py"))


@pytest.mark.parametrize("what", FORBIDDEN)
def test_the_package_never_does(what: str) -> None:
    pattern = re.compile(FORBIDDEN[what], re.MULTILINE)
    found = [
        f"{path.relative_to(PROJECT)}: {match.group()}"
        for path in _modules()
        for match in pattern.finditer(path.read_text())
    ]
    assert found == []


def test_no_secret_is_in_any_file_of_the_project() -> None:
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=PROJECT, capture_output=True, check=False)
    if listed.returncode != 0:
        pytest.skip("not a clone")
    pattern = re.compile("|".join(SECRETS))
    found = []
    for name in filter(None, listed.stdout.decode().split("\0")):
        path = PROJECT / name
        if path.suffix in _NOT_READ or not path.is_file() or path.stat().st_size > 1_000_000:
            continue
        found += [f"{name}: {match.group()[:12]}..." for match in pattern.finditer(path.read_text(errors="replace"))]
    assert found == []


def test_what_is_written_is_not_for_everybody(tmp_path: Path) -> None:
    """Whatever the umask of the shell: nobody but the owner and the group reads texts, and only the owner writes."""
    code = """
import os, sys
os.umask(0)
from mistudio_pipelines.cli import main
sys.argv = ["mistudio", "add", sys.argv[1], "--name", "x"]
main()
"""
    source = tmp_path / "texts.jsonl"
    source.write_text('{"text": "one"}\n')
    environment = {**os.environ, "MISTUDIO_DATA": str(tmp_path / "data"), "DAGSTER_HOME": ""}
    done = subprocess.run([sys.executable, "-c", code, str(source)], env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    open_to_all = [
        f"{path} {stat.S_IMODE(path.stat().st_mode):o}"
        for path in (tmp_path / "data").rglob("*")
        if path.stat().st_mode & (stat.S_IRWXO | stat.S_IWGRP)
    ]
    assert open_to_all == []
