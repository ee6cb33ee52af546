"""Checks everything that ships Leadline, without an engine of any kind: image, compose, Kubernetes, systemd.

    run.py [--kubectl PATH] [--hadolint PATH] [--systemd-analyze PATH]

What is not given is said to be unchecked. One line per check, then "N passed, N failed".

Invariant: a check that could not be made is never counted as passed.
"""

import argparse
import pathlib
import shutil
import subprocess
import sys
import tempfile

import yaml

import compose
import custom
import image
import kube
import kube_fit
import teeth
import units
from facts import ROOT, Facts, text

KUBERNETES = ROOT / "deploy/kubernetes"
counts = {True: 0, False: 0}


def check(name, faults):
    try:
        found = list(faults)
    except (AttributeError, IndexError, KeyError, OSError, StopIteration, TypeError, ValueError) as fault:
        found = [f"cannot be read: {type(fault).__name__}: {fault}"]
    counts[not found] += 1
    print(f"{'not ok' if found else 'ok'} {name}" + (":" if found else ""), flush=True)
    for fault in found:
        print(f"    {fault}")


def unchecked(what, why):
    print(f"UNCHECKED {what}: {why}", flush=True)


def hadolint(program):
    done = subprocess.run(
        [program, "--no-color", str(ROOT / "deploy/Dockerfile")], capture_output=True, text=True, check=False, timeout=60
    )
    if done.returncode:
        yield from (done.stdout + done.stderr).splitlines()


def with_hpa(folder):
    """The production overlay as README.md says to change it."""
    shutil.copytree(KUBERNETES, folder, dirs_exist_ok=True)
    file = folder / "overlays/production/kustomization.yaml"
    file.write_text(file.read_text(encoding="utf-8").replace("components/keda", "components/hpa"), encoding="utf-8")
    return folder / "overlays/production"


def overlay(name, things, facts):
    for one in kube.CHECKS:
        check(f"kubernetes {name}: {one.__name__.removesuffix('_faults')}", one(things))
    for one in kube_fit.CHECKS:
        check(f"kubernetes {name}: {one.__name__.removesuffix('_faults')}", one(things, facts))
    check(f"kubernetes {name}: secrets", kube_fit.secret_faults(things))


def connection_faults(name, things, facts):
    row = f"| `{name}` | {kube_fit.connections(things, facts)} |"
    if row not in text("deploy/kubernetes/README.md"):
        yield f"README.md lacks the row {row}"


def rule_faults():
    """The rule files, wrapped as README.md says."""
    for path in ("leadline.rules.yml", "alerts.yml"):
        file = ROOT / "deploy/prometheus" / path
        wrapped = {
            "apiVersion": "monitoring.coreos.com/v1",
            "kind": "PrometheusRule",
            "metadata": {"name": "leadline", "namespace": "leadline"},
            "spec": yaml.safe_load(file.read_text(encoding="utf-8")),
        }
        yield from (f"{path}: {fault}" for fault in custom.shape(wrapped))


def kubernetes(kubectl, facts):
    rendered = {}
    with tempfile.TemporaryDirectory() as folder:
        folders = {"small": KUBERNETES / "overlays/small", "production": KUBERNETES / "overlays/production"}
        folders["production with hpa"] = with_hpa(pathlib.Path(folder))
        for name, path in folders.items():
            try:
                rendered[name] = kube.render(kubectl, path)
            except ValueError as fault:
                check(f"kubernetes {name}: renders", [str(fault)])
                continue
            overlay(name, rendered[name], facts)
    for name in ("small", "production"):
        check(f"kubernetes {name}: connections", connection_faults(name, rendered[name], facts))
    check("kubernetes: rules become a PrometheusRule", rule_faults())
    return rendered["production"]


def main():
    parser = argparse.ArgumentParser()
    for tool in ("kubectl", "hadolint", "systemd-analyze"):
        parser.add_argument(f"--{tool}", default="")
    given = parser.parse_args()
    facts = Facts()
    check("image: fits", image.faults(facts))
    if given.hadolint:
        check("image: hadolint", hadolint(given.hadolint))
    else:
        unchecked("image: hadolint", "it cannot be had here")
    body, conf = text("deploy/compose.yaml"), text("deploy/compose.d/rabbitmq.conf")
    file = compose.read(body)
    check("compose: is Compose", compose.shape_faults(body))
    check("compose: hardening", compose.hardening_faults(file))
    check("compose: order", compose.order_faults(file))
    check("compose: fits", compose.fit_faults(file, facts))
    check("compose: PostgreSQL", compose.postgres_faults(file, facts))
    check("compose: RabbitMQ", compose.rabbitmq_faults(file, conf, facts))
    check("compose: .env", compose.env_faults(body, text("deploy/.env.example")))
    things = kubernetes(given.kubectl, facts) if given.kubectl else None
    if things is None:
        unchecked("kubernetes: all of it", "kubectl with kustomize 5 cannot be had here")
    found = units.read()
    check("systemd: fits", units.fit_faults(found, facts))
    if given.systemd_analyze:
        check("systemd: systemd-analyze", units.systemd_faults(found, given.systemd_analyze))
    else:
        unchecked("systemd: systemd-analyze", "it cannot be had here")
    for name, faults in teeth.bites(facts, things, found, given.systemd_analyze):
        check(f"teeth: {name}", faults)
    print(f"{counts[True]} passed, {counts[False]} failed")
    return 1 if counts[False] or not counts[True] else 0


if __name__ == "__main__":
    sys.exit(main())
