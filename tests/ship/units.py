"""deploy/systemd: what systemd-analyze says of the units, and whether they fit Leadline.

Invariant: the units are checked as they stand; only the program, which no machine that checks has, is replaced.
"""

import pathlib
import re
import subprocess
import tempfile

from facts import ROOT, port_of, secrets_in, text

PROGRAM = "/usr/local/bin/leadline"
FOLDER = ROOT / "deploy/systemd"
# systemd's figure from 0 (locked up) to 10, times ten.
EXPOSURE = 20


def read():
    return {path.name: path.read_text(encoding="utf-8") for path in sorted(FOLDER.glob("leadline*"))}


def values(body, key):
    return re.findall(rf"^{key}=(.*)$", body, re.M)


def systemd_faults(units, tool="systemd-analyze"):
    with tempfile.TemporaryDirectory() as folder:
        for name, body in units.items():
            # An instance, since a template alone has nothing in place of %i.
            path = pathlib.Path(folder) / name.replace("@.", "@01.")
            path.write_text(body.replace(PROGRAM, "/bin/true"), encoding="utf-8")
            verify = [tool, "verify", "--recursive-errors=no", "--man=no", str(path)]
            yield from said(name, verify, folder)
            if name.endswith(".service"):
                review = [tool, "security", "--offline=true", f"--threshold={EXPOSURE}", "--no-pager", str(path)]
                yield from said(name, review, folder, last=True)


def said(name, command, folder, last=False):
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=folder, timeout=60)
    lines = (done.stderr + done.stdout).strip().splitlines()
    if done.returncode != 0 or (lines and not last):
        yield f"{name}: {lines[-1] if lines else 'refused without a word'}"


def fit_faults(units, facts):
    config = facts.over(text("config/production.toml"))
    ports = []
    for name, body in units.items():
        if not name.endswith(".service"):
            continue
        words = values(body, "ExecStart")[0].split()
        if words[:3] != [PROGRAM, "--config", "/etc/leadline/leadline.toml"] or not facts.knows_command(words[3]):
            yield f"{name}: ExecStart is no `leadline` that exists"
        for pair in values(body, "Environment"):
            if not facts.knows_variable(pair.split("=")[0]):
                yield f"{name}: {pair.split('=')[0]} means nothing to Leadline"
        if values(body, "EnvironmentFile") != ["/etc/leadline/engines.env"]:
            yield f"{name}: the engines' URLs are not asked for"
        for needed in ("MemoryMax", "DynamicUser", "ProtectSystem", "NoNewPrivileges", "SystemCallFilter"):
            if not values(body, needed):
                yield f"{name}: no {needed}"
        yield from (f"{name}: {fault}" for fault in secrets_in(body))
        if values(body, "Type") != ["oneshot"]:
            yield from serving_faults(name, body, facts.stop_seconds(config))
            listens = [pair for pair in values(body, "Environment") if "METRICS_LISTEN" in pair]
            ports.extend(port_of(pair.replace("%i", number)) for pair in listens for number in numbers(name))
    if len(ports) != len(set(ports)) or any(port > 65535 for port in ports):
        yield "two processes of one machine would serve their metrics on one port"


def numbers(name):
    return ("01", "02", "99") if "@" in name else ("",)


def serving_faults(name, body, needed):
    if int(values(body, "TimeoutStopSec")[0]) <= needed:
        yield f"{name}: killed before its stop, at most {needed:g} s, may be over"
    if values(body, "Restart") != ["on-failure"] or values(body, "StartLimitIntervalSec") != ["0"]:
        yield f"{name}: does not come back for as long as it takes"
    if values(body, "SuccessExitStatus") != ["2"] or values(body, "RestartForceExitStatus") != ["2"]:
        yield f"{name}: does not know what 2 means"
    if int(values(body, "LimitNOFILE")[0]) < 16384:
        yield f"{name}: too few files for http.max_connections"
    filters = " ".join(values(body, "SystemCallFilter"))
    if "~" in filters and "@resources" in filters:
        yield f"{name}: may not raise its limit of open files, which it does at its start"
