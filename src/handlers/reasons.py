"""Why a message failed, said on the message itself: a worker that gives one up writes it, `regulars dlq` reads it."""

from datetime import UTC, datetime
from typing import Any

from aws_lambda_powertools.utilities.data_classes.sqs_event import SQSRecord

from domain import limits

# Names of the attributes. What the message was called in its own queue, when it was first tried there and how often: all that
# ends with that queue.
REASON, FUNCTION, REQUEST = "reason", "function", "requestId"
MESSAGE, FIRST_TRIED_AT, TRIES = "messageId", "firstTriedAt", "tries"


def of(error: Exception, record: SQSRecord, context: Any) -> dict[str, str]:
    """What is to be known of a message that `error` ended: what it was, and where the log tells of it."""
    tried = datetime.fromtimestamp(int(record.attributes.approximate_first_receive_timestamp) / 1_000, UTC)
    return {
        REASON: text_of(error),
        FUNCTION: context.function_name,
        REQUEST: context.aws_request_id,
        MESSAGE: record.message_id,
        FIRST_TRIED_AT: tried.isoformat(timespec="milliseconds").replace("+00:00", "Z"),
        TRIES: record.attributes.approximate_receive_count,
    }


def text_of(error: Exception) -> str:
    """The kind of an error and what it says, on one line of `limits.FAILURE_REASON_LENGTH_MAX` characters at most.

    SQS takes only what XML takes, and an error may quote anything.
    """
    return on_one_line(f"{type(error).__name__}: {error}".removesuffix(": "))[: limits.FAILURE_REASON_LENGTH_MAX]


def on_one_line(text: str) -> str:
    """The text with whatever a screen would not show spelled out."""
    return "".join(each if each.isprintable() else each.encode("unicode_escape").decode() for each in text)
