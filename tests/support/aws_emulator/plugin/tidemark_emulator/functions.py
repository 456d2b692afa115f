"""Runs the `bootstrap` of a Lambda function as a child process, behind a Runtime API of its own.

Kept as on AWS: the environment is what Lambda gives and nothing of the emulator's but the endpoint; each environment has a temporary folder of its own and its own
credentials; the deadline counts from when the event is handed over; who is late is killed; who ends is started again for the next event.
Not kept: memory, processors, IAM, the read-only disk and the user are those of this machine. Reserved concurrency is LocalStack's own.

`/opt`: a process has no `/opt` of its own without a mount namespace, which not every machine allows. The layers lie in a folder of this version of the function instead, and
a variable of the function whose value begins with `/opt/` has the place in that folder. A function that has `/opt/` in its code would not find it.
"""

import array
import fcntl
import hashlib
import json
import os
import queue
import select
import shutil
import subprocess
import tempfile
import termios
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from localstack import config
from localstack.services.lambda_.invocation.lambda_models import InvocationResult
from localstack.services.lambda_.invocation.runtime_executor import RuntimeExecutor

from . import calls

INIT_SECONDS = 10
# https://docs.aws.amazon.com/lambda/latest/dg/configuration-envvars.html, as far as LocalStack's values go
OF_LAMBDA = [
    "_HANDLER",
    "AWS_ACCESS_KEY_ID",
    "AWS_DEFAULT_REGION",
    "AWS_LAMBDA_FUNCTION_MEMORY_SIZE",
    "AWS_LAMBDA_FUNCTION_NAME",
    "AWS_LAMBDA_FUNCTION_VERSION",
    "AWS_LAMBDA_INITIALIZATION_TYPE",
    "AWS_LAMBDA_LOG_GROUP_NAME",
    "AWS_LAMBDA_LOG_STREAM_NAME",
    "AWS_REGION",
    "AWS_SECRET_ACCESS_KEY",
    "AWS_SESSION_TOKEN",
    "AWS_XRAY_CONTEXT_MISSING",
    "LAMBDA_RUNTIME_DIR",
    "TZ",
]


class RuntimeApi(BaseHTTPRequestHandler):
    """https://docs.aws.amazon.com/lambda/latest/dg/runtimes-api.html, of one execution environment"""

    protocol_version = "HTTP/1.1"

    def log_message(self, *args):
        pass

    def reply(self, status, body=b"{}", headers=()):
        self.send_response(status)
        for name, value in [("Content-Type", "application/json"), *headers, ("Content-Length", str(len(body)))]:
            self.send_header(name, value)
        try:
            self.end_headers()
            self.wfile.write(body)
        except ConnectionError:
            # the process has gone meanwhile
            self.close_connection = True

    def do_GET(self):
        if not self.path.endswith("/runtime/invocation/next"):
            return self.reply(404)
        life = self.server.executor.life
        life.ready.set()
        event = life.events.get()
        if event is None:
            # nobody is left to hear an answer
            self.close_connection = True
            return
        deadline = time.time() + self.server.executor.timeout
        self.server.executor.deadline = deadline
        self.reply(200, event["payload"].encode(), [
            ("Lambda-Runtime-Aws-Request-Id", event["invoke-id"]),
            ("Lambda-Runtime-Invoked-Function-Arn", event["invoked-function-arn"]),
            ("Lambda-Runtime-Trace-Id", event["trace-id"]),
            ("Lambda-Runtime-Deadline-Ms", str(int(deadline * 1000))),
        ])

    def do_POST(self):
        life, body = self.server.executor.life, self.body()
        *_, request, kind = self.path.split("/")
        if self.path.endswith("/runtime/init/error"):
            life.answers.put((None, body, True))
        elif kind in ("response", "error"):
            life.answers.put((request, body, kind == "error"))
        else:
            return self.reply(404)
        self.reply(202, b'{"status":"OK"}')

    def body(self):
        if "chunked" not in self.headers.get("Transfer-Encoding", ""):
            return self.rfile.read(int(self.headers.get("Content-Length", 0)))
        whole = b""
        while length := int(self.rfile.readline().split(b";")[0], 16):
            whole += self.rfile.read(length)
            self.rfile.readline()
        self.rfile.readline()
        return whole


class Life:
    """From the start of a process to its end."""

    def __init__(self, command, folder, environment, output):
        self.events, self.answers, self.ready = queue.Queue(), queue.Queue(), threading.Event()
        self.output = output
        self.reading = threading.Lock()
        self.process = subprocess.Popen(
            [command], cwd=folder, env=environment, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
        )
        self.pipe = self.process.stdout.fileno()
        threading.Thread(target=self.read, daemon=True).start()

    def is_over(self):
        return self.process.poll() is not None

    def read(self):
        while True:
            select.select([self.pipe], [], [])
            with self.reading:
                some = os.read(self.pipe, 65536)
                self.output += some
                if not some:
                    return self.process.stdout.close()

    def hear_out(self):
        """Everything that was said until now is in the output."""
        while True:
            with self.reading:
                if self.process.stdout.closed:
                    return
                left = array.array("i", [0])
                fcntl.ioctl(self.pipe, termios.FIONREAD, left)
                if left[0] == 0:
                    return
            time.sleep(0.001)

    def end(self):
        self.process.kill()
        self.process.wait()
        # lets the thread go that waits for it
        self.events.put(None)


