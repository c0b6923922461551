"""The real template, deployed into a running MiniStack: created the first time, updated when it or the code changed."""

import hashlib
import json
import platform
import sys
from pathlib import Path
from typing import Any

import boto3
from botocore.exceptions import ClientError, WaiterError

from handlers.local import template
from handlers.local.home import LocalStackError

STACK = "regulars"
BUCKET = "regulars-artifacts"
TEMPLATE_KEY = "template.json"
FINGERPRINT_TAG = "regulars:fingerprint"
# CloudFormation of MiniStack is done in 2 to 3 s; asking each second is asking too seldom.
POLL_SECONDS = 0.2


def deployed(artifact: Path, client_arguments: dict[str, Any]) -> dict[str, str]:
    """Bring the stack up to date and give its outputs by name; nothing is touched when nothing changed."""
    cloudformation = boto3.client("cloudformation", **client_arguments)
    code = artifact.read_bytes()
    # The name tells versions apart, for CloudFormation looks at the address of the code and not into it.
    key = f"{hashlib.sha256(code).hexdigest()}.zip"
    chosen = _parameters()
    translated = template.translated(bucket=BUCKET, key=key, parameters=chosen)
    body = json.dumps(template.for_ministack(translated, chosen), sort_keys=True)
    parameters = [{"ParameterKey": name, "ParameterValue": value} for name, value in chosen.items()]
    fingerprint = hashlib.sha256(json.dumps([body, parameters]).encode()).hexdigest()
    stack = _stack(cloudformation)
    if stack is not None and stack["StackStatus"] == "ROLLBACK_COMPLETE":
        # A creation that failed leaves a stack that can only be deleted; it never held anything.
        cloudformation.delete_stack(StackName=STACK)
        cloudformation.get_waiter("stack_delete_complete").wait(
            StackName=STACK, WaiterConfig={"Delay": POLL_SECONDS, "MaxAttempts": 600}
        )
        stack = None
    if stack is None or {"Key": FINGERPRINT_TAG, "Value": fingerprint} not in stack["Tags"]:
        s3 = boto3.client("s3", **client_arguments)
        s3.create_bucket(Bucket=BUCKET)
        s3.put_object(Bucket=BUCKET, Key=key, Body=code)
        url = uploaded(body, client_arguments)
        deploy, waiter = (
            (cloudformation.create_stack, "stack_create_complete")
            if stack is None
            else (cloudformation.update_stack, "stack_update_complete")
        )
        deploy(
            StackName=STACK,
            TemplateURL=url,
            Parameters=parameters,
            Tags=[{"Key": FINGERPRINT_TAG, "Value": fingerprint}],
            Capabilities=["CAPABILITY_IAM"],
        )
        try:
            cloudformation.get_waiter(waiter).wait(
                StackName=STACK, WaiterConfig={"Delay": POLL_SECONDS, "MaxAttempts": 600}
            )
        except WaiterError as error:
            raise LocalStackError(f"template.yaml could not be deployed: {_reasons(cloudformation)}") from error
        # The functions and the stack keep their own copies; in the bucket they would only be saved a second time.
        for each in (key, TEMPLATE_KEY):
            s3.delete_object(Bucket=BUCKET, Key=each)
        stack = _stack(cloudformation)
        assert stack is not None
    return {output["OutputKey"]: output["OutputValue"] for output in stack["Outputs"]}


def uploaded(body: str, client_arguments: dict[str, Any]) -> str:
    """Where CloudFormation finds a template: it takes 51,200 bytes in a call, and a megabyte from S3."""
    boto3.client("s3", **client_arguments).put_object(Bucket=BUCKET, Key=TEMPLATE_KEY, Body=body.encode())
    return f"{client_arguments['endpoint_url']}/{BUCKET}/{TEMPLATE_KEY}"


def _parameters() -> dict[str, str]:
    """What differs here by the template's own parameters."""
    return {
        "Runtime": f"python{sys.version_info.major}.{sys.version_info.minor}",
        "Architecture": "arm64" if platform.machine() in ("arm64", "aarch64") else "x86_64",
        # One shard would hide that there are several; 256 are many for ten members.
        "ShardCount": "4",
        # Each worker is a process here, and all of them share a processor or two with the tills.
        "CampaignConcurrency": "2",
        "IngestConcurrency": "2",
        "Introspection": "on",
        # To watch a year go by. A stack whose first program was published before there was a clock stays without one.
        "Sandbox": "on",
    }


def _stack(cloudformation: Any) -> dict[str, Any] | None:
    try:
        stack: dict[str, Any] = cloudformation.describe_stacks(StackName=STACK)["Stacks"][0]
    except ClientError as error:
        if "does not exist" in str(error):
            return None
        raise
    return stack


def _reasons(cloudformation: Any) -> str:
    events = cloudformation.describe_stack_events(StackName=STACK)["StackEvents"]
    return "; ".join(
        f"{event['LogicalResourceId']}: {event['ResourceStatusReason']}"
        for event in events
        if event["ResourceStatus"].endswith("_FAILED") and event.get("ResourceStatusReason")
    )
