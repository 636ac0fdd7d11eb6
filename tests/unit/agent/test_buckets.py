"""Objects of buckets: streamed, whole or not there, and only those that the node's operator names."""

from __future__ import annotations

import hashlib
import os
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from agent.blobs import BlobStore
from agent.buckets import S3Buckets, installed
from agent.core.keeping import Limits
from agent.inputs import Nowhere
from bus.errors import ApiError
from tests.not_here import not_here
from tests.unit.agent.s3_server import KEY_ID, SECRET, S3Server, serving

LARGE = os.urandom(3 * 1024 * 1024)


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[S3Server]:
    if installed() is None:
        not_here("objects of buckets", "the extra s3 is not installed")
    for name, value in (("ACCESS_KEY_ID", KEY_ID), ("SECRET_ACCESS_KEY", SECRET), ("REGION", "eu-test-1")):
        monkeypatch.setenv(f"AWS_{name}", value)
    with serving() as made:
        made.objects["/models/team/resnet.bin"] = LARGE
        yield made


@pytest.fixture
def store(tmp_path: Path) -> Iterator[BlobStore]:
    made = BlobStore(tmp_path / "blobs")
    yield made
    made.close()


async def code(buckets: S3Buckets, store: BlobStore, bucket: str, key: str) -> str:
    with pytest.raises(ApiError) as refused:
        await buckets.take(bucket, key, store, pin="p")
    assert store.names == ()
    assert isinstance(refused.value, Nowhere) == (refused.value.error.code == "E_NOT_FOUND")
    return refused.value.error.code


async def test_an_object_is_in_the_store_whole(server: S3Server, store: BlobStore) -> None:
    buckets = S3Buckets(["models/team"], endpoint=server.url)
    blob = await buckets.take("models", "team/resnet.bin", store, pin="p")
    assert (blob.sha256, blob.size) == (hashlib.sha256(LARGE).hexdigest(), len(LARGE))
    assert store.pins(blob.sha256) == {"p"}
    assert SECRET not in repr(server.requests)


async def test_a_download_that_breaks_off_is_gone_on_with_or_refused(
    server: S3Server, store: BlobStore
) -> None:
    server.cut_after = 1_000_000
    buckets = S3Buckets(["models"], endpoint=server.url)
    try:
        blob = await buckets.take("models", "team/resnet.bin", store, pin="p")
    except ApiError as error:
        assert error.error.retryable and store.names == ()
    else:
        assert blob.sha256 == hashlib.sha256(LARGE).hexdigest()


async def test_only_what_the_operator_names(server: S3Server, store: BlobStore) -> None:
    server.objects["/models/team2/x"] = server.objects["/other/team/x"] = b"x"
    buckets = S3Buckets(["models/team", "exact/one"], endpoint=server.url)
    for bucket, key in (("models", "team2/x"), ("other", "team/x"), ("models", "tea"), ("exact", "one2")):
        assert await code(buckets, store, bucket, key) == "E_FORBIDDEN"
    assert server.requests == []
    assert await code(buckets, store, "models", "team/none") == "E_NOT_FOUND"


async def test_keys_that_are_refused(
    server: S3Server, store: BlobStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "wrong")
    buckets = S3Buckets(["models"], endpoint=server.url)
    assert await code(buckets, store, "models", "team/resnet.bin") == "E_FORBIDDEN"


async def test_a_full_store_and_a_missing_extra(
    server: S3Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    full = BlobStore(tmp_path / "full", limits=Limits(store=1000))
    buckets = S3Buckets(["models"], endpoint=server.url)
    assert await code(buckets, full, "models", "team/resnet.bin") == "E_SPACE"
    monkeypatch.setitem(sys.modules, "obstore.store", None)
    assert installed() is None
    with pytest.raises(ApiError) as refused:
        await buckets.take("models", "team/resnet.bin", full, pin="p")
    assert refused.value.error.code == "E_EXTRA" and "corral[s3]" in (
        refused.value.error.hint or "corral[s3]"
    )
    full.close()
