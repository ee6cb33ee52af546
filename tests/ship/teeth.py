"""Proves that the checks bite: each case spoils one thing, and a check has to find it.

Enters: what was found good. Leaves: for each case its name, and a fault if nothing noticed.

Invariant: a case that changes nothing is a fault itself, so that none goes blunt unseen.
"""

import copy

import compose
import image
import kube
import kube_fit
import units
from facts import text


def one(things, kind, name):
    return next(thing for thing in things if thing["kind"] == kind and thing["metadata"]["name"] == name)


def pod(things, name="leadline-api", kind="Deployment"):
    return one(things, kind, name)["spec"]["template"]["spec"]


def box(things, name="leadline-api"):
    return pod(things, name)["containers"][0]


def put(place, key, value):
    place[key] = value


KUBERNETES = {
    "a misspelt field": lambda t: put(box(t), "imagePullPolice", "Always"),
    "a number where text belongs": lambda t: put(one(t, "Service", "leadline-api")["spec"]["selector"], "x", 1),
    "an unknown kind": lambda t: put(one(t, "Service", "leadline-api"), "kind", "Servise"),
    "a misspelt field of KEDA": lambda t: put(one(t, "ScaledObject", "leadline-worker")["spec"], "maxReplicas", 9),
    "root": lambda t: put(pod(t)["securityContext"], "runAsNonRoot", False),
    "a writable root": lambda t: put(box(t)["securityContext"], "readOnlyRootFilesystem", False),
    "a capability": lambda t: put(box(t)["securityContext"]["capabilities"], "add", ["NET_ADMIN"]),
    "a token": lambda t: put(pod(t), "automountServiceAccountToken", True),
    "memory without a limit": lambda t: box(t)["resources"].pop("limits"),
    "a missing ConfigMap": lambda t: put(pod(t)["volumes"][0]["configMap"], "name", "leadline-config"),
    "a Service of nobody": lambda t: put(one(t, "Service", "leadline-api")["spec"]["selector"], "x", "y"),
    "a policy for a port that is not there": lambda t: put(
        one(t, "NetworkPolicy", "leadline-callers")["spec"]["ingress"][0]["ports"][0], "port", "https"
    ),
    "replicas beside an autoscaler": lambda t: put(one(t, "Deployment", "leadline-worker")["spec"], "replicas", 2),
    "a probe of a path that is not served": lambda t: put(box(t)["livenessProbe"]["httpGet"], "path", "/healthz"),
    "liveness that asks for readiness": lambda t: put(box(t)["livenessProbe"]["httpGet"], "path", "/readyz"),
    "a port that nothing listens on": lambda t: put(box(t)["ports"][0], "containerPort", 8081),
    "a variable that means nothing": lambda t: put(box(t)["env"][0], "name", "LEADLINE__HTTP__LISTN"),
    "a setting that does not exist": lambda t: put(
        next(x for x in t if x["kind"] == "ConfigMap")["data"], "leadline.toml", "[http]\nlistn = '0.0.0.0:8080'\n"
    ),
    "a command that does not exist": lambda t: put(box(t), "args", ["serve"]),
    "a kill before the stop is over": lambda t: put(pod(t), "terminationGracePeriodSeconds", 38),
    "another image": lambda t: put(box(t), "image", "leadline:latest"),
    "a secret": lambda t: t.append(
        {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "x", "namespace": "leadline"}}
    ),
    "a password in a variable": lambda t: box(t)["env"].append({"name": "AMQP_URL", "value": "amqp://a:secret@b/"}),
    "a metric that does not exist": lambda t: put(
        one(t, "ScaledObject", "leadline-worker")["spec"]["triggers"][1]["metadata"], "query", "max(leadline_queue_depth)"
    ),
    "a label that does not exist": lambda t: put(
        one(t, "ScaledObject", "leadline-worker")["spec"]["triggers"][1]["metadata"],
        "query",
        'max(leadline_queue_messages{shard="s00"})',
    ),
    "an empty answer that means zero": lambda t: one(t, "ScaledObject", "leadline-worker")["spec"]["triggers"][0][
        "metadata"
    ].pop("ignoreNullValues"),
}

COMPOSE = {
    "an unknown key": ("    shm_size:", "    shm_sise:"),
    "a key twice": ("    shm_size: 256m", "    shm_size: 256m\n    shm_size: 1g"),
    "a network that does not exist": ("    networks: [watch]", "    networks: [wach]"),
    "a writable root": ("read_only: true\n  cap_drop", "read_only: false\n  cap_drop"),
    "a port for everybody": ('"127.0.0.1:${GRAFANA_PORT:-3000}:3000"', '"${GRAFANA_PORT:-3000}:3000"'),
    "an image that may be anything": ("prom/prometheus:v3.13.1", "prom/prometheus"),
    "a wait for nobody's health": ("test: [CMD, pg_isready", "tost: [CMD, pg_isready"),
    "a command that does not exist": ("command: [worker]", "command: [work]"),
    "a variable that means nothing": ("    RUST_LOG:", "    LEADLINE__LOG:"),
    "a kill before the stop is over": ("stop_grace_period: 30s", "stop_grace_period: 20s"),
    "commits that are not durable": ("-csynchronous_commit=on", "-csynchronous_commit=off"),
    "too few connections": ("-cmax_connections=200", "-cmax_connections=20"),
    "a dashboard where nobody looks": ("target: /etc/grafana/dashboards/", "target: /etc/grafana/boards/"),
    "a Prometheus that RabbitMQ cannot be seen from": ("    networks: [leads, watch]\n\n  migrate", "    networks: [leads]\n\n  migrate"),
    "a file that is not there": ("./compose.d/rabbitmq.conf", "./compose.d/rabbit.conf"),
    "a password": ("${RABBITMQ_PASSWORD:?run deploy/compose, or see deploy/.env.example}@", "hunter2@"),
}

