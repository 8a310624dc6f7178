"""What Dagster sees, as a whole: it loads, it says what it is, and loading it is light."""

from __future__ import annotations

import subprocess
import sys

import dagster as dg
import pytest

from mistudio_pipelines.definitions import build_definitions, defs
from mistudio_pipelines.text.fingerprint import INDEX_CODE_VERSION, STATISTICS_CODE_VERSION
from mistudio_pipelines.tokenization.results import TOKENIZATION_CODE_VERSION

MADE_HERE = ("raw", "statistics", "sample_index", "tokenized")
HEAVY = ("datasets", "transformers", "tokenizers", "polars", "pandas", "pyarrow", "numpy", "tantivy", "huggingface_hub")


def _specs() -> dict[str, dg.AssetSpec]:
    return {spec.key.to_user_string(): spec for spec in defs.resolve_all_asset_specs()}


def test_the_definitions_load() -> None:
    dg.Definitions.validate_loadable(build_definitions())


def test_every_asset_says_what_it_is_to_whom_it_belongs_and_which_code_makes_it() -> None:
    specs = _specs()
    assert set(MADE_HERE) <= set(specs)
    for name in MADE_HERE:
        spec = specs[name]
        assert spec.description
        assert len(spec.description) > 80, name
        assert spec.kinds
        assert (spec.group_name, list(spec.owners), bool(spec.code_version)) == ("datasets", ["team:datasets"], True)


def test_code_versions_are_those_of_the_code_that_does_the_work() -> None:
    specs = _specs()
    assert specs["statistics"].code_version == STATISTICS_CODE_VERSION
    assert specs["sample_index"].code_version == INDEX_CODE_VERSION
    assert specs["tokenized"].code_version == TOKENIZATION_CODE_VERSION


def test_everything_below_raw_depends_on_it() -> None:
    specs = _specs()
    for name in ("statistics", "sample_index", "tokenized"):
        assert [dep.asset_key.to_user_string() for dep in specs[name].deps] == ["raw"]


@pytest.mark.parametrize(
    "job", ["add_dataset", "download", "ingest", "tokenize", "save_tokenization", "delete_datasets"]
)
def test_every_job_has_a_description_and_runs_in_one_process(job: str) -> None:
    definition = defs.resolve_job_def(job)
    assert definition.description
    assert definition.executor_def is dg.in_process_executor


def test_every_field_of_every_form_has_help() -> None:
    for job in ("add_dataset", "save_tokenization", "delete_datasets", "browse_samples"):
        (op,) = defs.resolve_job_def(job).nodes
        fields = op.definition.config_schema.config_type.fields  # type: ignore[union-attr]
        assert all(field.description for field in fields.values()), job


def test_only_raw_is_held_by_the_download_limit() -> None:
    pools = {node.name: node.definition.pool for node in defs.resolve_job_def("download").nodes}
    assert pools == {"raw": "download"}


def test_loading_the_definitions_imports_nothing_heavy() -> None:
    code = f"import sys, mistudio_pipelines.definitions; print([name for name in {HEAVY!r} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-W", "ignore", "-c", code], capture_output=True, text=True, timeout=120)
    assert done.stdout.strip() == "[]", done.stdout + done.stderr
