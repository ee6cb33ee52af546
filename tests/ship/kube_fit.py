"""Rendered manifests: do they fit this Leadline? Ports, paths, settings, commands, times, metrics, image.

Enters: the objects of one overlay and the facts. Leaves: one line per fault.

Invariant: what is compared comes from the rendered ConfigMap laid over the defaults, as a pod would read it.
"""

import re

import yaml

import custom
from facts import Facts, port_of, secrets_in, text
from kube import name, of, pod_of, reach, workloads

CONFIG = "/etc/leadline/leadline.toml"


def laid(things):
    """The configuration file of a rendered overlay, as text."""
    return next(thing["data"]["leadline.toml"] for thing in of(things, "ConfigMap"))


def boxes(things):
    for thing in workloads(things):
        for box in pod_of(thing)["spec"]["containers"]:
            yield thing, box


def role(box):
    return box["args"][0]


def setting_faults(things, facts):
    for key in facts.unknown_keys(laid(things)):
        yield f"leadline.toml: there is no setting {key}"
    for thing, box in boxes(things):
        for variable in box.get("env", []):
            if not facts.knows_variable(variable["name"]):
                yield f"{name(thing)}: {variable['name']} means nothing to Leadline"
        if not facts.knows_command(role(box)):
            yield f"{name(thing)}: there is no `leadline {role(box)}`"
        mounts = [mount["mountPath"] for mount in box.get("volumeMounts", [])]
        if CONFIG.rsplit("/", 1)[0] not in mounts:
            yield f"{name(thing)}: the configuration is not where the image looks for it"


def probe_faults(things, facts):
    config = facts.over(laid(things))
    listens = {"http": port_of(config["http"]["listen"]), "metrics": port_of(config["http"]["metrics_listen"])}
    routes = {"http": facts.api_routes, "metrics": facts.metrics_routes}
    for thing, box in boxes(things):
        for port in box.get("ports", []):
            if listens.get(port["name"]) != port["containerPort"]:
                yield f"{name(thing)}: nothing listens on {port['name']} {port['containerPort']}"
        wished = {"startupProbe": "/livez", "livenessProbe": "/livez", "readinessProbe": "/readyz"}
        for probe, path in wished.items() if thing["kind"] == "Deployment" else ():
            asked = box.get(probe, {}).get("httpGet", {})
            if asked.get("path") != path or path not in routes.get(asked.get("port"), ()):
                yield f"{name(thing)}: {probe} should ask {path} of a port that has it"
            if asked.get("port") not in [port["name"] for port in box["ports"]]:
                yield f"{name(thing)}: {probe} asks a port that the container does not name"
    for thing in of(things, "ServiceMonitor"):
        for point in thing["spec"]["endpoints"]:
            if point["path"] not in facts.metrics_routes:
                yield f"{name(thing)}: {point['path']} is not served"


def time_faults(things, facts):
    config = facts.over(laid(things))
    needed = facts.stop_seconds(config)
    for thing in of(things, "Deployment"):
        grace = pod_of(thing)["spec"]["terminationGracePeriodSeconds"]
        if grace <= needed:
            yield f"{name(thing)}: killed after {grace} s, but a stop may take {needed:g} s"


def secret_faults(things):
    """Secrets are named, never rendered; what is named stands in the example."""
    example = yaml.safe_load(text("deploy/kubernetes/base/secret.example.yaml"))
    for thing in of(things, "Secret"):
        yield f"{name(thing)}: a secret in a manifest"
    for fault in secrets_in(yaml.safe_dump_all(things)):
        yield fault
    for thing, box in boxes(things):
        for variable in box.get("env", []):
            ref = variable.get("valueFrom", {}).get("secretKeyRef")
            if ref and (ref["name"] != example["metadata"]["name"] or ref["key"] not in example["stringData"]):
                yield f"{name(thing)}: secret.example.yaml has no {ref['name']}/{ref['key']}"


def image_faults(things, facts):
    images = {box["image"] for _, box in boxes(things)}
    if len(images) != 1:
        yield f"several images: {', '.join(sorted(images))}"
    for image in images:
        if not re.fullmatch(rf"(\S+/)?leadline:{re.escape(facts.version)}", image):
            yield f"{image} is not leadline:{facts.version} (Cargo.toml)"


def metric_faults(things, facts):
    for thing in of(things, "ScaledObject"):
        yield from (f"{name(thing)}: {fault}" for fault in custom.trigger_faults(thing, facts))


def connections(things, facts):
    """What PostgreSQL has to bear at most: every replica, one more of each kind during an update, and the migration."""
    config = facts.over(laid(things))
    most = {target: count for target, _, count in map(reach, of(things, "ScaledObject", "HorizontalPodAutoscaler"))}
    total = 0
    for thing, box in boxes(things):
        if thing["kind"] == "Job":
            total += 1
            continue
        count = most.get(thing["metadata"]["name"], thing["spec"].get("replicas", 1))
        total += (count + thing["spec"]["strategy"]["rollingUpdate"]["maxSurge"]) * Facts.connections(config, role(box))
    return total


CHECKS = [setting_faults, probe_faults, time_faults, image_faults, metric_faults]
