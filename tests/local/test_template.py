"""template.yaml as CloudFormation is given it: what must never be true of the deployed system."""

from typing import Any

import pytest

from handlers.local import template

Resources = dict[str, dict[str, Any]]


@pytest.fixture(scope="module")
def resources() -> Resources:
    found: Resources = template.translated(bucket="a-bucket", key="a-key")["Resources"]
    return found


def of_type(resources: Resources, kind: str) -> Resources:
    return {name: resource for name, resource in resources.items() if resource["Type"] == kind}


def test_there_is_one_table_with_two_keys_and_no_index(resources: Resources) -> None:
    ((_, table),) = of_type(resources, "AWS::DynamoDB::Table").items()
    properties = table["Properties"]

    assert properties["KeySchema"] == [
        {"AttributeName": "PK", "KeyType": "HASH"},
        {"AttributeName": "SK", "KeyType": "RANGE"},
    ]
    assert properties["BillingMode"] == "PAY_PER_REQUEST"
    assert not {"GlobalSecondaryIndexes", "LocalSecondaryIndexes", "TableName"} & properties.keys()


def test_the_table_outlives_mistakes(resources: Resources) -> None:
    ((_, table),) = of_type(resources, "AWS::DynamoDB::Table").items()

    assert table["DeletionPolicy"] == table["UpdateReplacePolicy"] == "Retain"
    assert table["Properties"]["DeletionProtectionEnabled"] is True
    assert table["Properties"]["PointInTimeRecoverySpecification"] == {"PointInTimeRecoveryEnabled": True}


def test_the_table_announces_new_items_and_forgets_by_ttl(resources: Resources) -> None:
    ((_, table),) = of_type(resources, "AWS::DynamoDB::Table").items()

    assert table["Properties"]["StreamSpecification"] == {"StreamViewType": "NEW_IMAGE"}
    assert table["Properties"]["TimeToLiveSpecification"] == {"AttributeName": "ttl", "Enabled": True}


@pytest.mark.parametrize("name", ["Secret", "UserPool"])
def test_what_members_are_found_by_is_never_deleted(resources: Resources, name: str) -> None:
    assert resources[name]["DeletionPolicy"] == resources[name]["UpdateReplacePolicy"] == "Retain"


def test_each_function_has_a_role_of_its_own_without_managed_policies(resources: Resources) -> None:
    functions = of_type(resources, "AWS::Lambda::Function")
    roles = of_type(resources, "AWS::IAM::Role")

    named = [function["Properties"]["Role"]["Fn::GetAtt"][0] for function in functions.values()]
    assert sorted(named) == sorted(roles)
    assert len(set(named)) == len(named)
    assert not [name for name, role in roles.items() if "ManagedPolicyArns" in role["Properties"]]
    assert not of_type(resources, "AWS::IAM::Policy")
    assert not of_type(resources, "AWS::IAM::ManagedPolicy")


def test_the_graphql_function_can_read_by_key_and_append_and_nothing_else(resources: Resources) -> None:
    granted = {
        (action, str(statement["Resource"]))
        for policy in resources["GraphqlRole"]["Properties"]["Policies"]
        for statement in policy["PolicyDocument"]["Statement"]
        for action in statement["Action"]
    }
    table, logs = ({"Fn::GetAtt": [name, "Arn"]} for name in ("Table", "GraphqlLogs"))

    assert granted == {
        ("dynamodb:GetItem", str(table)),
        ("dynamodb:Query", str(table)),
        ("dynamodb:PutItem", str(table)),
        ("logs:CreateLogStream", str(logs)),
        ("logs:PutLogEvents", str(logs)),
    }


def test_no_statement_allows_everything_or_everywhere(resources: Resources) -> None:
    for role in of_type(resources, "AWS::IAM::Role").values():
        for policy in role["Properties"]["Policies"]:
            for statement in policy["PolicyDocument"]["Statement"]:
                assert statement["Effect"] == "Allow"
                assert not {"NotAction", "NotResource"} & statement.keys()
                assert not [action for action in statement["Action"] if "*" in action]
                assert "*" not in str(statement["Resource"])


