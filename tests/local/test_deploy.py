"""The template in the local AWS: deployed again when something changed, and with an issuer that is not ours."""

import json
import shutil
import zipfile
from pathlib import Path

from handlers.local import deploy, template
from handlers.local.stack import ARTIFACT, Stack
from tests.stack import graphql


def last_update(stack: Stack) -> object:
    described = stack.client("cloudformation").describe_stacks(StackName=deploy.STACK)["Stacks"][0]
    return described["StackStatus"], described.get("LastUpdatedTime")


def test_nothing_is_deployed_when_nothing_changed(stack: Stack) -> None:
    before = last_update(stack)

    assert deploy.deployed(ARTIFACT, stack.client_arguments) == stack.outputs
    assert last_update(stack) == before


def test_new_code_is_deployed_beside_the_same_data(stack: Stack, tmp_path: Path) -> None:
    changed = tmp_path / "changed.zip"
    shutil.copyfile(ARTIFACT, changed)
    with zipfile.ZipFile(changed, "a") as archive:
        archive.writestr("changed.txt", "so the code is another")
    lambdas = stack.client("lambda")
    before = lambdas.get_function_configuration(FunctionName=stack.outputs["FunctionName"])

    assert deploy.deployed(changed, stack.client_arguments) == stack.outputs

    after = lambdas.get_function_configuration(FunctionName=stack.outputs["FunctionName"])
    assert after["CodeSha256"] != before["CodeSha256"]
    # The secret above all: under another one nobody would be found by e-mail again.
    assert after["Environment"] == before["Environment"]
    answer = graphql(stack, "{ viewer { name } }", token=stack.token("member"))
    assert answer.json() == {"data": {"viewer": {"name": "Ada"}}}


def test_another_issuer_makes_no_pool_and_refuses_ours(stack: Stack) -> None:
    cloudformation, s3 = stack.client("cloudformation"), stack.client("s3")
    s3.put_object(Bucket=deploy.BUCKET, Key="other.zip", Body=ARTIFACT.read_bytes())
    given = {
        "TokenIssuer": "https://issuer.example",
        "TokenAudiences": "till,app",
        "AlarmEmail": "night-shift@example.com",
        "AllowedOrigins": "https://a.example,https://b.example",
        "ReservedConcurrency": "5",
        "Runtime": "python3.11",
    }
    body = template.for_ministack(template.translated(bucket=deploy.BUCKET, key="other.zip", parameters=given))
    cloudformation.create_stack(
        StackName="other",
        TemplateURL=deploy.uploaded(json.dumps(body), stack.client_arguments),
        Parameters=[{"ParameterKey": name, "ParameterValue": value} for name, value in given.items()],
        Capabilities=["CAPABILITY_IAM"],
    )
    waiter = cloudformation.get_waiter("stack_create_complete")
    waiter.wait(StackName="other", WaiterConfig={"Delay": 1, "MaxAttempts": 60})

    try:
        described = cloudformation.describe_stacks(StackName="other")["Stacks"][0]
        outputs = {output["OutputKey"]: output["OutputValue"] for output in described["Outputs"]}
        kinds = {
            resource["ResourceType"]
            for resource in cloudformation.describe_stack_resources(StackName="other")["StackResources"]
        }
        assert outputs["TokenIssuer"] == "https://issuer.example"
        assert "UserPoolId" not in outputs
        assert not [kind for kind in kinds if kind.startswith("AWS::Cognito::")]
        assert "AWS::SNS::Topic" in kinds
        api = stack.client("apigatewayv2")
        (authorizer,) = api.get_authorizers(ApiId=outputs["ApiId"])["Items"]
        assert authorizer["JwtConfiguration"] == {"Issuer": "https://issuer.example", "Audience": ["till", "app"]}
        cors = api.get_api(ApiId=outputs["ApiId"])["CorsConfiguration"]
        assert cors["AllowOrigins"] == ["https://a.example", "https://b.example"]
        other = Stack(
            **{**vars(stack), "graphql_url": stack.graphql_url.replace(stack.outputs["ApiId"], outputs["ApiId"])}
        )
        assert graphql(other, "{ __typename }", token=stack.token("staff")).status_code == 401
    finally:
        # Its schedules would go on beside the tests to come.
        cloudformation.delete_stack(StackName="other")
        cloudformation.get_waiter("stack_delete_complete").wait(StackName="other", WaiterConfig={"Delay": 1})
