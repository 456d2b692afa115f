"""What a run costs, beside the scripts it replaces: CPU seconds, wall seconds, peak memory.

    cargo build --profile fast && python tests/bench/bench.py daily --sales online_retail.csv.gz --peers PEERS
    python tests/bench/bench.py events --ndjson events.ndjson --peers PEERS
    python tests/bench/bench.py api --ndjson events.ndjson --peers PEERS
    python tests/bench/bench.py postgres --peers PEERS --paths psql,dlt-parquet
    python tests/bench/bench.py limit --mib 512 -- TIDEMARK run …      # one command under a hard memory limit (root, Linux)

`daily`: the sales file from ingest to report, against pandas and polars scripts that write the same workbook. `events`: NDJSON to raw to
clean, types checked and quarantine on, against converters that check nothing. `api`: the same events from an API on this machine, in pages
of 1,000 by cursor, landed, raw and clean by key, against dlt into Parquet; needs PEERS, whose `api.py` serves them. `postgres`: a million rows that
are new, half of which differ, and none of which differs, from a dataset into a table that exists, over one, two and four connections, against the
paths of PEERS' `postgres.py`, whose server and figures these are. Contenders take turns; the medians are printed, one JSON line
each. PEERS is a folder with the scripts `daily_sales.py`, `convert.py` and `api.py`; without it only tidemark is measured. `peak_mib` is the largest
resident size of the process, mapped files included.
"""

import argparse
import json
import os
import shlex
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from statistics import median

REPOSITORY = Path(__file__).resolve().parents[2]
FILES = """
[source]
kind = "files"
path = "${EVENTS}"
[contract]
dataset = "events"
"""
API = """
[source]
kind = "http"
url = "${EVENTS}/events"
records = "/data"
pagination = { kind = "cursor", next = "/meta/next" }
incremental = { column = "ts", parameter = "updated_since", lookback = "1h" }
[contract]
dataset = "events"
key = ["id"]
latest_by = "ts"
partition_by = { column = "ts", every = "day", as = "day" }
"""
LOAD = """
[[target]]
kind = "postgres"
dataset = "events"
url = "${URI}"
table = "events"
mode = "upsert"
key = ["id"]
connections = %d
"""
COLUMNS = """
[contract.columns]
id = { type = "int64", required = true }
ts = "datetime"
user_id = "int64"
event = "string"
country = "string"
status = "string"
amount = "float64"
qty = "int32"
sku = "string"
note = "string"
"""


def target() -> Path:
    default = Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache")) / "tidemark/target"
    for folder in (os.environ.get("CARGO_TARGET_DIR"), REPOSITORY / "target", default):
        if folder and (Path(folder) / "fast/tidemark").exists():
            return Path(folder) / "fast/tidemark"
    sys.exit("no fast binary: run `cargo build --profile fast` first, or give --tidemark")


def cost(command: list[str]) -> dict:
    began = time.perf_counter()
    child = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    _, status, usage = os.wait4(child.pid, 0)
    return {
        "wall_s": round(time.perf_counter() - began, 3),
        "cpu_s": round(usage.ru_utime + usage.ru_stime, 3),
        "peak_mib": round(usage.ru_maxrss / 1024, 1),
        "exit": os.waitstatus_to_exitcode(status),
    }


def compare(contenders: dict[str, str], repeat: int) -> None:
    """Each command's {out} is a folder that is not there yet."""
    runs: dict[str, list[dict]] = {name: [] for name in contenders}
    with tempfile.TemporaryDirectory() as scratch:
        for _ in range(repeat):
            for name, command in contenders.items():
                out = Path(scratch) / name
                shutil.rmtree(out, ignore_errors=True)
                runs[name].append(cost([word.replace("{out}", str(out)) for word in shlex.split(command)]))
    for name, costs in runs.items():
        middle = {figure: median(cost[figure] for cost in costs) for figure in ("wall_s", "cpu_s", "peak_mib")}
        print(json.dumps({"name": name, **middle, "exit": max(cost["exit"] for cost in costs), "runs": len(costs)}))


def over_api(args: argparse.Namespace, tidemark: str, peer: str) -> None:
    serve = [*shlex.split(f"{peer}/api.py serve"), args.ndjson, "--page", "1000", "--since-field", "ts"]
    with subprocess.Popen(serve, stdout=subprocess.PIPE) as server, tempfile.TemporaryDirectory() as folder:
        url = json.loads(server.stdout.readline())["url"]
        (Path(folder) / "events.toml").write_text(API + COLUMNS)
        ours = f"{tidemark} run --pipelines {folder} --set EVENTS={url} --lake {{out}}"
        dlt = f"{peer}/api.py dlt {url} {{out}}"
        compare({"tidemark": ours, "dlt": dlt, "dlt-arrow": f"{dlt} --arrow"}, args.repeat)
        server.terminate()


