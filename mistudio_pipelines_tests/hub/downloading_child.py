"""A process that downloads and may be killed: `python -m … FILES.json FOLDER ENDPOINT COMMIT REPOSITORY`.

Prints a line once the download has begun, and one when it is complete.
"""

import json
import sys
from pathlib import Path

from mistudio_pipelines.hub.client import HubClient
from mistudio_pipelines.hub.download import download_files
from mistudio_pipelines.hub.plan import RemoteFile
from mistudio_pipelines.store.layout import DataStore


def main() -> None:
    """Download what the arguments say."""
    files, folder, endpoint, commit, repository = sys.argv[1:]
    remotes = [RemoteFile(**values) for values in json.loads(Path(files).read_text())]
    client = HubClient(DataStore(Path(folder)), endpoint=endpoint)
    print("begun", flush=True)
    download_files(client, remotes, commit, repository, Path(folder, "files"), connections=3, floor_bytes=0)
    print("complete", flush=True)


if __name__ == "__main__":
    main()
