"""The addresses of the pages, by topic."""
