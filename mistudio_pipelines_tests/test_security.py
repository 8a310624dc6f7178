"""What must not be in the code, and what must not be readable by others."""

from __future__ import annotations

import os
import re
import shlex
import stat
import subprocess
import sys
from pathlib import Path

import pytest

PROJECT = Path(__file__).parents[1]
PACKAGE = PROJECT / "mistudio_pipelines"
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


@pytest.mark.parametrize("line", ["export HF_TOKEN={}", 'token = "{}"', "curl https://me:{}@example.org"])
def test_the_lint_step_finds_a_token_in_any_file(tmp_path: Path, line: str) -> None:
    """With the options of the Makefile; that it finds none in ours is the lint step itself."""
    (options,) = re.findall(
        r"detect-secrets-hook (.*?)(?=\n\t[A-Z$]|\n\n)", (PROJECT / "Makefile").read_text(), re.DOTALL
    )
    file = tmp_path / "notes.txt"
    file.write_text(line.format("hf_" + "aBcDeFgHiJ" * 4) + "\n")
    command = [Path(sys.executable).parent / "detect-secrets-hook", *shlex.split(options.replace("\\\n", " ")), file]
    done = subprocess.run(command, cwd=PROJECT, capture_output=True, text=True)
    assert (done.returncode, str(file) in done.stdout) == (1, True), done.stdout + done.stderr


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
