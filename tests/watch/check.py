#!/usr/bin/env python3
"""Holds rules, alerts, their tests, the dashboard and the runbook against each other and against the metrics that exist.

Usage: check.py FOLDER. Prints one line per offence and fails if there is any. Into FOLDER it writes what promtool is to judge:
`dashboard.rules.yml`, every expression of the dashboard and the runbook as a rule; `metrics.txt`, a sample of every metric; `rules`,
how many rules it read.

Invariant: every check is a pure function over what sources.py read, and test_watch.py shows that it can fail.
"""

import json
import re
import sys
from pathlib import Path

from promql import metrics, values
from sources import cases, commands, fences, headings, keys, panels, rules, table

ROOT = Path(__file__).resolve().parents[2]
ROWS = ["Accept", "Queue", "Record", "Reply", "Engines", "Processes"]
# Prometheus makes these itself.
OWN = {"up": ("gauge", set(), "")}
TARGET = {"job", "instance"}


def known(readme):
    """All metrics by name, a histogram by the three names it is exposed under as well."""
    found = {**OWN, **readme}
    for name, (kind, labels, said) in list(found.items()):
        if kind == "histogram":
            found |= {f"{name}_sum": (kind, labels, said), f"{name}_count": (kind, labels, said),
                      f"{name}_bucket": (kind, labels | {"le"}, said)}
    return found


def names(uses, exist, recorded):
    """Metrics and labels that are used and do not exist, and rules that are recorded and not used. `uses`: (place, expression)."""
    offences, seen = [], set()
    for place, expression in uses:
        for name, labels in metrics(expression).items():
            seen.add(name)
            if name in recorded:
                strange = labels - TARGET - set(name.partition(":")[0].split("_"))
            elif name in exist:
                strange = labels - TARGET - exist[name][1]
            else:
                offences.append(f"{place}: there is no metric {name}")
                continue
            offences += [f"{place}: {name} has no label {label}" for label in sorted(strange)]
    offences += [f"{name} is recorded, and nobody uses it" for name in sorted(recorded - seen)]
    return offences


def unheard(uses, exposed, readme):
    """Label values that are matched and that no series has. `exposed`: metric → label → values, of a Leadline that runs. Counters
    and histograms show all of their values from the start; of a gauge one is enough. Statuses are seen only when they are said."""
    offences = []
    for place, expression in uses:
        for name, label, words in values(expression):
            there = exposed.get(name, {}).get(label)
            if there is None or label == "status":
                continue
            missing = [word for word in words if word not in there]
            if missing and (readme.get(name, ("",))[0] != "gauge" or len(missing) == len(words)):
                offences.append(f'{place}: no {name} has {label}="{missing[0]}"')
    return offences


def unwatched(uses, readme):
    """Metrics that neither a rule nor a panel looks at."""
    seen = {re.sub("_(bucket|sum|count)$", "", name) for _, expression in uses for name in metrics(expression)}
    seen |= {name for _, expression in uses for name in metrics(expression)}
    return [f"README.md: nobody looks at {name}" for name in sorted(set(readme) - seen)]


def alerts(found, runbook, tests):
    """Alerts without severity, summary, heading or test, and headings and tests without alert."""
    offences = []
    for rule in found:
        name = rule["alert"]
        if rule.get("severity") not in ("page", "ticket"):
            offences.append(f"{name}: severity is page or ticket")
        if not rule.get("summary"):
            offences.append(f"{name}: no summary")
        if rule.get("runbook_url") != f"deploy/runbook.md#{name.lower()}":
            offences.append(f"{name}: runbook_url is not deploy/runbook.md#{name.lower()}")
        offences += [f"{name}: no test where it {'fires' if fires else 'is silent'}"
                     for fires in (True, False) if (name, fires) not in tests]
    there = [rule["alert"] for rule in found]
    offences += [f"{name}: no heading in the runbook" for name in there if name not in runbook]
    offences += [f"runbook: {name} is no alert" for name in runbook if name not in there]
    offences += [f"tests: {name} is no alert" for name in sorted({name for name, _ in tests}) if name not in there]
    offences += [f"{name} stands twice" for name in sorted({name for name in there if there.count(name) > 1})]
    return offences


def recording(found):
    """Names that are not level:metric:operations."""
    return [f"{rule['record']}: not level:metric:operations" for rule in found
            if not re.fullmatch(r"job(_[a-z]+)*:leadline_[a-z_]+:[a-z0-9_]+", rule["record"])]


