"""Tests of the `mistudio` command."""
