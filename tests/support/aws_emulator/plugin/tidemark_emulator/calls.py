"""Writes down every call to an AWS API that comes from outside the emulator: one JSON document on a line, before the caller has the answer.

A request about several things, as the entries of PutEvents and the keys of DeleteObjects, is a call about each, since each has to be allowed.
"""

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
            "status": response.status_code,
        }
        about = things(context.service.service_name, context.service_request or {})
        lines = [json.dumps({**call, "resource": resource, "version": version}) for resource, version in about]
        with lock:
            file.write("".join(f"{line}\n" for line in lines))

    run_custom_response_handlers.append(record)


def caller(request):
    signed = ACCESS_KEY.search(request.headers.get("Authorization", ""))
    key = signed.group(1) if signed else request.args.get("X-Amz-Credential", "").split("/")[0]
    return callers.get(key, key)


def things(service, request):
    """What a request is about, and of an object the version it asks for."""
    if service == "s3":
        bucket, version = request.get("Bucket"), request.get("VersionId")
        if "Delete" in request:
            return [(f"{bucket}/{one['Key']}", one.get("VersionId")) for one in request["Delete"].get("Objects") or []]
        parts = [bucket, request.get("Key") or request.get("Prefix")]
        return [("/".join(part for part in parts if part), version)]
    if service == "events" and "Entries" in request:
        return [(entry.get("EventBusName") or "default", None) for entry in request["Entries"]]
    return [(next((request[name] for name in ABOUT if isinstance(request.get(name), str)), ""), None)]