def dashboard(text):
    """A dashboard that somebody else's Grafana could not load, or nobody could read."""
    whole, offences = json.loads(text), []
    if whole.get("uid") != "leadline":
        offences.append("dashboard: the uid is no longer `leadline`, and every link to it is dead")
    if [variable["name"] for variable in whole["templating"]["list"]] != ["datasource", "job", "instance"]:
        offences.append("dashboard: the variables are datasource, job, instance")
    if [panel["title"].partition(":")[0] for panel in whole["panels"] if panel["type"] == "row"] != ROWS:
        offences.append(f"dashboard: the rows are {', '.join(ROWS)}")
    if len({panel["id"] for panel in whole["panels"]}) != len(whole["panels"]):
        offences.append("dashboard: two panels have one id")
    offences += [f"dashboard: {place} is a place of some machine" for place in re.findall(r"https?://[^\"\s]+|\d+\.\d+\.\d+\.\d+", text)]
    for panel in whole["panels"]:
        if panel["type"] == "row":
            continue
        title = f"dashboard, {panel['title']}"
        if len(panel.get("description", "")) < 20:
            offences.append(f"{title}: no description")
        if not panel["fieldConfig"]["defaults"].get("unit"):
            offences.append(f"{title}: no unit")
        if any(it["datasource"]["uid"] != "${datasource}" for it in [panel, *panel["targets"]]):
            offences.append(f"{title}: its datasource is not the variable")
    return offences


def typed(runbook, there, settings):
    """Commands and settings that the runbook names and that do not exist."""
    code = "\n".join(fences(runbook, "sh") + re.findall(r"`([^`\n]+)`", runbook))
    offences = []
    for first, second in re.findall(r"(?<![\w/.-])leadline ([a-z]+)(?: ([a-z]+))?", code):
        if first not in there and f"{first} {second}" not in there:
            offences.append(f"runbook: there is no `leadline {first} {second}`".rstrip())
    rooms = "|".join({key.partition(".")[0] for key in settings})
    offences += [f"runbook: there is no setting {key}" for key in re.findall(rf"(?<![\w.])((?:{rooms})\.[a-z_]+)(?![\w.])", code)
                 if key not in settings]
    return offences


def expressions(text):
    """Every expression of a dashboard, its links to firing alerts left out: (place, expression)."""
    return [(f"dashboard, {panel['title']}", target["expr"].replace("$__rate_interval", "5m"))
            for panel in panels(text) for target in panel.get("targets", [])]


def used():
    """Every expression: of rules and alerts, and of dashboard and runbook: (place, expression)."""
    read = lambda path: (ROOT / path).read_text()
    found = rules(read("deploy/prometheus/leadline.rules.yml")) + rules(read("deploy/prometheus/alerts.yml"))
    shown = expressions(read("deploy/grafana/leadline.json"))
    shown += [("runbook", block.strip()) for block in fences(read("deploy/runbook.md"), "promql")]
    return [(rule.get("record") or rule["alert"], rule["expr"]) for rule in found], shown


def main(folder):
    read = lambda path: (ROOT / path).read_text()
    readme = table(read("README.md"), "metrics")
    recorded, alerting = rules(read("deploy/prometheus/leadline.rules.yml")), rules(read("deploy/prometheus/alerts.yml"))
    tests = [case for path in sorted((ROOT / "deploy/prometheus/tests").glob("*.yml")) for case in cases(path.read_text())]
    runbook, board = read("deploy/runbook.md"), read("deploy/grafana/leadline.json")
    typing = "\n".join(path.read_text() for path in sorted((ROOT / "src/cli/args").glob("*.rs")))
    ruled, shown = used()
    uses = ruled + shown
    offences = (names(uses, known(readme), {rule["record"] for rule in recorded}) + unwatched(uses, readme)
                + alerts(alerting, headings(runbook), tests) + recording(recorded) + dashboard(board)
                + typed(runbook, commands(typing), keys(read("config/default.toml"))))
    for offence in offences:
        print(offence)
    parsed = [{"record": f"shown:{number}", "expr": expression} for number, (_, expression) in enumerate(shown)]
    (folder / "dashboard.rules.yml").write_text(json.dumps({"groups": [{"name": "shown", "rules": parsed}]}, indent=1))
    lines = []
    for name, (kind, _, said) in sorted(readme.items()):
        sample = f'{name}_bucket{{le="+Inf"}} 0\n{name}_sum 0\n{name}_count 0' if kind == "histogram" else f"{name} 0"
        lines.append(f"# HELP {name} {said}\n# TYPE {name} {kind}\n{sample}\n")
    (folder / "metrics.txt").write_text("".join(lines))
    (folder / "rules").write_text(str(len(recorded + alerting)))
    print(f"{len(readme)} metrics, {len(recorded)} recorded, {len(alerting)} alerts, {len(tests)} cases,"
          f" {len(shown)} expressions shown: {len(offences)} offences")
    return 1 if offences else 0


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
