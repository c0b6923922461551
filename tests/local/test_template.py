"""template.yaml as CloudFormation is given it: what must never be true of the deployed system."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import pytest
from samtranslator.yaml_helper import yaml_parse

from domain import limits
from handlers.local import graphiql, template
from storage import keys

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
    assert sorted([*named, "CampaignScheduleRole", "PlannerScheduleRole"]) == sorted(roles)
    assert len(set(named)) == len(named)
    assert not [name for name, role in roles.items() if "ManagedPolicyArns" in role["Properties"]]
    assert not of_type(resources, "AWS::IAM::Policy")
    assert not of_type(resources, "AWS::IAM::ManagedPolicy")


def statements(role: dict[str, Any], *, sandbox: bool) -> list[dict[str, Any]]:
    """What a role may do, in a sandbox or elsewhere."""
    found = []
    for policy in role["Properties"]["Policies"]:
        if "Fn::If" in policy:
            condition, then, otherwise = policy["Fn::If"]
            assert condition == "IsSandbox"
            policy = then if sandbox else otherwise  # noqa: PLW2901
        if policy != {"Ref": "AWS::NoValue"}:
            found += policy["PolicyDocument"]["Statement"]
    return found


def granted_to(role: dict[str, Any], *, sandbox: bool = False) -> set[tuple[str, str]]:
    return {
        (action, str(statement["Resource"]))
        for statement in statements(role, sandbox=sandbox)
        for action in statement["Action"]
    }


def arn_of(name: str) -> str:
    return str({"Fn::GetAtt": [name, "Arn"]})


def test_a_sandbox_may_start_its_clock_and_another_stack_may_not(resources: Resources) -> None:
    elsewhere, in_sandbox = (granted_to(resources["GraphqlRole"], sandbox=sandbox) for sandbox in (False, True))

    assert in_sandbox - elsewhere == {("sqs:SendMessage", arn_of("ClockQueue"))}
    assert elsewhere < in_sandbox


# Where files of members are put, and the only part of a bucket that anybody here may put or read.
LISTS = str({"Fn::Sub": "${ListsBucket.Arn}/lists/*"})

JOBS = {
    "Planner": {("sqs:SendMessage", "VisitQueue")},
    "Visitor": {
        ("sqs:SendMessage", "VisitFailures"),
        *(
            (f"sqs:{action}", "VisitQueue")
            for action in ("SendMessage", "ReceiveMessage", "DeleteMessage", "GetQueueAttributes")
        ),
    },
    "Clockwork": {
        ("sqs:SendMessage", "ClockFailures"),
        *(
            (f"sqs:{action}", "ClockQueue")
            for action in ("SendMessage", "ReceiveMessage", "DeleteMessage", "GetQueueAttributes")
        ),
    },
}


def test_the_ingester_does_what_a_job_does_and_has_the_secret_because_it_finds_members(resources: Resources) -> None:
    table = {(f"dynamodb:{action}", "Table") for action in ("GetItem", "Query", "PutItem")}
    logs = {(f"logs:{action}", "IngestLogs") for action in ("CreateLogStream", "PutLogEvents")}
    queue = {(f"sqs:{action}", "IngestQueue") for action in ("ReceiveMessage", "DeleteMessage", "GetQueueAttributes")}
    failures = {("sqs:SendMessage", "IngestFailures")}

    assert granted_to(resources["IngestRole"]) == {
        (action, arn_of(name)) for action, name in table | logs | queue | failures
    }
    settings = resources["IngestFunction"]["Properties"]["Environment"]["Variables"]
    api = resources["GraphqlFunction"]["Properties"]["Environment"]["Variables"]
    assert settings["REGULARS_SECRET"] == api["REGULARS_SECRET"]


@pytest.mark.parametrize("function", JOBS)
def test_a_job_can_do_to_the_table_what_the_api_can_and_to_its_queue_what_it_must(
    resources: Resources, function: str
) -> None:
    both = {(f"dynamodb:{action}", "Table") for action in ("GetItem", "Query", "PutItem")}
    logs = {(f"logs:{action}", f"{function}Logs") for action in ("CreateLogStream", "PutLogEvents")}

    assert granted_to(resources[f"{function}Role"]) == {
        (action, arn_of(name)) for action, name in both | logs | JOBS[function]
    }
    settings = resources[f"{function}Function"]["Properties"]["Environment"]["Variables"]
    assert "REGULARS_SECRET" not in settings


@pytest.mark.parametrize(("name", "rate"), [("Planner", "rate(1 hour)"), ("Campaign", "rate(1 minute)")])
def test_a_schedule_may_start_its_function_and_nothing_else(resources: Resources, name: str, rate: str) -> None:
    (schedule,) = (
        each["Properties"]
        for each in of_type(resources, "AWS::Scheduler::Schedule").values()
        if str(each["Properties"]["Target"]["Arn"]) == arn_of(f"{name}Function")
    )

    assert str(schedule["Target"]["RoleArn"]) == arn_of(f"{name}ScheduleRole")
    assert granted_to(resources[f"{name}ScheduleRole"]) == {("lambda:InvokeFunction", arn_of(f"{name}Function"))}
    assert (schedule["ScheduleExpression"], schedule["FlexibleTimeWindow"]) == (rate, {"Mode": "OFF"})
    assert len(of_type(resources, "AWS::Scheduler::Schedule")) == 2


# --- queues -------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Worked:
    """A queue that is worked off: by which function, and where what fails goes."""

    name: str
    function: str
    failures: str
    mapping: Mapping[str, Any]


def worked(resources: Resources) -> list[Worked]:
    queues = of_type(resources, "AWS::SQS::Queue")
    found = []
    for each in of_type(resources, "AWS::Lambda::EventSourceMapping").values():
        mapping = each["Properties"]
        name = mapping["EventSourceArn"]["Fn::GetAtt"][0]
        if name in queues:
            failures = queues[name]["Properties"]["RedrivePolicy"]["deadLetterTargetArn"]["Fn::GetAtt"][0]
            found.append(Worked(name, mapping["FunctionName"]["Ref"], failures, mapping))
    return found


def of_failures(resources: Resources) -> set[str]:
    """Every queue that something goes into which failed."""
    given_up = {
        mapping["Properties"]["DestinationConfig"]["OnFailure"]["Destination"]["Fn::GetAtt"][0]
        for mapping in of_type(resources, "AWS::Lambda::EventSourceMapping").values()
        if "DestinationConfig" in mapping["Properties"]
    }
    return given_up | {each.failures for each in worked(resources)}


def alarms_of(resources: Resources, queue: str, metric: str) -> list[dict[str, Any]]:
    return [
        alarm["Properties"]
        for alarm in of_type(resources, "AWS::CloudWatch::Alarm").values()
        if alarm["Properties"].get("MetricName") == metric
        and {"Name": "QueueName", "Value": {"Fn::GetAtt": [queue, "QueueName"]}} in alarm["Properties"]["Dimensions"]
    ]


def test_a_queue_is_worked_off_or_keeps_what_failed(resources: Resources) -> None:
    sources = {each.name for each in worked(resources)}

    assert sources >= {"VisitQueue", "ClockQueue"}
    assert not sources & of_failures(resources)
    assert sources | of_failures(resources) == set(of_type(resources, "AWS::SQS::Queue"))


def test_every_queue_that_is_worked_off_lets_messages_fail_alone_and_keeps_those_that_fail(
    resources: Resources,
) -> None:
    """ReportBatchItemFailures, visibility of six time-outs and the window, a queue of failures after five deliveries that keeps
    what comes there for as long again as its queue did, a bound of workers."""
    for each in worked(resources):
        queue = resources[each.name]["Properties"]
        timeout = resources[each.function]["Properties"]["Timeout"]
        failures = resources[each.failures]["Properties"]
        assert each.mapping["FunctionResponseTypes"] == ["ReportBatchItemFailures"]
        assert each.mapping["ScalingConfig"]["MaximumConcurrency"]
        assert queue["VisibilityTimeout"] >= 6 * timeout + each.mapping.get("MaximumBatchingWindowInSeconds", 0)
        assert queue["RedrivePolicy"]["maxReceiveCount"] == limits.DELIVERIES_MAX
        # What SQS moves there counts from when it was sent: at least half of the time is left to look into it.
        assert 2 * queue["MessageRetentionPeriod"] <= failures["MessageRetentionPeriod"]
        # And what nobody has moved back is never too old to be booked.
        both = queue["MessageRetentionPeriod"] + failures["MessageRetentionPeriod"]
        assert both <= limits.QUEUED_AGE_MAX.total_seconds()
    assert all(queue["Properties"]["SqsManagedSseEnabled"] for queue in of_type(resources, "AWS::SQS::Queue").values())


def test_what_failed_is_kept_for_as_long_as_a_queue_can(resources: Resources) -> None:
    """Somebody has to come, look, mend the cause and move it back: two weeks survive a holiday."""
    for name in of_failures(resources):
        assert resources[name]["Properties"]["MessageRetentionPeriod"] == 14 * 86_400


def test_a_worker_leaves_the_reason_with_what_it_gives_up(resources: Resources) -> None:
    for each in worked(resources):
        variables = resources[each.function]["Properties"]["Environment"]["Variables"]
        role = resources[each.function]["Properties"]["Role"]["Fn::GetAtt"][0]

        assert variables["REGULARS_FAILURES_QUEUE"] == {"Ref": each.failures}
        to_failures = {action for action, on in granted_to(resources[role]) if on == arn_of(each.failures)}
        assert to_failures == {"sqs:SendMessage"}


def test_every_queue_of_failures_wakes_somebody_at_the_first_message(resources: Resources) -> None:
    for name in of_failures(resources):
        (alarm,) = alarms_of(resources, name, "ApproximateNumberOfMessagesVisible")

        assert (alarm["Statistic"], alarm["Threshold"], alarm["ComparisonOperator"]) == (
            "Maximum",
            1,
            "GreaterThanOrEqualToThreshold",
        )


def test_a_queue_whose_messages_wait_too_long_wakes_somebody_in_time(resources: Resources) -> None:
    """Too long is more than a message of a killed worker is out of sight, or each of those would be an alarm; and in time is
    while three quarters of what the queue keeps a message for are left."""
    for each in worked(resources):
        queue = resources[each.name]["Properties"]
        (alarm,) = alarms_of(resources, each.name, "ApproximateAgeOfOldestMessage")

        assert alarm["Statistic"] == "Maximum"
        assert queue["VisibilityTimeout"] < alarm["Threshold"] <= queue["MessageRetentionPeriod"] / 4


def shown(dashboard: Mapping[str, Any], *, sandbox: bool) -> set[tuple[str, ...]]:
    """The metrics on the dashboard as it is deployed, each with its dimension."""
    text, values = dashboard["Properties"]["DashboardBody"]["Fn::Sub"]
    for name, value in values.items():
        condition, then, otherwise = value["Fn::If"]
        assert condition == "IsSandbox"
        text = text.replace(f"${{{name}}}", then["Fn::Sub"] if sandbox else otherwise)
    widgets = json.loads(text)["widgets"]
    places = {(each["x"], each["y"]) for each in widgets}
    assert len(places) == len(widgets), "a widget lies on another one"
    return {tuple(metric[:4]) for each in widgets for metric in each["properties"].get("metrics", [])}


def test_the_dashboard_shows_what_comes_what_is_done_and_what_waits(resources: Resources) -> None:
    ((_, dashboard),) = of_type(resources, "AWS::CloudWatch::Dashboard").items()
    metrics = {sandbox: shown(dashboard, sandbox=sandbox) for sandbox in (True, False)}
    of_a_queue = (
        "NumberOfMessagesSent",
        "NumberOfMessagesDeleted",
        "ApproximateNumberOfMessagesVisible",
        "ApproximateNumberOfMessagesNotVisible",
        "ApproximateAgeOfOldestMessage",
    )
    wanted = {(each.name, metric) for each in worked(resources) for metric in of_a_queue}
    wanted |= {(name, "ApproximateNumberOfMessagesVisible") for name in of_failures(resources)}

    for queue, metric in sorted(wanted):
        is_there = ("AWS/SQS", metric, "QueueName", f"${{{queue}.QueueName}}")
        assert is_there in metrics[True]
        # What is not deployed cannot be named either: the deployment would fail.
        assert (is_there in metrics[False]) == (resources[queue].get("Condition") != "IsSandbox")


def test_the_stack_says_where_each_queue_is(resources: Resources) -> None:
    """`regulars dlq` goes by these names."""
    outputs = template.translated(bucket="a-bucket", key="a-key")["Outputs"]

    for name in of_type(resources, "AWS::SQS::Queue"):
        assert outputs[f"{name}Url"]["Value"] == {"Ref": name}
        assert outputs[f"{name}Url"].get("Condition") == resources[name].get("Condition")
    for each in worked(resources):
        assert each.failures == f"{each.name.removesuffix('Queue')}Failures"


def test_nothing_of_a_clock_is_deployed_but_in_a_sandbox(resources: Resources) -> None:
    of_the_clock = {name for name in resources if name.startswith("Clock")}

    assert len(of_the_clock) >= 6
    assert {resources[name].get("Condition") for name in of_the_clock} == {"IsSandbox"}
    api = resources["GraphqlFunction"]["Properties"]["Environment"]["Variables"]
    assert api["REGULARS_CLOCK_QUEUE"] == {"Fn::If": ["IsSandbox", {"Ref": "ClockQueue"}, {"Ref": "AWS::NoValue"}]}


def test_a_run_of_the_clock_is_over_before_its_job_counts_as_silent(resources: Resources) -> None:
    assert resources["ClockworkFunction"]["Properties"]["Timeout"] < limits.JOB_SILENCE_MAX.total_seconds()


def test_the_graphql_function_can_read_by_key_append_hand_on_and_lend_places_for_lists_and_nothing_else(
    resources: Resources,
) -> None:
    table, logs = arn_of("Table"), arn_of("GraphqlLogs")

    assert granted_to(resources["GraphqlRole"]) == {
        ("dynamodb:GetItem", table),
        ("dynamodb:Query", table),
        ("dynamodb:PutItem", table),
        ("sqs:SendMessage", arn_of("CampaignQueue")),
        ("sqs:SendMessage", arn_of("IngestQueue")),
        ("s3:PutObject", LISTS),
        ("s3:ListBucket", arn_of("ListsBucket")),
        ("logs:CreateLogStream", logs),
        ("logs:PutLogEvents", logs),
    }


def test_no_statement_allows_everything_or_everywhere(resources: Resources) -> None:
    for role in of_type(resources, "AWS::IAM::Role").values():
        for statement in statements(role, sandbox=True):
            assert statement["Effect"] == "Allow"
            assert not {"NotAction", "NotResource"} & statement.keys()
            assert not [action for action in statement["Action"] if "*" in action]
            resource = str(statement["Resource"])
            if statement["Action"] == ["dynamodb:ListStreams"]:
                # Streams are listed by their table, under an address that nothing narrows.
                resource = resource.replace("${Table.Arn}/stream/*", "")
            if statement["Action"] in (["s3:PutObject"], ["s3:GetObject"]):
                # A bucket's objects are named by where they stand.
                resource = resource.replace("${ListsBucket.Arn}/lists/*", "")
            assert "*" not in resource


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
        # How long a batch of the stream takes says little; how old it is says all.
        late = "IteratorAge" if function == "RelayFunction" else "Duration"
        assert watched == {"Errors", "Throttles", late}


def test_the_relay_reads_the_stream_and_logs_and_sends_events_and_nothing_else(resources: Resources) -> None:
    granted = {
        (action, str(statement["Resource"]))
        for policy in resources["RelayRole"]["Properties"]["Policies"]
        for statement in policy["PolicyDocument"]["Statement"]
        for action in statement["Action"]
    }
    arn = {name: str({"Fn::GetAtt": [name, "Arn"]}) for name in ("Table", "EventBus", "RelayFailures", "RelayLogs")}
    stream = str({"Fn::GetAtt": ["Table", "StreamArn"]})

    assert granted == {
        ("dynamodb:DescribeStream", stream),
        ("dynamodb:GetRecords", stream),
        ("dynamodb:GetShardIterator", stream),
        ("dynamodb:ListStreams", str({"Fn::Sub": "${Table.Arn}/stream/*"})),
        ("dynamodb:Query", arn["Table"]),
        ("dynamodb:PutItem", arn["Table"]),
        ("events:PutEvents", arn["EventBus"]),
        ("sqs:SendMessage", arn["RelayFailures"]),
        ("logs:CreateLogStream", arn["RelayLogs"]),
        ("logs:PutLogEvents", arn["RelayLogs"]),
    }
    assert "REGULARS_SECRET" not in resources["RelayFunction"]["Properties"]["Environment"]["Variables"]


def test_the_stream_reaches_the_relay_in_order_and_gives_up_in_a_queue(resources: Resources) -> None:
    ((_, mapping),) = (
        (name, each)
        for name, each in of_type(resources, "AWS::Lambda::EventSourceMapping").items()
        if each["Properties"]["EventSourceArn"] == {"Fn::GetAtt": ["Table", "StreamArn"]}
    )
    properties = mapping["Properties"]

    assert properties["FunctionName"] == {"Ref": "RelayFunction"}
    assert properties["StartingPosition"] == "TRIM_HORIZON"
    # Two batches of a shard at once would keep the order of an item, not that of an account.
    assert properties["ParallelizationFactor"] == 1
    assert properties["FunctionResponseTypes"] == ["ReportBatchItemFailures"]
    assert properties["BisectBatchOnFunctionError"] is True
    assert 0 < properties["MaximumRetryAttempts"] < 10_000
    # The stream forgets after 24 hours, and what it forgets by itself nobody is told of.
    assert 0 < properties["MaximumRecordAgeInSeconds"] < 24 * 3_600
    assert properties["DestinationConfig"] == {"OnFailure": {"Destination": {"Fn::GetAtt": ["RelayFailures", "Arn"]}}}
    patterns = [json.loads(each["Pattern"]) for each in properties["FilterCriteria"]["Filters"]]
    assert all(pattern["eventName"] == ["INSERT"] for pattern in patterns)
    assert [pattern["dynamodb"]["Keys"]["SK"]["S"] for pattern in patterns] == [
        [{"prefix": keys.ENTRY_PREFIX}],
        [{"prefix": keys.NOTICE_FIRST}],
    ]
    assert resources["RelayFailures"]["Properties"]["MessageRetentionPeriod"] == 14 * 86_400


def test_there_are_as_many_shards_as_whoever_lists_all_accounts_looks_at() -> None:
    parameters = yaml_parse(template.TEMPLATE.read_text())["Parameters"]

    assert parameters["ShardCount"]["MaxValue"] == limits.SHARDS_MAX


def test_the_local_stack_deploys_all_but_what_is_named() -> None:
    """Every other resource is deployed as it is, so that what runs here is what is deployed."""
    cloud = template.translated(bucket="a-bucket", key="a-key")
    local = template.for_ministack(cloud)

    changed = {
        name for name, resource in cloud["Resources"].items() if local["Resources"].get(name, resource) != resource
    }
    senders = {
        name
        for name, role in of_type(cloud["Resources"], "AWS::IAM::Role").items()
        if "sqs:SendMessage" in {action for action, _ in granted_to(role, sandbox=True)}
    }
    bounded = {
        name: each["Properties"]["ScalingConfig"]["MaximumConcurrency"]["Ref"]
        for name, each in of_type(cloud["Resources"], "AWS::Lambda::EventSourceMapping").items()
        if isinstance(each["Properties"].get("ScalingConfig", {}).get("MaximumConcurrency"), dict)
    }
    assert bounded.keys() == {"VisitorFunctionTurns", "IngestFunctionPurchases", "CampaignFunctionTurns"}
    assert changed == {"Api", *bounded} | senders
    for name, parameter in bounded.items():
        here = local["Resources"][name]["Properties"]["ScalingConfig"]
        assert here == {"MaximumConcurrency": cloud["Parameters"][parameter]["Default"]}
    for name in senders:
        here, there = (granted_to(each["Resources"][name], sandbox=True) for each in (local, cloud))
        assert {action for action, _ in here - there} == {"sqs:SendMessageBatch"}
        assert {resource for _, resource in here} == {resource for _, resource in there}
    assert cloud["Resources"].keys() - local["Resources"].keys() == {
        "ListsBucketPolicy",
        "TableSystemErrorsAlarm",
        "TableThrottlesAlarm",
    }
    assert {resource["Type"] for name, resource in local["Resources"].items() if name not in cloud["Resources"]} == {
        "AWS::ApiGatewayV2::Authorizer",
        "AWS::ApiGatewayV2::Integration",
        "AWS::ApiGatewayV2::Route",
    }
    assert {name: part for name, part in cloud.items() if name != "Resources"} == {
        name: part for name, part in local.items() if name != "Resources"
    }


def test_uploaded_files_are_private_encrypted_and_forgotten_before_what_was_found_in_them(resources: Resources) -> None:
    """While a file can be read again, what was found in it is kept: or one half of a list would be of another time."""
    ((name, bucket),) = of_type(resources, "AWS::S3::Bucket").items()
    properties = bucket["Properties"]
    ((_, policy),) = of_type(resources, "AWS::S3::BucketPolicy").items()
    (refused,) = policy["Properties"]["PolicyDocument"]["Statement"]
    (rule,) = properties["LifecycleConfiguration"]["Rules"]

    assert set(properties["PublicAccessBlockConfiguration"].values()) == {True}
    assert properties["OwnershipControls"] == {"Rules": [{"ObjectOwnership": "BucketOwnerEnforced"}]}
    assert "AES256" in str(properties["BucketEncryption"])
    assert (rule["Status"], rule["ExpirationInDays"]) == ("Enabled", limits.LIST_UPLOAD_RETENTION.days)
    assert not {"Prefix", "TagFilters"} & rule.keys()
    assert "VersioningConfiguration" not in properties
    assert bucket["DeletionPolicy"] == bucket["UpdateReplacePolicy"] == "Retain"
    assert (refused["Effect"], refused["Principal"], refused["Condition"]) == (
        "Deny",
        "*",
        {"Bool": {"aws:SecureTransport": "false"}},
    )
    assert policy["Properties"]["Bucket"] == {"Ref": name}


def test_who_reads_an_uploaded_file_is_told_when_it_is_gone(resources: Resources) -> None:
    """S3 says "no such key" only to who may list the bucket, and a read names no prefix."""
    found = [
        statement["Condition"]
        for role in of_type(resources, "AWS::IAM::Role").values()
        for policy in role["Properties"]["Policies"]
        for statements in [policy.get("PolicyDocument", {"Statement": []})["Statement"]]
        if any("s3:GetObject" in each["Action"] for each in statements)
        for statement in statements
        if "s3:ListBucket" in statement["Action"]
    ]

    assert found == [{"StringLikeIfExists": {"s3:prefix": "lists/*"}}]


def test_pages_that_may_call_the_api_may_send_files_and_nothing_else(resources: Resources) -> None:
    condition, rules, _ = resources["ListsBucket"]["Properties"]["CorsConfiguration"]["Fn::If"]

    assert condition == "AllowsBrowsers"
    assert rules["CorsRules"] == [
        {
            "AllowedMethods": ["PUT"],
            "AllowedOrigins": {"Fn::Split": [",", {"Ref": "AllowedOrigins"}]},
            "AllowedHeaders": ["content-type"],
            "MaxAge": 86_400,
        }
    ]


def test_the_page_takes_what_the_api_may_be_told_to_take() -> None:
    parameters = yaml_parse(template.TEMPLATE.read_text())["Parameters"]

    assert parameters["BodyBytesMax"]["MaxValue"] == graphiql.BODY_BYTES_MAX
