"""What lies on disk: ids, paths, records, manifests, atomic writes, free space, locks, deletion.

Knows nothing of Dagster, the Hub or tokenizers. Every path of the data folder is made in `layout.py`.
"""
