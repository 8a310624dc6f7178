"""mistudio_pipelines: text datasets for sparse autoencoders on one modest machine.

Folders: `defs/` is everything that Dagster sees; `hub/` fetches repositories; `store/` is what lies on disk;
`text/` turns files into samples, statistics and an index; `tokenization/` turns samples into rows of tokens;
`commands/` is the `mistudio` command; `graphql/` holds the queries of other tools, `api/` is the REST API, `panel/`
the pages on it.
Nothing runs at import.
"""

__version__ = "0.1.0"