RABBITMQ = {
    "a watermark above the container": ("= 1200MB", "= 4GB"),
    "a heartbeat of its own": ("heartbeat = 10", "heartbeat = 60"),
    "a consumer timeout below the hold": ("= 1800000", "= 60000"),
}

DOCKERFILE = {
    "root": ("USER 65532:65532", "USER root"),
    "a base that may be anything": ("cc-debian13:nonroot\n\nFROM", "cc-debian13\n\nFROM"),
    "another Rust": ("rust:1.94-slim-trixie\nARG BASE", "rust:1.80-slim-trixie\nARG BASE"),
    "another libc": ("ARG BASE_IMAGE=gcr.io/distroless/cc-debian13", "ARG BASE_IMAGE=gcr.io/distroless/cc-debian12"),
    "a build that may change its lock": ("--release --locked", "--release"),
    "a source that is not copied": ("COPY config config\n", ""),
    "a health check that wants a shell": ('CMD ["/usr/local/bin/leadline", "--config"', 'CMD leadline "--config"'),
}

UNITS = {
    "a misspelt directive": ("ProtectClock=", "ProtectClok="),
    "a kill before the stop is over": ("TimeoutStopSec=30", "TimeoutStopSec=20"),
    "no idea of 2": ("SuccessExitStatus=2\n", ""),
    "no right to raise a limit": ("~@privileged", "~@privileged @resources"),
    "a command that does not exist": ("leadline.toml api", "leadline.toml serve"),
    "one port for two": ("127.0.0.1:19100", "127.0.0.1:19101"),
    "a variable that means nothing": ("LEADLINE__HTTP__METRICS_LISTEN", "LEADLINE__METRICS__LISTEN"),
    "no walls": ("SystemCallFilter=", "#SystemCallFilter="),
}


def verdict(good, spoil, faults):
    """Lazy, so that whatever goes wrong in here is the case's own."""
    spoilt = spoil(good)
    if spoilt == good:
        yield "the case changes nothing any more"
    elif next(iter(faults(spoilt)), None) is None:
        yield "nothing noticed"


def spoiling(case):
    def spoil(things):
        spoilt = copy.deepcopy(things)
        case(spoilt)
        return spoilt

    return spoil


def replacing(old, new):
    return lambda body: body.replace(old, new)


def kubernetes_faults(things, facts):
    # The newest release will do to prove the point.
    yield from kube.schema_faults(things, kube.RELEASES[-1:])
    for check in kube.CHECKS[1:]:
        yield from check(things)
    for check in kube_fit.CHECKS:
        yield from check(things, facts)
    yield from kube_fit.secret_faults(things)


def compose_faults(body, conf, facts):
    yield from compose.shape_faults(body)
    file = compose.read(body)
    for check in (compose.hardening_faults, compose.order_faults):
        yield from check(file)
    for check in (compose.fit_faults, compose.postgres_faults):
        yield from check(file, facts)
    yield from compose.rabbitmq_faults(file, conf, facts)
    yield from compose.env_faults(body, text("deploy/.env.example"))


def unit_faults(found, facts, analyze):
    yield from units.fit_faults(found, facts)
    if analyze:
        yield from units.systemd_faults(found, analyze)


def bites(facts, things, found, analyze):
    """(name, faults) of every case. `things` is None where nothing could be rendered, `analyze` empty without systemd."""
    for name, case in KUBERNETES.items() if things else ():
        yield f"kubernetes, {name}", verdict(things, spoiling(case), lambda spoilt: kubernetes_faults(spoilt, facts))
    body, conf = text("deploy/compose.yaml"), text("deploy/compose.d/rabbitmq.conf")
    for name, case in COMPOSE.items():
        yield f"compose, {name}", verdict(body, replacing(*case), lambda spoilt: compose_faults(spoilt, conf, facts))
    for name, case in RABBITMQ.items():
        yield f"compose, {name}", verdict(conf, replacing(*case), lambda spoilt: compose_faults(body, spoilt, facts))
    ignore = text(".dockerignore")
    for name, case in DOCKERFILE.items():
        dockerfile = text("deploy/Dockerfile")
        yield f"image, {name}", verdict(dockerfile, replacing(*case), lambda spoilt: image.faults(facts, spoilt, ignore))
    unit = "leadline-api.service"
    for name, case in UNITS.items():
        if name != "a misspelt directive" or analyze:
            with_it = lambda spoilt: unit_faults({**found, unit: spoilt}, facts, analyze)  # noqa: E731
            yield f"systemd, {name}", verdict(found[unit], replacing(*case), with_it)
