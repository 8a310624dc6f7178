"""The REST API of the datasets panel: a FastAPI application over the Python API, with no logic of its own.

Reading asks the same functions as the `mistudio` command; what changes anything is a job of Dagster. What belongs
here: requests, answers, their errors and their security. What does not: pages (`panel/`), anything about datasets.
"""
