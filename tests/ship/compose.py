"""deploy/compose.yaml: is it Compose, is it as hard as it says, does it fit Leadline and the engines?

Invariant: the file is read as `docker compose` would, with a password wherever one is demanded and .env empty otherwise.
"""

import json
import pathlib
import re
import urllib.parse

import compose_spec
import yaml

from facts import port_of, seconds, secrets_in, text

SHAPE = re.compile(r"\$\{(\w+)(?:(:[-?])([^}]*))?\}")
OWN = {"api", "worker", "migrate", "cli"}
ONCE = {"migrate", "cli"}


class Strict(yaml.SafeLoader):
    """YAML takes the last of two equal keys in silence; Compose refuses them, and so do we."""

    def construct_mapping(self, node, deep=False):
        keys = [key.value for key, _ in node.value if key.tag != "tag:yaml.org,2002:merge"]
        # What was merged in stands first by now, and the file's own keys may override it.
        if len(keys) != len(set(keys)) and not getattr(node, "merged", False):
            raise ValueError(f"line {node.start_mark.line + 1}: a key twice among {', '.join(map(str, keys))}")
        return super().construct_mapping(node, deep)

    def flatten_mapping(self, node):
        node.merged = True
        super().flatten_mapping(node)


def interpolate(body, given):
    def value(found):
        name, sign, rest = found.groups()
        return given.get(name) or (rest if sign == ":-" else given.get(name, ""))

    return SHAPE.sub(value, body)


def demanded(body):
    return {name for name, sign, _ in SHAPE.findall(body) if sign == ":?"}


def read(body):
    """The services as they would run."""
    return yaml.load(interpolate(body, dict.fromkeys(demanded(body), "x")), Strict)  # noqa: S506


def size(words):
    number, unit = re.fullmatch(r"(\d+)\s*([kmg]?)i?b?", words.lower()).groups()
    return int(number) * {"": 1, "k": 10**3, "m": 10**6, "g": 10**9}[unit]


def shape_faults(body):
    try:
        # As JSON, since merges have been resolved by then.
        found = compose_spec.PyCompose.from_json(json.dumps(read(body)))
        found.validate()
    except ValueError as fault:
        yield str(fault)


def hardening_faults(file):
    for name, service in file["services"].items():
        if not (service.get("read_only") and service.get("cap_drop") == ["ALL"] and not service.get("cap_add")):
            yield f"{name}: a writable root, or capabilities"
        if "no-new-privileges:true" not in service.get("security_opt", []) or service.get("privileged"):
            yield f"{name}: may gain rights"
        if name not in OWN and not re.fullmatch(r"[1-9]\d*:\d+", str(service.get("user", ""))):
            yield f"{name}: does not say which user it is"
        if "memory" not in service.get("deploy", {}).get("resources", {}).get("limits", {}):
            yield f"{name}: memory without a limit"
        if "max-size" not in service.get("logging", {}).get("options", {}):
            yield f"{name}: a log without a limit"
        if service.get("restart") != ("no" if name in ONCE else "unless-stopped"):
            yield f"{name}: restart is {service.get('restart')}"
        health = service.get("healthcheck", {})
        if ("test" in health) == (name in ONCE):
            yield f"{name}: a health check is missing, or asks what serves nothing"
        for port in service.get("ports", []):
            if not str(port).startswith("127.0.0.1:"):
                yield f"{name}: {port} is published beyond this machine by default"
        image = service["image"].rsplit("/", 1)[-1]
        if ":" not in image or image.endswith(":latest"):
            yield f"{name}: {service['image']} may be anything"


def order_faults(file):
    for name, service in file["services"].items():
        for other, wish in service.get("depends_on", {}).items():
            target = file["services"].get(other, {})
            if wish["condition"] == "service_healthy" and "test" not in target.get("healthcheck", {}):
                yield f"{name}: waits for the health of {other}, which has none"
            if wish["condition"] == "service_completed_successfully" and target.get("restart") != "no":
                yield f"{name}: waits for the end of {other}, which is started again"
    for name in ("api", "worker"):
        if file["services"][name].get("depends_on", {}).keys() < {"migrate", "postgres", "rabbitmq"}:
            yield f"{name}: does not wait for the engines and the migration"
    if "container_name" in file["services"]["worker"] or file["services"]["worker"].get("ports"):
        yield "worker: a name or port of its own keeps it from being scaled"