class ProcessExecutor(RuntimeExecutor):
    def __init__(self, id, function_version):
        super().__init__(id=id, function_version=function_version)
        self.timeout = function_version.config.timeout
        self.life = self.server = self.folder = None
        self.deadline = 0
        self.output, self.told = bytearray(), 0

    def get_address(self):
        return "127.0.0.1"

    def get_endpoint_from_executor(self):
        return "127.0.0.1"

    def get_runtime_endpoint(self):
        return f"http://127.0.0.1:{config.GATEWAY_LISTEN[0].port}/_localstack_lambda/{self.id}"

    def get_logs(self):
        return self.output.decode(errors="replace")

    @classmethod
    def prepare_version(cls, function_version):
        function_version.config.code.prepare_for_execution()
        unpack_layers(function_version)

    @classmethod
    def cleanup_version(cls, function_version):
        # the code is shared between versions, and so may the layers be
        pass

    def start(self, env_vars):
        of_function = self.function_version.config.environment or {}
        code = self.function_version.config.code.get_unzipped_code_location()
        layers = unpack_layers(self.function_version)
        self.folder = tempfile.mkdtemp(prefix="environment-")
        self.server = ThreadingHTTPServer(("127.0.0.1", 0), RuntimeApi)
        self.server.executor, self.server.daemon_threads = self, True
        threading.Thread(target=self.server.serve_forever, daemon=True).start()
        self.environment = {
            **{name: str(env_vars[name]) for name in OF_LAMBDA if name in env_vars},
            "LANG": "en_US.UTF-8",
            "PATH": f"/usr/local/bin:/usr/bin:/bin:{layers}/bin",
            "LAMBDA_TASK_ROOT": str(code),
            "TMPDIR": self.folder,
            "AWS_ENDPOINT_URL": f"http://127.0.0.1:{config.GATEWAY_LISTEN[0].port}",
            **{name: in_layers(value, layers) for name, value in of_function.items()},
            "AWS_LAMBDA_RUNTIME_API": f"127.0.0.1:{self.server.server_port}",
        }
        self.code = str(code)
        calls.callers[env_vars["AWS_ACCESS_KEY_ID"]] = self.function_version.id.function_name
        self.begin()
        # as on AWS, who does not come up is started again by the event, which then fails with the reason
        self.await_ready(time.time() + INIT_SECONDS)

    def begin(self):
        command = os.path.join(self.code, "bootstrap")
        os.chmod(command, 0o755)
        self.life = Life(command, self.code, self.environment, self.output)

    def await_ready(self, until):
        while not self.life.ready.wait(0.005):
            if self.life.is_over() or not self.life.answers.empty() or time.time() > until:
                return

    def stop(self):
        if self.life:
            self.life.end()
        if self.server:
            self.server.shutdown()
            self.server.server_close()
            self.server = None
        if self.folder:
            shutil.rmtree(self.folder, ignore_errors=True)

    def invoke(self, payload):
        request, began = payload["invoke-id"], time.time()
        if self.life.is_over():
            self.begin()
        self.deadline = began + INIT_SECONDS + self.timeout
        self.life.events.put(payload)
        body, is_error, how_it_ended = self.answer(request)
        ended = time.time()
        self.life.hear_out()
        said, self.told = self.output[self.told:], len(self.output)
        lines = [
            f"START RequestId: {request} Version: {self.function_version.id.qualifier}",
            *said.decode(errors="replace").splitlines(),
            *how_it_ended,
            f"END RequestId: {request}",
            f"REPORT RequestId: {request}\tDuration: {(ended - began) * 1000:.2f} ms\tMemory Size: {self.function_version.config.memory_size} MB",
        ]
        return InvocationResult(request, body, is_error=is_error, logs="\n".join(lines))

    def answer(self, request):
        """Body, whether it is an error's, and what the log says of a process that did not answer; which is not used again."""
        while True:
            is_over = self.life.is_over()
            try:
                of, body, is_error = self.life.answers.get(timeout=0 if is_over else 0.02)
            except queue.Empty:
                if is_over:
                    status = self.life.process.returncode
                    how = f"exit status {status}" if status >= 0 else f"signal {-status}"
                    return error("Runtime.ExitError", f"RequestId: {request} Error: Runtime exited with error: {how}")
                if time.time() > self.deadline:
                    self.life.end()
                    return error("Sandbox.Timedout", f"RequestId: {request} Error: Task timed out after {self.timeout:.2f} seconds")
                continue
            if of == request:
                return body, is_error, []
            if of is None:
                self.life.end()
                return body, True, []


def error(kind, message):
    return json.dumps({"errorType": kind, "errorMessage": message}).encode(), True, [message]


def in_layers(value, layers):
    return f"{layers}/{value.removeprefix('/opt/')}" if value.startswith("/opt/") else value


def unpack_layers(function_version):
    """The folder in which they lie one over the other, as they do in `/opt`. Their names say their versions, so another version is another folder."""
    layers = function_version.config.layers
    names = "\n".join(layer.layer_version_arn for layer in layers)
    of_names = hashlib.sha256(names.encode()).hexdigest()[:16]
    folder = Path(tempfile.gettempdir()) / "layers" / f"{function_version.id.function_name}-{of_names}"
    if folder.exists():
        return folder
    folder.parent.mkdir(parents=True, exist_ok=True)
    unfinished = Path(tempfile.mkdtemp(dir=folder.parent))
    for layer in layers:
        layer.code.prepare_for_execution()
        # a copy, since it goes when the layer is deleted, and the function keeps what it was made with
        shutil.copytree(layer.code.get_unzipped_code_location(), unfinished, dirs_exist_ok=True)
    unfinished.chmod(0o755)
    try:
        unfinished.rename(folder)
    except OSError:
        shutil.rmtree(unfinished)
        if not folder.exists():
            raise
    return folder
