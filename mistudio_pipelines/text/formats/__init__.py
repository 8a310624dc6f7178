"""Files of every accepted format, read as a stream of Arrow tables in bounded memory.

`reader.py` is the way in. Nothing here writes, knows of a data folder, or trusts a name or a size that a file claims.
"""
