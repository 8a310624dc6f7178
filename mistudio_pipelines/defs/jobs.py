"""The jobs: what a person or a tool launches, with the forms (config) that the launchpad shows.

What belongs here: jobs, ops and their config. What they do lies in `registration.py`, `deletion.py` and below.
"""

import dagster as dg
from dagster._core.definitions.unresolved_asset_job_definition import UnresolvedAssetJobDefinition
from pydantic import Field

from mistudio_pipelines.defs import names
from mistudio_pipelines.defs.browsing import browse_samples_job
from mistudio_pipelines.defs.deletion import delete, plan_deletion
from mistudio_pipelines.defs.descriptions import deletion_metadata, plan_metadata
from mistudio_pipelines.defs.forms import SaveTokenizationConfig, preset_from_form
from mistudio_pipelines.defs.operation import operation
from mistudio_pipelines.defs.resources import DataStoreResource, HuggingFaceHub
from mistudio_pipelines.errors import ErrorCode, MistudioError
from mistudio_pipelines.progress import format_bytes

download_job = dg.define_asset_job(
    names.DOWNLOAD_JOB,
    # Every byte was just verified while it was written; the check that reads it all again is for later, on demand.
    selection=dg.AssetSelection.assets("raw").without_checks(),
    description="Download (or convert) one dataset. Starts by itself after a dataset was added; start it again to "
    "retry: it continues where it stopped.",
)
ingest_job = dg.define_asset_job(
    names.INGEST_JOB,
    selection=dg.AssetSelection.assets("statistics", "sample_index"),
    description="Statistics and sample index of one dataset, in one pass. Starts by itself after a download.",
)
tokenize_job = dg.define_asset_job(
    names.TOKENIZE_JOB,
    selection=dg.AssetSelection.assets("tokenized"),
    description="Tokenize one dataset with one saved preset. Choose both in the partition picker; over GraphQL set "
    "the tags `dagster/partition/dataset` and `dagster/partition/tokenization`.",
)


observe_revisions_job = dg.define_asset_job(
    names.OBSERVE_REVISIONS_JOB,
    selection=dg.AssetSelection.assets("hub_revision"),
    description="Ask the Hub for the newest commit of one dataset; where it is newer, `raw` is shown as out of date.",
)

verify_files_job = dg.define_asset_job(
    names.VERIFY_FILES_JOB,
    selection=dg.AssetSelection.checks(dg.AssetCheckKey(dg.AssetKey("raw"), "raw_files_intact")),
    description="Read every raw file of one dataset again and compare it with its hash; changes nothing.",
)


class AddDatasetConfig(dg.Config):
    """The form for adding a dataset."""

    repository: str = Field(
        default="", description="Id on the Hugging Face Hub, for example roneneldan/TinyStories. Empty for local files."
    )
    paths: list[str] = Field(
        default_factory=list,
        description="Local files or folders instead (.csv .tsv .json .jsonl .txt .parquet .arrow, also .gz .zst).",
    )
    config: str = Field(default="", description="Config of the repository; empty: its only or default one.")
    splits: list[str] = Field(default_factory=list, description="Splits to take; empty: all.")
    revision: str = Field(default="", description="Branch, tag or commit; empty: the default branch.")
    text_column: str = Field(default="", description="Column that holds the text; empty: found by itself.")
    name: str = Field(default="", description="What to call the dataset; empty: the repository's or file's name.")
    token_name: str = Field(
        default="",
        description="NAME of the secret to use (an environment variable, or a file in the secrets folder), never the "
        "token itself; empty: HF_TOKEN or the login made with `hf auth login`.",
    )
    allow_large: bool = Field(default=False, description="Allow a dataset of 100 GB or more.")
    strict: bool = Field(
        default=False, description="Refuse invalid UTF-8 in files instead of replacing and counting it."
    )
    size_limit_bytes: int = Field(
        default=0, ge=0, description="Refuse local files of more bytes than this; 0: no limit."
    )
    tokenizations: list[str] = Field(
        default_factory=list, description="Saved presets to tokenize the dataset with as soon as it is there."
    )
    dry_run: bool = Field(default=False, description="Only validate and show the plan; add nothing.")


