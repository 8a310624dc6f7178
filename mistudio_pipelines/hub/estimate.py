"""How much disk a dataset will need, guessed before it is downloaded.

What belongs here: one pure function and the measured shares that it uses. What does not: free space and refusals.
"""

from __future__ import annotations

import posixpath
from collections.abc import Sequence

# Measured on English text: zstd Parquet of the text itself 0.24-0.39, the search index 0.37, packed int32 ids of a
# byte-level BPE as zstd Parquet about 0.5 of the text's bytes. Rounded up: a refusal costs less than a full disk.
CANONICAL_SHARE = 0.4
INDEX_SHARE = 0.4
TOKENIZED_SHARE = 0.6
# Text in an archive or a compressed file, per byte of that file.
_EXPANSION = 4.0
_COMPRESSED_SUFFIXES = frozenset({".gz", ".zst", ".bz2", ".xz", ".lz4", ".zip"})
_COMPRESSED_FORMATS = frozenset({"parquet"})


def pipeline_bytes(
    download_bytes: int, file_format: str, paths: Sequence[str], *, text_share: float = 0.0, table_bytes: int = 0
) -> int:
    """Estimated bytes on disk while the whole pipeline runs: download, canonical Parquet, index, one tokenization.

    The text's size comes from the first Parquet footer where there is one, else from the sizes in the card, else from
    the format: a compressed file holds about four times its bytes.

    Args:
        download_bytes: Bytes of all files.
        file_format: Their format.
        paths: Their names, of which the suffixes say whether they are compressed.
        text_share: Uncompressed bytes of the text column per byte of file, from a Parquet footer; 0 if unknown.
        table_bytes: Bytes of the chosen splits as Arrow tables, from the card; 0 if unknown.
    """
    compressed = file_format in _COMPRESSED_FORMATS or any(
        posixpath.splitext(path)[1].lower() in _COMPRESSED_SUFFIXES for path in paths
    )
    all_bytes = max(float(table_bytes), download_bytes * (_EXPANSION if compressed else 1.0))
    text_bytes = download_bytes * text_share if text_share else (float(table_bytes) or all_bytes)
    # Parquet is kept or rewritten to at most its size; everything else becomes Parquet beside the download.
    canonical = download_bytes if file_format == "parquet" else all_bytes * CANONICAL_SHARE
    return int(download_bytes + canonical + text_bytes * (INDEX_SHARE + TOKENIZED_SHARE))
