"""What the repository says about metrics, read into plain data: tables, rules, panels, headings.

Enters: texts. Leaves: dictionaries and lists. The rules are read by their lines and not as YAML, for which Python has no reader of
its own; so each rule begins with `- alert:` or `- record:`, and `expr` is one line or a block (`|-`).

Invariant: what this overlooks is found out: the number of rules read is held against promtool's.
"""

import json
import re

ROW = re.compile(r"^\| `([a-z_]+)` \| (counter|gauge|histogram) \| ([^|]*) \| (.*) \|$", re.M)
FENCE = re.compile(r"^```(\w*)\n(.*?)^```", re.M | re.S)


def table(text, name):
    """The rows between `<!-- name:begin -->` and `<!-- name:end -->`: metric → (kind, labels, help)."""
    inner = text.partition(f"<!-- {name}:begin -->")[2].partition(f"<!-- {name}:end -->")[0]
    return {metric: (kind, set(re.findall(r"`(\w+)`", labels)), said) for metric, kind, labels, said in ROW.findall(inner)}


def rules(text):
    """The rules of a file: dictionaries with `alert` or `record`, `expr`, and of an alert `severity`, `summary`, `runbook_url`."""
    found, block = [], None
    for line in text.splitlines():
        indent = len(line) - len(line.lstrip())
        if block is not None and (not line.strip() or indent > block):
            found[-1]["expr"] += line.strip() + "\n"
            continue
        block = None
        if match := re.match(r"\s*- (alert|record): (\S+)$", line):
            found.append({match[1]: match[2], "expr": ""})
        elif match := re.match(r"\s*expr: ?(.*)$", line):
            if match[1] in ("|-", "|"):
                block = indent
            else:
                found[-1]["expr"] = match[1]
        elif match := re.match(r"\s*labels: \{severity: (\w+)\}$", line):
            found[-1]["severity"] = match[1]
        elif match := re.match(r"\s*(summary|runbook_url): (.*)$", line):
            found[-1][match[1]] = match[2].strip("\"'")
    return found


def cases(text):
    """The alerts of a file of tests: (name, whether it is expected to fire)."""
    flow = re.findall(r"\{eval_time: \w+, alertname: (\w+), exp_alerts: \[\]\}", text)
    block = re.findall(r"alertname: (\w+)\n +exp_alerts:\n +- ", text)
    return [(name, False) for name in flow] + [(name, True) for name in block]


def panels(text):
    """The panels of a dashboard, rows included, in their order."""
    return json.loads(text)["panels"]


def headings(text):
    """The alerts that a runbook has a heading for."""
    return re.findall(r"^### (Leadline\w+)$", text, re.M)


def fences(text, language):
    """The fenced blocks of one language."""
    return [body for said, body in FENCE.findall(text) if said == language]


def commands(args):
    """What can be typed after `leadline`, read from all of src/cli/args: `api`, `lead show` …"""
    kebab = lambda name: re.sub(r"(?<!^)(?=[A-Z])", "-", name).lower()
    enums = {name: re.findall(r"^    ([A-Z]\w+)(?:\((\w+)\))?", body, re.M)
             for name, body in re.findall(r"^pub enum (\w+) \{\n(.*?)^\}", args, re.M | re.S)}
    found = set()
    for variant, inner in enums["Command"]:
        below = enums.get(inner, [])
        found.update(f"{kebab(variant)} {kebab(name)}" for name, _ in below)
        if not below:
            found.add(kebab(variant))
    return found


def keys(toml):
    """The settings of config/default.toml: `room.key`."""
    room, found = "", set()
    for line in toml.splitlines():
        if match := re.match(r"\[(\w+)\]$", line):
            room = match[1]
        elif match := re.match(r"(\w+) = ", line):
            found.add(f"{room}.{match[1]}")
    return found
