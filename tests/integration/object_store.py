"""An S3-compatible server on this machine, for tests of object storage."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager

BUCKET = "bucket"


@contextmanager
def object_store() -> Iterator[dict[str, str]]:
    """Run moto's server with one empty bucket. Yields the environment variables that clients need."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # moto's dependencies warn
        from moto.server import ThreadedMotoServer

        server = ThreadedMotoServer("127.0.0.1", port=0, verbose=False)
        server.start()
    host, port = server.get_host_and_port()
    variables = {
        "AWS_ENDPOINT_URL": f"http://{host}:{port}",
        "AWS_REGION": "us-east-1",
        "AWS_ACCESS_KEY_ID": "name",
        "AWS_SECRET_ACCESS_KEY": "secret",
    }
    try:
        make_bucket(variables)
        yield variables
    finally:
        server.stop()


def make_bucket(variables: dict[str, str]) -> None:
    """Make the bucket. kpray itself never makes one."""
    from pyarrow import fs

    fs.S3FileSystem(
        access_key=variables["AWS_ACCESS_KEY_ID"],
        secret_key=variables["AWS_SECRET_ACCESS_KEY"],
        endpoint_override=variables["AWS_ENDPOINT_URL"],
        region=variables["AWS_REGION"],
        allow_bucket_creation=True,
        request_timeout=60,  # the server loads half a hundred services at its first request
    ).create_dir(BUCKET)
