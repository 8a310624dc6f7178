"""What all answers have in common: the envelope, pages, and the run that a request started."""

from __future__ import annotations

from typing import Annotated, Generic, TypeVar

from pydantic import BaseModel, ConfigDict, Field

Item = TypeVar("Item")
LARGEST_PAGE = 100

DATASET_ID_PATTERN = r"^ds_[A-Za-z0-9_-]{1,117}$"
PRESET_PATTERN = r"^[A-Za-z0-9_-]{1,120}$"
SECRET_NAME_PATTERN = r"^[A-Za-z0-9_][A-Za-z0-9_-]{0,99}$"  # noqa: S105  (the form of a name, not a secret)

DatasetId = Annotated[str, Field(pattern=DATASET_ID_PATTERN, examples=["ds_tinystories_a1b2c3"])]
PresetName = Annotated[str, Field(pattern=PRESET_PATTERN, examples=["gpt2-1024"])]
SecretName = Annotated[str, Field(pattern=SECRET_NAME_PATTERN, examples=["HF_TOKEN_WORK"])]


class Strict(BaseModel):
    """A request body: fields that nobody knows are mistakes."""

    model_config = ConfigDict(extra="forbid")


class Pagination(BaseModel):
    """Where a page stands."""

    page: int = Field(examples=[1])
    limit: int = Field(examples=[50])
    total: int = Field(examples=[5])
    has_next: bool = Field(examples=[False])
    has_prev: bool = Field(examples=[False])

    @classmethod
    def of(cls, page: int, limit: int, total: int) -> Pagination:
        """The pagination of one page of a list."""
        return cls(page=page, limit=limit, total=total, has_next=page * limit < total, has_prev=page > 1 and total > 0)


class Answer(BaseModel, Generic[Item]):
    """One thing."""

    data: Item


class Listing(BaseModel, Generic[Item]):
    """All things of a kind."""

    data: list[Item]


class Paged(BaseModel, Generic[Item]):
    """A page of things."""

    data: list[Item]
    pagination: Pagination


class StartedRun(BaseModel):
    """A run of Dagster that was started."""

    job_id: str = Field(description="Id of the run; `GET /api/jobs/{job_id}` tells how it stands.")
    job: str = Field(description="Name of the job.", examples=["download"])
    message: str = Field(description="What was started, for people.", examples=["The download goes on."])


class JobState(BaseModel):
    """How a run of Dagster stands."""

    job_id: str
    job: str = Field(examples=["add_dataset"])
    status: str = Field(
        description="Dagster's word: QUEUED, STARTING, STARTED, SUCCESS, FAILURE, CANCELING, CANCELED …",
        examples=["STARTED"],
    )
    finished: bool
    dataset_id: str | None = Field(description="The dataset that it works on or has added.")
    progress: float | None = Field(description="Percent, where it is known.")
    detail: str | None = Field(examples=["45% 1.2 GB of 2.6 GB 14 MB/s 1m40s left"])
    seconds_left: float | None
    error_code: str | None
    error_message: str | None


class Health(BaseModel):
    """What this server is and may do."""

    version: str = Field(examples=["0.1.0"])
    dagster_url: str | None = Field(description="Where Dagster's own pages are; null where it does not run.")
    read_only: bool
    local_paths: bool = Field(description="Whether files of this machine may be added by their path.")
    downloads_per_hour: int = Field(description="Downloads that may be started in an hour; 0: any number.")
    upload_limit_bytes: int = Field(examples=[10_000_000_000])
    free_bytes: int
