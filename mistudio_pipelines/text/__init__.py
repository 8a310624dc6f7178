"""Turns files of any format into samples, and samples into statistics, an index and pages to browse.

Knows nothing of Dagster or the Hub.
"""
