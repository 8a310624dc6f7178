"""Adding datasets: from the Hub, from files of this machine, and by uploading a file."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, SecretStr, field_validator

from mistudio_pipelines.adding import AddRequest
from mistudio_pipelines.api.models.common import PresetName, SecretName, Strict

Word = Annotated[str, Field(min_length=1, max_length=255)]
RepositoryId = Annotated[str, Field(min_length=1, max_length=500, examples=["roneneldan/TinyStories"])]
LocalPath = Annotated[str, Field(min_length=1, max_length=1000)]


class _Choices(Strict):
    """What can be chosen for every dataset."""

    text_column: Word | None = Field(None, description="Column that holds the text; null: found by itself.")
    name: Word | None = Field(None, description="What to call it; null: the repository's or file's name.")
    tokenizations: list[PresetName] = Field(
        default=[], max_length=50, description="Saved presets to tokenize it with as soon as it is there."
    )


class _HubChoices(_Choices):
    repo_id: RepositoryId | None
    config: Word | None = Field(None, description="Config of the repository; null: its only or default one.")
    split: Word | None = Field(None, description="One split to take; the same as `splits` with one.")
    splits: list[Word] = Field(default=[], max_length=50, description="Splits to take; empty: all.")
    revision: Word | None = Field(None, description="Branch, tag or commit; null: the default branch.")
    token_name: SecretName | None = Field(
        None,
        description="NAME of the secret to use: an environment variable of the server, or a file in its secrets "
        "folder. Never a token itself. Null: `HF_TOKEN`, or the login made with `hf auth login`.",
    )
    allow_large: bool = Field(False, description="Allow a dataset of 100 GB or more.")

    @property
    def chosen_splits(self) -> tuple[str, ...]:
        """The splits of both fields."""
        return tuple(dict.fromkeys([*self.splits, *([self.split] if self.split else [])]))

    def to_request(self, paths: tuple[str, ...] = ()) -> AddRequest:
        """What is asked for, as adding a dataset takes it."""
        return AddRequest(
            repository=self.repo_id,
            paths=paths,
            config=self.config,
            splits=self.chosen_splits,
            revision=self.revision,
            text_column=self.text_column,
            name=self.name,
            token_name=self.token_name,
            allow_large=self.allow_large,
            tokenizations=tuple(self.tokenizations),
        )


class DownloadRequest(_HubChoices):
    """A repository of the Hub to download."""

    model_config = ConfigDict(
        extra="forbid", json_schema_extra={"examples": [{"repo_id": "roneneldan/TinyStories", "split": "train"}]}
    )

    repo_id: RepositoryId
    access_token: None = Field(
        None,
        description="Must be null: what is downloaded is run by Dagster, which stores what a run is given. Store the "
        "token as a secret on the server and give its name as `token_name`.",
    )


class PlanRequest(_HubChoices):
    """A dataset to look at before adding it: a repository of the Hub, or paths of this machine."""

    model_config = ConfigDict(
        extra="forbid", json_schema_extra={"examples": [{"repo_id": "roneneldan/TinyStories", "split": "train"}]}
    )

    repo_id: RepositoryId | None = None
    paths: list[LocalPath] = Field(default=[], max_length=100, description="Files or folders of this machine instead.")
    access_token: SecretStr | None = Field(
        None,
        max_length=4096,
        description="A token for this one request. It is kept in memory while the request lasts, sent to the Hub, and "
        "never stored or logged. The download itself needs `token_name`.",
    )

    @field_validator("access_token")
    @classmethod
    def _plain_characters(cls, value: SecretStr | None) -> SecretStr | None:
        secret = None if value is None else value.get_secret_value()
        if secret is not None and not (secret.isascii() and secret.isprintable() and " " not in secret):
            raise ValueError("a token is one line of plain characters")
        return value or None


class LocalRequest(_Choices):
    """Files or folders of this machine to add."""

    model_config = ConfigDict(
        extra="forbid", json_schema_extra={"examples": [{"paths": ["/home/me/texts.jsonl"], "name": "My texts"}]}
    )

    paths: list[LocalPath] = Field(min_length=1, max_length=100)
    splits: list[Word] = Field(default=[], max_length=50, description="Splits to take; empty: all.")
    strict: bool = Field(False, description="Refuse invalid UTF-8 instead of replacing and counting it.")


class AddingPlan(BaseModel):
    """What adding a dataset would do."""

    name: str
    source: Literal["HuggingFace", "Local"]
    repository: str | None
    config: str | None
    available_configs: list[str]
    splits: list[str] = Field(description="Splits that would be taken.")
    available_splits: list[str]
    revision: str
    text_column: str
    license: str | None
    description: str | None
    files: int
    format: str = Field(examples=["parquet"])
    download_bytes: int
    pipeline_bytes: int = Field(description="What the whole pipeline is expected to need on disk.")
    free_bytes: int
    warnings: list[str]


class DownloadStarted(BaseModel):
    """A dataset that was added; its download is started by Dagster."""

    dataset_id: str = Field(examples=["ds_tinystories_a1b2c3"])
    status: Literal["downloading"] = "downloading"
    message: str = Field(examples=["Dataset download started."])


class DownloadMeta(BaseModel):
    """About the download."""

    job_id: str | None = Field(
        description="The run that downloads it, as soon as Dagster has started it (within seconds): `GET "
        "/api/datasets/{id}` shows it then. One dataset is downloaded at a time."
    )
    estimated_duration_seconds: float | None = Field(
        description="Null: how fast the line is shows only while it downloads; see `seconds_left` of the dataset."
    )
    download_bytes: int
    pipeline_bytes: int
    warnings: list[str]


class DownloadAnswer(BaseModel):
    """The answer to a download that was accepted."""

    data: DownloadStarted
    meta: DownloadMeta


class UploadRequest(_Choices):
    """A file that is going to be uploaded."""

    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra={"examples": [{"filename": "texts.jsonl", "size_bytes": 52_428_800, "name": "My texts"}]},
    )

    filename: Word = Field(description="What the file is called; only its ending (the format) matters.")
    size_bytes: int | None = Field(None, ge=0, le=2**53, description="Its bytes, where they are known.")
    strict: bool = Field(False, description="Refuse invalid UTF-8 instead of replacing and counting it.")


class Upload(BaseModel):
    """How an upload stands."""

    upload_id: str
    filename: str
    state: Literal["waiting", "receiving", "adding", "added", "failed"] = Field(
        description="waiting for the body; receiving it; adding: a run reads it; added: see dataset_id; failed."
    )
    received_bytes: int
    size_bytes: int | None
    progress: float | None = Field(description="Percent of the body that has arrived.")
    job_id: str | None = Field(description="The run of `add_dataset`.")
    dataset_id: str | None
    error_code: str | None
    error_message: str | None
