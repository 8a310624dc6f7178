"""The configuration files of Dagster's instance (data only; the files at the top level link here)."""
