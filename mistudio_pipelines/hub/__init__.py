"""Reads what a repository of the Hugging Face Hub holds and fetches it, verified and resumable.

Knows nothing of Dagster. What a file's rows mean is `text/`; where files lie is `store/`.
"""
