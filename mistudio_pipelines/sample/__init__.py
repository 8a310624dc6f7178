"""The sample dataset and its small tokenizer that ship with the project (data only)."""