def test_each_function_writes_to_a_log_group_that_forgets(resources: Resources) -> None:
    groups = of_type(resources, "AWS::Logs::LogGroup")

    assert all(group["Properties"]["RetentionInDays"] == {"Ref": "LogRetentionDays"} for group in groups.values())
    for function in of_type(resources, "AWS::Lambda::Function").values():
        assert function["Properties"]["LoggingConfig"]["LogGroup"]["Ref"] in groups


def test_every_route_asks_for_a_token(resources: Resources) -> None:
    body = resources["Api"]["Properties"]["Body"]
    operations = {
        (method.upper(), path): operation
        for path, methods in body["paths"].items()
        for method, operation in methods.items()
    }

    assert set(operations) == {("GET", "/graphql"), ("POST", "/graphql")}
    assert all(operation["security"] == [{"Tokens": []}] for operation in operations.values())
    assert body["components"]["securitySchemes"]["Tokens"]["x-amazon-apigateway-authorizer"]["type"] == "jwt"


def test_allowed_origins_reach_the_api_as_a_list(resources: Resources) -> None:
    """SAM takes a lone intrinsic under AllowOrigins for the whole CORS configuration, and says nothing."""
    cors = resources["Api"]["Properties"]["Body"]["x-amazon-apigateway-cors"]["Fn::If"][1]

    assert cors["allowOrigins"] == {"Fn::Split": [",", "*"]}
    assert cors["allowMethods"] == ["GET", "POST", "OPTIONS"]


def test_the_pool_is_made_only_without_another_issuer(resources: Resources) -> None:
    pool = [resource for resource in resources.values() if resource["Type"].startswith("AWS::Cognito::")]

    assert len(pool) == 7
    assert all(resource["Condition"] == "OwnUserPool" for resource in pool)


def test_people_cannot_write_claims_that_are_trusted(resources: Resources) -> None:
    assert resources["MemberClient"]["Properties"]["WriteAttributes"] == ["email", "name"]


def test_a_till_has_the_scopes_of_the_resource_server_and_no_person_behind_it(resources: Resources) -> None:
    till = resources["PartnerClient"]["Properties"]

    assert till["AllowedOAuthFlows"] == ["client_credentials"]
    assert till["AllowedOAuthScopes"] == ["regulars/members", "regulars/purchases", "regulars/redemptions"]
    assert till["GenerateSecret"] is True
    assert "ExplicitAuthFlows" not in till


def test_every_alarm_tells_the_same_topic_and_misses_no_function(resources: Resources) -> None:
    alarms = of_type(resources, "AWS::CloudWatch::Alarm")

    assert len({str(alarm["Properties"]["AlarmActions"]) for alarm in alarms.values()}) == 1
    for function in of_type(resources, "AWS::Lambda::Function"):
        watched = {
            alarm["Properties"].get("MetricName")
            for alarm in alarms.values()
            if {"Name": "FunctionName", "Value": {"Ref": function}} in alarm["Properties"].get("Dimensions", [])
        }
        assert watched == {"Errors", "Throttles", "Duration"}


def test_the_local_stack_deploys_all_but_what_is_named() -> None:
    """Every other resource is deployed as it is, so that what runs here is what is deployed."""
    cloud = template.translated(bucket="a-bucket", key="a-key")
    local = template.for_ministack(cloud)

    changed = {
        name for name, resource in cloud["Resources"].items() if local["Resources"].get(name, resource) != resource
    }
    assert changed == {"Api"}
    assert cloud["Resources"].keys() - local["Resources"].keys() == {"TableThrottlesAlarm", "TableSystemErrorsAlarm"}
    assert {resource["Type"] for name, resource in local["Resources"].items() if name not in cloud["Resources"]} == {
        "AWS::ApiGatewayV2::Authorizer",
        "AWS::ApiGatewayV2::Integration",
        "AWS::ApiGatewayV2::Route",
    }
    assert {name: part for name, part in cloud.items() if name != "Resources"} == {
        name: part for name, part in local.items() if name != "Resources"
    }
