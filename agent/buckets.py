"""Objects of S3-compatible buckets, streamed into the content store. Needs the extra `s3` (obstore).

Which buckets, at which address, is the operator's to say; the keys are the agent's own: AWS_ACCESS_KEY_ID,
AWS_SECRET_ACCESS_KEY and the others that the AWS documents, from the agent's environment. No task sees them.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

from agent.blobs import Blob, BlobStore
from agent.inputs import Nowhere
from bus.errors import ApiError
from bus.refusal import quote, refusal

CONNECT_TIMEOUT_S = 10


class S3Buckets:
    """`allowed`: BUCKET, or BUCKET/PREFIX, that tasks may have objects of. `endpoint`: "" for AWS itself."""

    def __init__(self, allowed: Sequence[str], *, endpoint: str = "") -> None:
        self._allowed = tuple(allowed)
        self._endpoint = endpoint

    async def take(self, bucket: str, key: str, store: BlobStore, *, pin: str) -> Blob:
        """The object, in the store under `pin`.

        Raises Nowhere (E_NOT_FOUND), ApiError: E_FORBIDDEN, E_EXTRA, E_SPACE, E_UNAVAILABLE where it is away.
        """
        if not any(_covers(each, f"{bucket}/{key}") for each in self._allowed):
            hint = "its operator names buckets in the setting agent.buckets"
            got = quote(f"s3://{bucket}/{key}")
            raise ApiError(refusal("E_FORBIDDEN", "this node gives no such object", got=got, hint=hint))
        source = self._open(bucket)
        from obstore import get_async
        from obstore.exceptions import BaseError, NotFoundError, PermissionDeniedError, UnauthenticatedError

        try:
            found = await get_async(source, key)
            with await asyncio.to_thread(store.receive, found.meta["size"]) as incoming:
                async for piece in found.stream():
                    await asyncio.to_thread(incoming.write, bytes(piece))
                return await asyncio.to_thread(incoming.finish, pin=pin)
        except (NotFoundError, FileNotFoundError) as error:
            got = quote(f"s3://{bucket}/{key}")
            raise Nowhere(refusal("E_NOT_FOUND", "no such object", got=got)) from error
        except (PermissionDeniedError, UnauthenticatedError, PermissionError) as error:
            message = "the bucket refuses the keys of this node's agent"
            raise ApiError(refusal("E_FORBIDDEN", message, got=quote(f"s3://{bucket}"))) from error
        except (BaseError, OSError) as error:
            raise ApiError(refusal("E_UNAVAILABLE", f"s3://{bucket}: {error}"[:200])) from error

    def _open(self, bucket: str) -> Any:
        store_class = installed()
        if store_class is None:
            raise ApiError(refusal("E_EXTRA", "this node's agent cannot read buckets"))
        timeouts: dict[str, Any] = {"connect_timeout": f"{CONNECT_TIMEOUT_S} seconds", "timeout": "1 day"}
        options: dict[str, Any] = {"client_options": timeouts}
        if self._endpoint:
            options["endpoint"] = self._endpoint
            timeouts["allow_http"] = self._endpoint.startswith("http://")
        return store_class(bucket, **options)


def installed() -> Any:
    """The client's class; None where the extra is not installed."""
    try:
        from obstore.store import S3Store
    except ImportError:
        return None
    return S3Store


def _covers(allowed: str, path: str) -> bool:
    return path == allowed or path.startswith(f"{allowed.rstrip('/')}/")
