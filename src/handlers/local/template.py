"""`template.yaml` as CloudFormation sees it, and as MiniStack can deploy it.

`translated` is what AWS's own SAM transform makes of it. `for_ministack` is every difference between the cloud and the
local stack, in one place; what is not named there is deployed as it is.
"""

import copy
import json
from collections.abc import Mapping
from typing import Any, cast

import boto3
from samtranslator.parser.parser import Parser
from samtranslator.translator.translator import Translator
from samtranslator.utils.py27hash_fix import to_py27_compatible_template, undo_mark_unicode_str_in_template
from samtranslator.yaml_helper import yaml_parse

from handlers.local.emulator import REGION
from handlers.local.home import REPOSITORY

Template = dict[str, Any]

TEMPLATE = REPOSITORY / "template.yaml"


def translated(*, bucket: str, key: str, parameters: Mapping[str, str] | None = None) -> Template:
    """Plain CloudFormation, with each function's code at the given place in S3 (which is what `sam package` does).

    As in the cloud, the transform knows the parameters of the deployment, and writes some of their values into its result.
    """
    template = yaml_parse(TEMPLATE.read_text())
    for resource in template["Resources"].values():
        if resource["Type"] == "AWS::Serverless::Function":
            resource["Properties"]["CodeUri"] = {"Bucket": bucket, "Key": key}
    # What samtranslator's own `transform` does, but with a region given instead of read from the person's settings.
    values = dict(parameters or {})
    to_py27_compatible_template(template, values)
    translator = Translator({}, Parser(), boto_session=boto3.Session(region_name=REGION))
    made = translator.translate(template, parameter_values=values)
    # To nobody: its default publisher drops what it has counted. Unpublished, it would complain in the middle of our output.
    translator.metrics.publish()
    return cast("Template", undo_mark_unicode_str_in_template(made))


def for_ministack(template: Template, parameters: Mapping[str, str] | None = None) -> Template:
    """A copy of the template with what MiniStack 1.5 does not understand said in another way:

    - It ignores the OpenAPI `Body` of an HTTP API, so the API would have no routes: the same routes, integrations and
      authorizers as resources of their own.
    - It refuses alarms over several metrics, so they are left out; nothing refers to an alarm.
    - It takes a number in a mapping's `ScalingConfig` for the text that a parameter is: its value stands there instead, of
      `parameters` or its default.
    - It asks for a permission of its own where messages are sent in batches; on AWS that is `sqs:SendMessage` too.
    - It speaks plain HTTP, so the policy of a bucket that refuses that is left out.
    """
    template = copy.deepcopy(template)
    resources = template["Resources"]
    for name in [name for name, resource in resources.items() if "Body" in resource.get("Properties", {})]:
        _expand_body(resources, name)
    for resource in resources.values():
        if resource["Type"] == "AWS::IAM::Role":
            _allow_batches(resource)
        scaling = resource.get("Properties", {}).get("ScalingConfig", {})
        if isinstance(scaling.get("MaximumConcurrency"), dict):
            name = scaling["MaximumConcurrency"]["Ref"]
            scaling["MaximumConcurrency"] = int((parameters or {}).get(name, template["Parameters"][name]["Default"]))
    template["Resources"] = {
        name: resource
        for name, resource in resources.items()
        if not (resource["Type"] == "AWS::CloudWatch::Alarm" and "Metrics" in resource["Properties"])
        and resource["Type"] != "AWS::S3::BucketPolicy"
    }
    return template


def _allow_batches(part: Any) -> None:
    """Finds the lists of actions wherever they stand: a policy may be under a condition."""
    for each in part.values() if isinstance(part, dict) else part:
        if isinstance(each, list) and "sqs:SendMessage" in each:
            each.append("sqs:SendMessageBatch")
        elif isinstance(each, dict | list):
            _allow_batches(each)


def _expand_body(resources: dict[str, Any], api: str) -> None:
    body = resources[api]["Properties"].pop("Body")
    # The API's fields in the service's own spelling: MiniStack stores what it is given.
    resources[api]["Properties"] = {
        "Name": body["info"]["title"],
        "Description": body["info"].get("description", ""),
        "ProtocolType": "HTTP",
        "CorsConfiguration": body["x-amazon-apigateway-cors"],
    }
    for scheme, definition in body["components"]["securitySchemes"].items():
        authorizer = definition["x-amazon-apigateway-authorizer"]
        resources[f"{api}{scheme}Authorizer"] = {
            "Type": "AWS::ApiGatewayV2::Authorizer",
            "Properties": {
                "ApiId": {"Ref": api},
                "AuthorizerType": "JWT",
                "Name": scheme,
                "IdentitySource": [authorizer["identitySource"]],
                "JwtConfiguration": {
                    "Issuer": authorizer["jwtConfiguration"]["issuer"],
                    "Audience": authorizer["jwtConfiguration"]["audience"],
                },
            },
        }
    for path, methods in body["paths"].items():
        for method, operation in methods.items():
            route = f"{api}{method.title()}{''.join(part.title() for part in path.split('/'))}"
            integration = operation["x-amazon-apigateway-integration"]
            resources[f"{route}Integration"] = {
                "Type": "AWS::ApiGatewayV2::Integration",
                "Properties": {
                    "ApiId": {"Ref": api},
                    "IntegrationType": integration["type"].upper(),
                    "IntegrationUri": integration["uri"],
                    "IntegrationMethod": integration["httpMethod"],
                    "PayloadFormatVersion": integration["payloadFormatVersion"],
                },
            }
            properties: dict[str, Any] = {
                "ApiId": {"Ref": api},
                "RouteKey": f"{method.upper()} {path}",
                "Target": {"Fn::Sub": f"integrations/${{{route}Integration}}"},
            }
            for requirement in operation["security"]:
                for scheme, scopes in requirement.items():
                    properties["AuthorizationType"] = "JWT"
                    properties["AuthorizerId"] = {"Ref": f"{api}{scheme}Authorizer"}
                    properties["AuthorizationScopes"] = scopes
            resources[f"{route}Route"] = {"Type": "AWS::ApiGatewayV2::Route", "Properties": properties}


if __name__ == "__main__":
    print(json.dumps(translated(bucket="regulars-artifacts", key="regulars.zip"), indent=2))