def fit_faults(file, facts):
    config = facts.over(text("config/production.toml"))
    for name in sorted(OWN & file["services"].keys()):
        service = file["services"][name]
        if service["environment"].get("RUST_LOG") != config["telemetry"]["log"]:
            yield f"{name}: the log filter is not telemetry.log's by default"
        command, test = service["command"], service["healthcheck"].get("test", [])
        for word in (command[0], test[4] if len(test) > 4 else None):
            if word and not word.startswith("--") and not facts.knows_command(word):
                yield f"{name}: there is no `leadline {word}`"
        for variable in service["environment"]:
            if not facts.knows_variable(variable):
                yield f"{name}: {variable} means nothing to Leadline"
        if service["image"] != f"leadline:{facts.version}":
            yield f"{name}: {service['image']} is not leadline:{facts.version} (Cargo.toml)"
        if seconds(service["stop_grace_period"]) <= facts.stop_seconds(config):
            yield f"{name}: killed before its stop may be over"
    if not file["services"]["api"]["ports"][0].endswith(f":{port_of(config['http']['listen'])}"):
        yield "api: publishes a port that nothing listens on"
    for service in file["services"].values():
        for volume in service.get("volumes", []):
            if isinstance(volume, dict) and not facts.has("deploy/" + volume["source"].removeprefix("./")):
                yield f"there is no {volume['source']}"
    yield from watch_faults(file)


def watch_faults(file):
    """Prometheus finds Leadline and RabbitMQ, Grafana finds Prometheus and the dashboard, each by its own file."""
    services, folder = file["services"], "deploy/grafana/provisioning"
    for job in yaml.safe_load(text("deploy/prometheus/prometheus.yml"))["scrape_configs"]:
        named = [name for found in job.get("dns_sd_configs", []) for name in found["names"]]
        static = [target for found in job.get("static_configs", []) for target in found["targets"]]
        for name in named + [target.partition(":")[0] for target in static]:
            if "watch" not in services.get(name, {}).get("networks", []):
                yield f"prometheus.yml: no service {name} in the network of Prometheus"
    mounted = {pathlib.PurePath(volume["target"]).parent.as_posix() for volume in services["grafana"]["volumes"]
               if isinstance(volume, dict) and volume["source"].endswith(".json")}
    for provider in yaml.safe_load(text(f"{folder}/dashboards/leadline.yml"))["providers"]:
        if provider["options"]["path"] not in mounted:
            yield f"grafana: looks for dashboards in {provider['options']['path']}, where nothing is mounted"
    for source in yaml.safe_load(text(f"{folder}/datasources/prometheus.yml"))["datasources"]:
        if urllib.parse.urlsplit(source["url"]).hostname not in services:
            yield f"grafana: there is no {source['url']}"


def postgres_faults(file, facts):
    config = facts.over(text("config/production.toml"))
    given = dict(word[2:].split("=", 1) for word in file["services"]["postgres"]["command"] if word.startswith("-c"))
    for setting in ("synchronous_commit", "fsync"):
        if given.get(setting) != "on":
            yield f"postgres: {setting} is not on"
    replicas = int(file["services"]["worker"]["deploy"]["replicas"])
    needed = facts.connections(config, "api") + replicas * facts.connections(config, "worker") + 1
    if int(given["max_connections"]) < 2 * needed:
        yield f"postgres: {given['max_connections']} connections leave no room to scale from {needed}"


def rabbitmq_faults(file, conf, facts):
    config = facts.over(text("config/production.toml"))
    lines = [line for line in conf.splitlines() if line and not line.startswith("#")]
    given = dict(line.split(" = ", 1) for line in lines)
    limit = size(file["services"]["rabbitmq"]["deploy"]["resources"]["limits"]["memory"])
    watermark = size(given["vm_memory_high_watermark.absolute"])
    if watermark > 0.7 * limit:
        yield f"rabbitmq: the watermark {watermark} leaves too little below the container's {limit}"
    if 3 * int(given["raft.wal_max_size_bytes"]) > 0.5 * watermark:
        yield "rabbitmq: the log of the quorum queues may take half of what is below the watermark"
    if size(given["disk_free_limit.absolute"]) < watermark:
        yield "rabbitmq: disk_free_limit is below what memory may have to be written"
    if int(given["heartbeat"]) != seconds(config["broker"]["heartbeat"]):
        yield "rabbitmq: heartbeat is not broker.heartbeat"
    if int(given["consumer_timeout"]) / 1000 < 5 * seconds(config["worker"]["hold_max"]):
        yield "rabbitmq: consumer_timeout is near worker.hold_max"


def env_faults(body, example):
    lines = [line.lstrip("#") for line in example.splitlines() if re.match(r"#?\w+=", line)]
    known = dict(line.split("=", 1) for line in lines)
    for name in {name for name, _, _ in SHAPE.findall(body)} - known.keys():
        yield f".env.example does not name {name}"
    for name in known.keys() - {name for name, _, _ in SHAPE.findall(body)}:
        yield f".env.example names {name}, which nobody reads"
    for name in demanded(body):
        if known.get(name) or not name.endswith("_PASSWORD"):
            yield f".env.example: {name} must be an empty _PASSWORD, for deploy/compose to fill in"
    for name, sign, default in SHAPE.findall(body):
        if sign == ":-" and known.get(name) != default:
            yield f".env.example: {name} is {default} by default"
    yield from secrets_in(SHAPE.sub("$", body) + example)
