"""The bucket to which files of members are uploaded. Who lends a signed address lends just this: to put one file, for an hour."""

from collections.abc import Callable, Iterator
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError

from domain import limits
from domain.lists import Failure, Upload
from domain.lists.store import Unusable
from domain.refusals import OutcomeUnknown
from handlers import aws

# Bytes that are read at a time.
_CHUNK_BYTES = 256 * 1024
# What S3 says of a file that is not the one that was there: another one, none.
_CHANGED = frozenset({"PreconditionFailed", "NoSuchKey", "InvalidRange"})


class Bucket:
    """`domain.lists.store.Uploads` in the S3 bucket `name`; its client is made when it is first needed."""

    def __init__(self, name: str, *, client: Callable[[], Any] | None = None) -> None:
        self._name = name
        self._make = client or connect
        self._made: Any = None

    def url(self, list_id: str) -> str:
        """A signed address for a put. It is good for `limits.LIST_UPLOAD_TTL`, or as long as the credentials that signed it."""
        # No form, which could bound the size: any tool can put a file, and its size is looked at before it is imported.
        signed: str = self._client.generate_presigned_url(
            "put_object", Params=self._place(list_id), ExpiresIn=int(limits.LIST_UPLOAD_TTL.total_seconds())
        )
        return signed

    def find(self, list_id: str) -> Upload | None:
        """The file as it is now. Refuses `OutcomeUnknown`."""
        # Listed by its name, which needs no permission to read what is in it.
        place = self._place(list_id)
        try:
            answer = self._client.list_objects_v2(Bucket=self._name, Prefix=place["Key"], MaxKeys=1)
        except (BotoCoreError, ClientError) as error:
            raise OutcomeUnknown("The bucket did not answer. Retry with the same key.") from error
        found = [each for each in answer.get("Contents", []) if each["Key"] == place["Key"]]
        return Upload(found[0]["ETag"], int(found[0]["Size"])) if found else None

    def read(self, list_id: str, upload: Upload, start: int, end: int) -> Iterator[bytes]:
        """The bytes of a file, a chunk at a time. Raises `Unusable` when it is another file by now, or none."""
        wanted = {"IfMatch": upload.tag, "Range": f"bytes={start}-{end - 1}"}
        try:
            answer = self._client.get_object(**self._place(list_id), **wanted)
        except ClientError as error:
            if error.response["Error"]["Code"] in _CHANGED:
                raise Unusable(Failure.CHANGED) from error
            raise
        yield from answer["Body"].iter_chunks(_CHUNK_BYTES)

    def _place(self, list_id: str) -> dict[str, str]:
        return {"Bucket": self._name, "Key": f"lists/{list_id}"}

    @property
    def _client(self) -> Any:
        if self._made is None:
            self._made = self._make()
        return self._made


def connect(**client_arguments: Any) -> Any:
    """A client of S3 whose signed addresses are good in every region, and ask nothing but the address of whoever uses them."""
    options = {
        "signature_version": "s3v4",
        "s3": {"addressing_style": "virtual"},
        "request_checksum_calculation": "when_required",
    }
    return aws.connect("s3", options=options, **client_arguments)
