"""How long a function takes from its start to its first question for an event, beside a Python handler on the same endpoint.

    python tests/bench/start.py ingest=target/lambda/ingest transform=target/lambda/transform load=target/lambda/load

Each NAME=BOOTSTRAP is started as Lambda starts it, with clients, definitions and settings of a real function, and timed until it asks
`GET /2018-06-01/runtime/invocation/next`. Then it is stopped. `python` is a handler that imports pandas, pyarrow, sqlalchemy and boto3, and
is left out where these are not installed. Warm: the files are in the page cache. Cold: they are put out of it before (root, Linux); for
Python that is all of its environment. Medians of --repeat turns, contenders in turn, one JSON line each.
"""

import argparse
import ctypes
import http.server
import importlib.util
import json
import os
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path
from statistics import median

REPOSITORY = Path(__file__).resolve().parents[2]
PEER = """
import os, http.client
import pandas, pyarrow.parquet, sqlalchemy, boto3
s3, events = boto3.client("s3"), boto3.client("events")
api = http.client.HTTPConnection(os.environ["AWS_LAMBDA_RUNTIME_API"])
api.request("GET", "/2018-06-01/runtime/invocation/next")
api.getresponse()
"""


class Api(http.server.BaseHTTPRequestHandler):
    polled = threading.Event()
    at = 0.0

    def do_GET(self) -> None:
        Api.at = time.perf_counter()
        Api.polled.set()
        time.sleep(30)

    def log_message(self, *_: object) -> None:
        pass


def environment(port: int) -> dict[str, str]:
    return {
        "PATH": os.environ["PATH"],
        "AWS_LAMBDA_RUNTIME_API": f"127.0.0.1:{port}",
        "AWS_LAMBDA_FUNCTION_NAME": "start",
        "AWS_LAMBDA_FUNCTION_VERSION": "1",
        "AWS_LAMBDA_FUNCTION_MEMORY_SIZE": "1769",
        "AWS_REGION": "us-east-1",
        "AWS_DEFAULT_REGION": "us-east-1",
        "AWS_ACCESS_KEY_ID": "id",
        "AWS_SECRET_ACCESS_KEY": "secret",
        "TIDEMARK_LAKE": "s3://lake/main",
        "TIDEMARK_PIPELINES": str(REPOSITORY / "infra/pipelines"),
        "TIDEMARK_BUS": "tidemark",
        "SALES": "s3://sales/daily",
        "ORDERS_API": "https://orders.example",
        "REPORTS": "s3://reports",
    }


def forget(paths: list[Path]) -> None:
    """Puts files out of the page cache."""
    libc = ctypes.CDLL(None, use_errno=True)
    for path in paths:
        for file in [path] if path.is_file() else path.rglob("*"):
            if file.is_file():
                descriptor = os.open(file, os.O_RDONLY)
                os.fsync(descriptor)
                libc.posix_fadvise(descriptor, ctypes.c_long(0), ctypes.c_long(0), 4)
                os.close(descriptor)


def start(command: list[str], port: int) -> float:
    Api.polled.clear()
    with tempfile.TemporaryDirectory() as folder:
        began = time.perf_counter()
        child = subprocess.Popen(command, env=environment(port), cwd=folder, stderr=subprocess.DEVNULL)
        if not Api.polled.wait(60):
            sys.exit(f"{command[0]} asks for nothing")
        child.kill()
        child.wait()
    return (Api.at - began) * 1000


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("bootstrap", nargs="+", metavar="NAME=BOOTSTRAP")
    parser.add_argument("--repeat", type=int, default=9)
    args = parser.parse_args()
    contenders: dict[str, tuple[list[str], list[Path]]] = {}
    for given in args.bootstrap:
        name, _, path = given.partition("=")
        contenders[name] = ([str(Path(path).resolve())], [Path(path)])
    if all(importlib.util.find_spec(name) for name in ("pandas", "pyarrow", "sqlalchemy", "boto3")):
        site = Path(importlib.util.find_spec("pandas").origin).parents[1]
        contenders["python"] = ([sys.executable, "-c", PEER], [site, Path(sys.base_prefix) / "lib"])
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Api)
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, daemon=True).start()
    port = server.server_address[1]
    found: dict[str, dict[str, list[float]]] = {name: {"warm": [], "cold": []} for name in contenders}
    for _ in range(args.repeat):
        for name, (command, files) in contenders.items():
            forget(files)
            found[name]["cold"].append(start(command, port))
            found[name]["warm"].append(start(command, port))
    for name, times in found.items():
        size = contenders[name][1][0].stat().st_size if name != "python" else None
        line = {"name": name, "warm_ms": round(median(times["warm"]), 1), "cold_ms": round(median(times["cold"]), 1)}
        print(json.dumps(line | ({"bytes": size} if size else {})), flush=True)
    os._exit(0)


if __name__ == "__main__":
    main()