def over_postgres(args: argparse.Namespace, tidemark: str, peer: str) -> None:
    """The datasets are made beforehand; what is measured is `tidemark run load --full`: every row is sent."""
    with tempfile.TemporaryDirectory() as folder:
        events = COLUMNS.replace("int32", "int64")
        made = Path(folder) / "made"
        made.mkdir()
        (made / "events.toml").write_text(FILES + 'key = ["id"]\n' + events)
        files = [*shlex.split(f"{peer}/postgres_paths.py files"), folder, "--rows", str(args.rows), "--base", str(args.rows)]
        subprocess.run(files, check=True, stdout=subprocess.DEVNULL)
        for load in ("new", "half"):
            ours = f"{tidemark} run --pipelines {made} --set EVENTS={folder}/{load}.parquet --lake {folder}/{load}"
            subprocess.run(shlex.split(ours), check=True, stdout=subprocess.DEVNULL)
        command = [*shlex.split(f"{peer}/postgres.py {args.paths} --rows {args.rows} --base {args.rows}")]
        for connections in (1, 2, 4):
            pipelines = Path(folder) / f"load-{connections}"
            pipelines.mkdir()
            (pipelines / "events.toml").write_text((made / "events.toml").read_text())
            (pipelines / "load.toml").write_text(LOAD % connections)
            # the server wants no password, and tidemark has none in a URL
            script = pipelines / "load.sh"
            script.write_text(
                f"exec {tidemark} run load --full --pipelines {pipelines} --set EVENTS=none "
                f'--set URI="$(echo "$1" | sed s/:unused//)" --lake "{folder}/$(basename "$2" .parquet)"\n'
            )
            name = "tidemark" if connections == 1 else f"tidemark-{connections}"
            command += ["--also", f"{name}=sh {script} {{uri}} {{parquet}}"]
        subprocess.run([*command, "--repeat", str(args.repeat)], check=True)


def limit(mib: int, command: list[str]) -> None:
    """Runs a command in a memory control group of its own; swap does not help it."""
    group = Path("/sys/fs/cgroup/memory/tidemark-bench")
    names = ("memory.limit_in_bytes", "memory.max_usage_in_bytes")
    if not group.parent.exists():
        group, names = Path("/sys/fs/cgroup/tidemark-bench"), ("memory.max", "memory.peak")
    group.mkdir(exist_ok=True)
    (group / names[0]).write_text(str(mib << 20))
    enter = lambda: (group / "cgroup.procs").write_text(str(os.getpid()))  # noqa: E731
    began = time.perf_counter()
    child = subprocess.Popen(command, preexec_fn=enter)
    _, status, usage = os.wait4(child.pid, 0)
    figures = {
        "limit_mib": mib,
        "wall_s": round(time.perf_counter() - began, 1),
        "cpu_s": round(usage.ru_utime + usage.ru_stime, 1),
        "rss_mib": round(usage.ru_maxrss / 1024, 1),
        "group_peak_mib": round(int((group / names[1]).read_text()) / 2**20, 1),
        "exit": os.waitstatus_to_exitcode(status),
    }
    group.rmdir()
    print(json.dumps(figures))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=("daily", "events", "api", "postgres", "limit"))
    parser.add_argument("--sales", help="the sales CSV")
    parser.add_argument("--ndjson", help="the events")
    parser.add_argument("--peers", type=Path, help="folder of the peers' scripts")
    parser.add_argument("--python", default=sys.executable, help="the Python that runs them")
    parser.add_argument("--tidemark", type=Path)
    parser.add_argument("--repeat", type=int, default=3)
    parser.add_argument("--paths", default="psql,dlt-parquet,dlt-default", help="those of the peers' postgres.py")
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--mib", type=int, default=1024)
    given = sys.argv[1:]
    cut = given.index("--") if "--" in given else len(given)
    args = parser.parse_args(given[:cut])
    if args.what == "limit":
        return limit(args.mib, given[cut + 1 :])
    tidemark = args.tidemark or target()
    peer = f"{args.python} {args.peers}"
    if args.what == "daily":
        pipelines = REPOSITORY / "infra/pipelines"
        ours = f"{tidemark} run daily-sales --pipelines {pipelines} --set SALES={args.sales} --set REPORTS={{out}}/reports"
        contenders = {"tidemark": f"{ours} --lake {{out}}/lake --at 2011-12-09T08:00:00Z"}
        if args.peers:
            for tool in ("pandas", "polars"):
                contenders[tool] = f"{peer}/daily_sales.py {tool} {args.sales} 2011-12-08 {{out}}"
        return compare(contenders, args.repeat)
    if args.what == "api":
        return over_api(args, f"{tidemark}", peer)
    if args.what == "postgres":
        return over_postgres(args, f"{tidemark}", peer)
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "events.toml").write_text(FILES + COLUMNS)
        ours = f"{tidemark} run --pipelines {folder} --set EVENTS={args.ndjson} --lake {{out}}"
        contenders = {"tidemark": ours}
        if args.peers:
            for tool in ("polars", "duckdb"):
                contenders[tool] = f"{peer}/convert.py {tool} {args.ndjson} {{out}}"
        compare(contenders, args.repeat)


if __name__ == "__main__":
    main()
