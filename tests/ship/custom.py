"""Custom resources: their shape by the schemas in deploy/kubernetes/schemas, and the metrics that their queries name.

Invariant: a metric, label or queue that Leadline does not have is found in any PromQL that stands in a manifest.
"""

import json
import re

import jsonschema

from facts import ROOT

SCHEMAS = {
    json.loads(path.read_text(encoding="utf-8"))["title"]: json.loads(path.read_text(encoding="utf-8"))
    for path in sorted((ROOT / "deploy/kubernetes/schemas").glob("*.json"))
}


def schema_of(thing):
    return SCHEMAS.get(f"{thing['apiVersion']}/{thing['kind']}")


def shape(thing):
    """Faults of a custom resource, or None if we have no schema for it."""
    schema = schema_of(thing)
    if schema is None:
        return None
    found = jsonschema.Draft202012Validator(schema).iter_errors(thing)
    return [f"{'.'.join(map(str, fault.path))}: {fault.message}" for fault in found]


def query_faults(query, facts):
    """Names in a query that Leadline does not export. `namespace` and the like are given by whoever scrapes."""
    given = {"namespace", "pod", "service", "instance", "job", "component", "le"}
    names = re.findall(r"\b(leadline_\w+)(\{[^}]*\})?", query)
    if not names:
        yield f"no metric of Leadline in {query!r}"
    for name, labels in names:
        metric = name if name in facts.metrics else re.sub(r"_(bucket|sum|count)$", "", name)
        kind, own = facts.metrics.get(metric, (None, set()))
        if kind is None or (metric != name and kind != "histogram") or (metric == name and kind == "histogram"):
            yield f"the README's table has no {name}"
            continue
        for label, sign, value in re.findall(r'(\w+)\s*(=~|!~|!=|=)\s*"([^"]*)"', labels):
            if label not in own | given:
                yield f"{metric} has no label {label}"
            if label == "queue" and not any(re.fullmatch(value, queue) for queue in facts.queues):
                yield f"no queue is named {value}"


def trigger_faults(scaled, facts):
    for trigger in scaled["spec"]["triggers"]:
        if trigger["type"] == "prometheus":
            yield from query_faults(trigger["metadata"]["query"], facts)
            # A missing answer must be an error, or a lost Prometheus would look like an empty queue.
            if trigger["metadata"].get("ignoreNullValues") != "false" or "fallback" not in scaled["spec"]:
                yield "a query without an answer would scale down: ignoreNullValues and fallback"
            if trigger.get("metricType") != "AverageValue":
                yield "KEDA falls back for AverageValue only"
