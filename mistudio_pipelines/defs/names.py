"""One place for every name that other tools read: run tags, metadata keys, asset and job names.

The metadata keys are the fields of the PRD's dataset record, so that a materialization carries the whole record.
"""

from __future__ import annotations

GROUP = "datasets"
OWNER = "team:datasets"
DOWNLOAD_POOL = "download"

# Jobs
ADD_DATASET_JOB = "add_dataset"
DOWNLOAD_JOB = "download"
INGEST_JOB = "ingest"
TOKENIZE_JOB = "tokenize"
OBSERVE_REVISIONS_JOB = "observe_revisions"
VERIFY_FILES_JOB = "verify_files"
SAVE_TOKENIZATION_JOB = "save_tokenization"
DELETE_DATASETS_JOB = "delete_datasets"
BROWSE_SAMPLES_JOB = "browse_samples"

# Run tags
DATASET_TAG = "mistudio/dataset_id"
PROGRESS_TAG = "mistudio/progress"
PROGRESS_DATA_TAG = "mistudio/progress_data"
ERROR_TAG = "mistudio/error"
ERROR_CODE_TAG = "mistudio/error_code"
# What a run says of itself while it goes on.
REPORTED_TAGS = (PROGRESS_TAG, PROGRESS_DATA_TAG, ERROR_TAG, ERROR_CODE_TAG)
# Dagster hides tags that begin so from people and tools; it is of use to run monitoring only.
WORKER_TAG = ".dagster/mistudio_worker"
ATTEMPT_TAG = "mistudio/attempt"
USES_DATASET_TAG = "mistudio/uses_dataset"
DELETES_TAG = "mistudio/deletes"
# On a run of `download`: fetch the newest revision of the repository instead of the one that the dataset has.
UPDATE_TAG = "mistudio/update"

# Metadata of materializations
STATUS = "status"
NAME = "name"
SOURCE = "source"
SIZE_BYTES = "size_bytes"
FILE_PATH = "file_path"
TOKENIZED_PATH = "tokenized_path"
NUM_SAMPLES = "num_samples"
NUM_TOKENS = "num_tokens"
VOCAB_SIZE = "vocab_size"
AVG_SEQUENCE_LENGTH = "avg_sequence_length"
REVISION = "revision"
CREATED_AT = "created_at"
ROW_COUNT = "dagster/row_count"
UNCHANGED = "unchanged"
