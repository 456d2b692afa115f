"""Writes down every call to an AWS API that comes from outside the emulator: one JSON document on a line, before the caller has the answer."""

import json
import re
import threading
import time

# whose access key it is: functions have their own, each process another
callers = {}

# where a request says what it is about, the first that is there; S3 is apart
ABOUT = [
    "SecretId", "TopicArn", "TargetArn", "QueueUrl", "QueueName", "FunctionName", "StackName", "EventBusName", "Rule", "Name", "logGroupName", "Namespace",
    "RoleName", "RoleArn", "AlarmName",
]
ACCESS_KEY = re.compile(r"Credential=([^/]+)/")


def record_into(path):
    from localstack.aws.handlers import run_custom_response_handlers

    file, lock = open(path, "a", buffering=1), threading.Lock()

    def record(chain, context, response):
        if context.is_internal_call or not context.service or not context.operation:
            return
        call = {
            "time": time.time(),
            "caller": caller(context.request),
            "service": context.service.service_name,
            "operation": context.operation.name,
            "resource": resource(context.service.service_name, context.service_request or {}),
            "status": response.status_code,
        }
        with lock:
            file.write(json.dumps(call) + "\n")

    run_custom_response_handlers.append(record)


def caller(request):
    signed = ACCESS_KEY.search(request.headers.get("Authorization", ""))
    key = signed.group(1) if signed else request.args.get("X-Amz-Credential", "").split("/")[0]
    return callers.get(key, key)


def resource(service, request):
    if service == "s3":
        parts = [request.get("Bucket"), request.get("Key") or request.get("Prefix")]
        return "/".join(part for part in parts if part)
    if entries := request.get("Entries"):
        return entries[0].get("EventBusName", "")
    return next((request[name] for name in ABOUT if isinstance(request.get(name), str)), "")
