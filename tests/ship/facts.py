"""What the sources say about Leadline: its settings, metrics, commands, routes, times. Everything is read, nothing is run.

Invariant: no other file of this folder knows a name or a number that stands in the sources.
"""

import pathlib
import re
import tomllib

ROOT = pathlib.Path(__file__).resolve().parents[2]
# Variables that are not settings: customary names (src/config/load.rs), the log filter, and what libraries read.
CUSTOMARY = {"DATABASE_URL", "AMQP_URL"}
FOREIGN = {"RUST_LOG", "TOKIO_WORKER_THREADS", "SSL_CERT_FILE"}
UNITS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0}


def text(path):
    return (ROOT / path).read_text(encoding="utf-8")


def seconds(duration):
    found = re.fullmatch(r"(\d+)(ms|s|m|h)", duration)
    if not found:
        raise ValueError(f"{duration!r} is no duration")
    return int(found[1]) * UNITS[found[2]]


def rows(readme, what):
    """The cells of one of the README's generated tables."""
    table = readme.split(f"<!-- {what}:begin -->")[1].split(f"<!-- {what}:end -->")[0]
    lines = [line for line in table.splitlines() if line.startswith("| `")]
    return [[cell.strip() for cell in re.split(r"(?<!\\)\|", line)[1:-1]] for line in lines]


def constant(source, name):
    """A `const NAME: Duration = Duration::from_secs(N)`."""
    return int(re.search(rf"const {name}: Duration = Duration::from_secs\((\d+)\);", source)[1])


class Facts:
    def __init__(self):
        readme, cargo = text("README.md"), tomllib.loads(text("Cargo.toml"))["package"]
        self.version, self.rust = cargo["version"], cargo["rust-version"]
        self.defaults = tomllib.loads(text("config/default.toml"))
        self.settings = {row[0].strip("`") for row in rows(readme, "config")}
        self.metrics = {
            row[0].strip("`"): (row[1], set(re.findall(r"`(\w+)`", row[2]))) for row in rows(readme, "metrics")
        }
        commands = text("src/cli/args/mod.rs").split("pub enum Command {")[1].split("\n}")[0]
        self.commands = {name.lower() for name in re.findall(r"^    ([A-Z]\w*)[,({ ]", commands, re.M)}
        self.metrics_routes = set(re.findall(r'\.route\("(/\w+)"', text("src/http/router.rs")))
        self.api_routes = set(re.findall(r'Route::at\("([^"]+)"\)', text("src/http/routes.rs")))
        self.queues = set(re.findall(r'=> "(\w+)"', text("src/broker/queue.rs"))) - {"none"}
        # From the end of lifecycle.stop_budget to the end of the process.
        self.last_words = constant(text("src/cli/serve.rs"), "DROPPING") + constant(text("src/cli/mod.rs"), "LAST_THREADS")

    def over(self, laid):
        """The configuration when `laid` (TOML text) is laid over the defaults."""
        merged = {room: dict(keys) for room, keys in self.defaults.items()}
        for room, keys in tomllib.loads(laid).items():
            merged.setdefault(room, {}).update(keys)
        return merged

    def unknown_keys(self, laid):
        return {f"{room}.{key}" for room, keys in tomllib.loads(laid).items() for key in keys} - self.settings

    def knows_variable(self, name):
        parts = name.lower().split("__")
        setting = len(parts) == 3 and parts[0] == "leadline" and f"{parts[1]}.{parts[2]}" in self.settings
        return setting or name in CUSTOMARY or name in FOREIGN

    def knows_command(self, name):
        return name in self.commands

    def has(self, path):
        return (ROOT / path).exists()

    def stop_seconds(self, config):
        """From SIGTERM to the end of the process, at most."""
        return seconds(config["lifecycle"]["stop_budget"]) + self.last_words

    @staticmethod
    def connections(config, role):
        """PostgreSQL connections of one process."""
        if role == "api":
            return config["store"]["api_connections"]
        return config["worker"]["lanes"] + config["worker"]["wait_lanes"] + 2 if role == "worker" else 1


def port_of(address):
    return int(address.rsplit(":", 1)[1])


def secrets_in(body):
    """URLs with a password that is neither a variable, nor a place to fill in, nor RabbitMQ's public one."""
    for user, password in re.findall(r"\w+://([^\s:@/]+):([^\s@/]+)@", body):
        if not re.search(r"CHANGE-ME|^\$|…|^guest$", password):
            yield f"a URL with the password of {user}"
