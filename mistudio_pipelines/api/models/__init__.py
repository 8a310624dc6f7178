"""The schemas of requests and answers, with the examples that the documentation shows. Plain values, no logic."""
