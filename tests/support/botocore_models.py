"""Lets botocore read its models once a process: a client that reads them takes 0.1 s."""

import functools

import botocore.session


def share() -> None:
    """Have all sessions of this process, and of those forked from it, load with one loader."""
    botocore.session.create_loader = functools.cache(botocore.session.create_loader)


def read() -> None:
    """Load what a client for S3 needs."""
    botocore.session.get_session().create_client("s3", region_name="us-east-1")
