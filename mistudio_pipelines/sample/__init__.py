"""The sample dataset and its small tokenizer that ship with the project, and the script that made them."""