@dg.op(
    name="validate_and_register",
    description="Validate a dataset, plan what it needs, register it. Its download then starts by itself.",
    out=dg.Out(str, description="The id of the dataset; empty for a dry run."),
)
def validate_and_register(
    context: dg.OpExecutionContext, config: AddDatasetConfig, data_store: DataStoreResource, hub: HuggingFaceHub
) -> dg.Output[str]:
    """Add one dataset."""
    store = data_store.open()
    with operation(context, "adding a dataset") as step:
        from mistudio_pipelines.adding import AddRequest, plan_adding
        from mistudio_pipelines.defs.registration import register_dataset

        request = AddRequest(
            repository=config.repository.strip() or None,
            paths=tuple(config.paths),
            config=config.config or None,
            splits=tuple(config.splits),
            revision=config.revision or None,
            text_column=config.text_column or None,
            name=config.name or None,
            token_name=config.token_name or None,
            allow_large=config.allow_large,
            strict=config.strict,
            tokenizations=tuple(config.tokenizations),
            size_limit_bytes=config.size_limit_bytes or None,
        )
        plan = plan_adding(
            store, request, lambda token_name: hub.client(store, token_name), on_progress=step.on_progress
        )
        for warning in plan.warnings:
            context.log.warning(warning)
        if config.dry_run:
            return dg.Output("", metadata=plan_metadata(plan))
        record = register_dataset(context.instance, store, plan)
        context.instance.add_run_tags(context.run.run_id, {names.DATASET_TAG: record.id})
        context.log.info(f"Added {record.name} as {record.id}; its download starts by itself.")
    return dg.Output(record.id, metadata={"dataset_id": record.id, **plan_metadata(plan)})


@dg.job(
    name=names.ADD_DATASET_JOB,
    description="Add a dataset from the Hugging Face Hub or from local files: fill in the form and launch. It is "
    "validated before anything is downloaded; then its download, statistics and index start by themselves.",
)
def add_dataset_job() -> None:
    """One op."""
    validate_and_register()


@dg.op(
    name="validate_and_save",
    description="Validate a tokenization preset against its tokenizer and save it.",
    out=dg.Out(str, description="The name of the preset."),
)
def validate_and_save(
    context: dg.OpExecutionContext, config: SaveTokenizationConfig, data_store: DataStoreResource, hub: HuggingFaceHub
) -> dg.Output[str]:
    """Save one preset."""
    store = data_store.open()
    with operation(context, "saving a tokenization"):
        from mistudio_pipelines.defs.registration import register_preset

        hub.prepare(store)
        preset = register_preset(context.instance, store, preset_from_form(config.model_dump()))
    return dg.Output(preset.name, metadata={"preset": dg.MetadataValue.json(preset.model_dump(mode="json"))})


@dg.job(
    name=names.SAVE_TOKENIZATION_JOB,
    description="Save a tokenization preset (tokenizer, context size, special tokens …) under a name. It can then be "
    "used on any dataset: materialize `tokenized` for that pair, or launch the job `tokenize`.",
)
def save_tokenization_job() -> None:
    """One op."""
    validate_and_save()


class DeleteDatasetsConfig(dg.Config):
    """The form for deleting datasets."""

    dataset_ids: list[str] = Field(description="Ids of the datasets to delete.")
    confirm: list[str] = Field(
        default_factory=list,
        description="The same ids again, to confirm. Without it only what would be deleted is shown.",
    )
    tokenization: str = Field(
        default="", description="Delete only this tokenization of the datasets; empty: the datasets with everything."
    )
    cancel_runs: bool = Field(default=False, description="Cancel runs that are working on them; else they are refused.")


@dg.op(
    name="delete",
    description="Show what a deletion removes and, where it is confirmed, delete it.",
    out=dg.Out(int, description="Bytes freed; 0 where it was not confirmed."),
)
def delete_op(
    context: dg.OpExecutionContext, config: DeleteDatasetsConfig, data_store: DataStoreResource
) -> dg.Output[int]:
    """Delete datasets."""
    store = data_store.open()
    with operation(context, "deletion"):
        plans = [
            plan_deletion(context.instance, store, dataset_id, config.tokenization or None)
            for dataset_id in dict.fromkeys(config.dataset_ids)
        ]
        metadata = deletion_metadata(plans)
        if not config.confirm:
            context.log.info("Nothing was deleted: repeat the ids under `confirm` to delete them.")
            return dg.Output(0, metadata=metadata)
        if sorted(set(config.confirm)) != sorted(set(config.dataset_ids)):
            raise MistudioError(
                ErrorCode.NOT_CONFIRMED,
                "The ids under `confirm` are not the ids under `dataset_ids`.",
                "Repeat exactly the ids that are to be deleted.",
            )
        freed = sum(delete(context.instance, store, plan, cancel_runs=config.cancel_runs) for plan in plans)
        context.log.info(f"Deleted {len(plans)} dataset(s); {format_bytes(freed)} are free again.")
    return dg.Output(freed, metadata={"bytes_freed": freed, **metadata})


@dg.job(
    name=names.DELETE_DATASETS_JOB,
    description="Delete datasets with their files, index, tokenizations, runs and partitions. Launch it once without "
    "`confirm` to see what would go and how many bytes; repeat the ids under `confirm` to delete.",
)
def delete_datasets_job() -> None:
    """One op."""
    delete_op()


JOBS: list[dg.JobDefinition | UnresolvedAssetJobDefinition] = [
    download_job,
    ingest_job,
    tokenize_job,
    observe_revisions_job,
    verify_files_job,
    add_dataset_job,
    save_tokenization_job,
    delete_datasets_job,
    browse_samples_job,
]
