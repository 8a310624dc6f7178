"""End-to-end tests with live processes: a real daemon, webserver and code server on a temporary Dagster home."""
