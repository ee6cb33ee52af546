#!/usr/bin/env python3
"""A real Prometheus watches a Leadline that runs, with the configuration, rules and alerts of deploy/prometheus.

Usage: live.py HOST:PORT, where /metrics is served. tests/clients/run calls it when the real clients have been served, so that
there is something to see. Prints `ok …` or `not ok …` per check, as the clients do, and fails if there is one of the latter.

Invariant: Prometheus listens on 127.0.0.1 only, writes into a folder that goes with it, and is gone when this is.
"""

import json
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from urllib.error import HTTPError
from urllib.parse import urlencode
from urllib.request import ProxyHandler, build_opener

from check import ROOT, expressions, unheard, used
from sources import rules, table

PATIENCE = 60
HERE = ROOT / "deploy/prometheus"
RULES = ["leadline.rules.yml", "alerts.yml"]
direct = build_opener(ProxyHandler({}))
failed = 0


def judge(name, faults):
    """One line: whether a check passed."""
    global failed
    faults = list(faults)
    failed += bool(faults)
    print(f"not ok prometheus, {name}: {'; '.join(faults[:5])}" if faults else f"ok prometheus, {name}", flush=True)


def get(url):
    with direct.open(url, timeout=10) as answer:
        return answer.read().decode()


def undeclared(text, readme):
    """Families of an exposition that the README's table does not have, or has as another kind."""
    for name, kind in re.findall(r"^# TYPE (\S+) (\S+)$", text, re.M):
        if name not in readme:
            yield f"the README's table has no {name}"
        elif readme[name][0] != kind:
            yield f"{name} is a {kind}, and a {readme[name][0]} in the README's table"


def exposition(text):
    """The label values of an exposition: metric → label → values."""
    found = {}
    for name, labels in re.findall(r"^(\w+)\{(.*)\} \S+$", text, re.M):
        for label, value in re.findall(r'(\w+)="((?:\\.|[^"\\])*)"', labels):
            found.setdefault(name, {}).setdefault(label, set()).add(value)
    return found


class Prometheus:
    """Started in a folder, for one target; ended with the `with`."""

    def __init__(self, folder, target):
        config = (HERE / "prometheus.yml").read_text()
        config = re.sub(r"_interval: \w+", "_interval: 1s", config)
        config, found = re.subn(r"(?m)^    dns_sd_configs:\n.*$", f"    static_configs:\n      - targets: ['{target}']", config)
        assert found == 1, "prometheus.yml no longer finds Leadline by one line of names"
        config = config.partition("  - job_name: rabbitmq\n")[0]
        (folder / "prometheus.yml").write_text(config)
        for name in RULES:
            # Leadline has just begun: what is evaluated once a minute is evaluated at once.
            text = re.sub(r"(?m)^ *interval: 1m\n", "", (HERE / name).read_text())
            (folder / name).write_text(text)
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        self.url, self.log = f"http://127.0.0.1:{port}", folder / "log"
        self.process = subprocess.Popen(
            ["prometheus", f"--config.file={folder}/prometheus.yml", f"--storage.tsdb.path={folder}/data",
             f"--web.listen-address=127.0.0.1:{port}", "--log.level=warn"],
            cwd=folder, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=self.log.open("w"))

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.terminate()
        try:
            self.process.wait(20)
        except subprocess.TimeoutExpired:
            self.process.kill()

    def ask(self, path, **query):
        """The `data` of an answer; a refusal as RuntimeError."""
        try:
            return json.loads(get(f"{self.url}/api/v1/{path}?{urlencode(query)}"))["data"]
        except HTTPError as error:
            raise RuntimeError(error.read().decode()[:300]) from None

    def value(self, expression):
        """The first value of an expression, or None."""
        found = self.ask("query", query=expression)["result"]
        return float(found[0]["value"][1]) if found else None

    def await_value(self, expression):
        """Waits until an expression has a value."""
        end, why = time.monotonic() + PATIENCE, "none"
        while time.monotonic() < end:
            if self.process.poll() is not None:
                raise RuntimeError(f"prometheus ended: {self.log.read_text()[-300:]}")
            try:
                if self.value(expression) is not None:
                    return
            except (OSError, RuntimeError) as error:
                why = str(error)
            time.sleep(0.2)
        raise RuntimeError(f"{expression} has no value within {PATIENCE} s; last error: {why}")


def wrong_rules(prometheus):
    """Rules that are not loaded, or that Prometheus cannot evaluate."""
    groups = prometheus.ask("rules")["groups"]
    loaded = {rule["name"]: rule for group in groups for rule in group["rules"]}
    for name in (rule.get("record") or rule["alert"] for file in RULES for rule in rules((HERE / file).read_text())):
        if name not in loaded:
            yield f"{name} is not loaded"
        elif loaded[name]["health"] != "ok":
            yield f"{name} is {loaded[name]['health']}: {loaded[name].get('lastError', 'not evaluated')}"


def wrong_panels(prometheus):
    """Expressions of the dashboard that Prometheus cannot evaluate."""
    for place, expression in expressions((ROOT / "deploy/grafana/leadline.json").read_text()):
        try:
            prometheus.value(expression.replace("$job", "leadline").replace("$instance", ".+"))
        except RuntimeError as error:
            yield f"{place}: {error}"


def main(target):
    text = get(f"http://{target}/metrics")
    lint = subprocess.run(["promtool", "check", "metrics"], input=text, capture_output=True, text=True)
    judge("promtool likes /metrics", (lint.stdout + lint.stderr).splitlines() if lint.returncode else [])
    readme = table((ROOT / "README.md").read_text(), "metrics")
    judge("what /metrics shows is declared", undeclared(text, readme))
    judge("what is declared is shown", (f"{name} is not there" for name in readme if f"\n# TYPE {name} " not in text))
    ruled, shown = used()
    judge("every label value that is asked for exists", unheard(ruled + shown, exposition(text), readme))
    folder = Path(tempfile.mkdtemp(prefix="leadline-watch-"))
    try:
        with Prometheus(folder, target) as prometheus:
            prometheus.await_value('up{job="leadline"} == 1')
            # Two samples, so that rates have a value, and every group evaluated on them.
            prometheus.await_value('count_over_time(up{job="leadline"}[1m]) > 3')
            prometheus.await_value('job:leadline_lead_errors:ratio_rate5m{job="leadline"}')
            judge("it loads and evaluates every rule", wrong_rules(prometheus))
            judge("it answers every panel", wrong_panels(prometheus))
            there = set(prometheus.ask("label/__name__/values"))
            exposed = {name for name in re.findall(r"^([a-z_]+)[ {]", text, re.M)}
            judge("it has what /metrics shows", (f"{name} was not scraped" for name in sorted(exposed - there)))
            firing = [alert["labels"]["alertname"] for alert in prometheus.ask("alerts")["alerts"] if alert["state"] == "firing"]
            judge("no alert fires", sorted(set(firing)))
    except (RuntimeError, OSError) as error:
        judge("it runs", [str(error)])
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    return 1 if failed else 0


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    sys.exit(main(sys.argv[1]))
