"""CloudFormation, where LocalStack 4.14 says that it has done what it has not.

An update of these types is answered with success, and nothing happens. Here a nested stack is updated as a stack is, and the others are made anew under the name they had.
"""

import copy
import importlib
import time
import uuid

from localstack.aws.handlers import run_custom_response_handlers
from localstack.services.cloudformation.resource_provider import OperationStatus, ProgressEvent

# module, and class, of what has no state of its own: it can be deleted and made again
STATELESS = [
    ("events", "events_rule", "EventsRuleProvider"),
    ("scheduler", "scheduler_schedule", "SchedulerScheduleProvider"),
    ("cloudwatch", "cloudwatch_alarm", "CloudWatchAlarmProvider"),
    ("lambda_", "lambda_eventinvokeconfig", "LambdaEventInvokeConfigProvider"),
]
CAPABILITIES = ["CAPABILITY_IAM", "CAPABILITY_NAMED_IAM", "CAPABILITY_AUTO_EXPAND"]


def provider(service, resource, name):
    return getattr(importlib.import_module(f"localstack.services.{service}.resource_providers.aws_{resource}"), name)


def mend():
    for place in STATELESS:
        provider(*place).update = make_anew
    provider("cloudformation", "cloudformation_stack", "CloudFormationStackProvider").update = update_stack
    provider("events", "events_rule", "EventsRuleProvider").delete = delete_rule
    run_custom_response_handlers.append(name_templates_as_aws_does)


def make_anew(self, request):
    before = copy.copy(request)
    before.desired_state = request.previous_state
    self.delete(before)
    # a name that was given by the stack stays; what only the made one has does not
    for name in ("Name", "AlarmName"):
        if name in request.previous_state and not request.desired_state.get(name):
            request.desired_state[name] = request.previous_state[name]
    for name in ("Id", "Arn"):
        request.desired_state.pop(name, None)
    return self.create(request)


def update_stack(self, request):
    stacks, model = request.aws_client_factory.cloudformation, request.desired_state
    stack, context = request.previous_state["Id"], request.custom_context
    # what it is known by stays
    model |= {name: request.previous_state[name] for name in ("Id", "StackName")}
    if not context.get("is_begun"):
        begin_update(stacks, stack, model)
        return ProgressEvent(OperationStatus.IN_PROGRESS, resource_model=model, custom_context={**context, "is_begun": True})
    found = stacks.describe_stacks(StackName=stack)["Stacks"][0]
    status = found["StackStatus"]
    model["Outputs"] = {output["OutputKey"]: output["OutputValue"] for output in found.get("Outputs", [])}
    if status.endswith("_IN_PROGRESS"):
        how = OperationStatus.IN_PROGRESS
    else:
        how = OperationStatus.SUCCESS if status in ("UPDATE_COMPLETE", "CREATE_COMPLETE") else OperationStatus.FAILED
    return ProgressEvent(how, resource_model=model, custom_context=context, message=found.get("StackStatusReason", ""))


def begin_update(stacks, stack, model):
    """By a change set, since `UpdateStack` of LocalStack forgets the new template when the stack is deleted."""
    text = lambda value: str(value).lower() if isinstance(value, bool) else str(value)
    parameters = [{"ParameterKey": name, "ParameterValue": text(value)} for name, value in (model.get("Parameters") or {}).items()]
    made = stacks.create_change_set(
        StackName=stack,
        ChangeSetName=f"nested-{uuid.uuid4()}",
        ChangeSetType="UPDATE",
        TemplateURL=model["TemplateURL"],
        Parameters=parameters,
        Capabilities=CAPABILITIES,
    )["Id"]
    while (status := stacks.describe_change_set(ChangeSetName=made)["Status"]) in ("CREATE_PENDING", "CREATE_IN_PROGRESS"):
        time.sleep(0.1)
    # what has no change is FAILED
    if status == "CREATE_COMPLETE":
        stacks.execute_change_set(ChangeSetName=made)


def delete_rule(self, request):
    """Also of a bus that is not the default one, whose targets LocalStack looks for on the default one."""
    events, model = request.aws_client_factory.events, request.desired_state
    bus, _, name = model["Id"].rpartition("|")
    of_bus = {"EventBusName": bus} if bus else {}
    try:
        targets = [target["Id"] for target in events.list_targets_by_rule(Rule=name, **of_bus)["Targets"]]
        if targets:
            events.remove_targets(Rule=name, Ids=targets, Force=True, **of_bus)
        events.delete_rule(Name=name, **of_bus)
    except events.exceptions.ResourceNotFoundException:
        pass
    return ProgressEvent(OperationStatus.SUCCESS, resource_model=model, custom_context=request.custom_context)


def name_templates_as_aws_does(chain, context, response):
    """`sam package` names a nested template by the endpoint it has; with AWS's own, that is the only form which `sam delete` can read."""
    if context.operation and context.operation.name == "GetTemplate" and response.status_code == 200:
        own = context.request.host_url.rstrip("/").encode()
        response.set_data(response.get_data().replace(own, b"https://s3.amazonaws.com"))
