"""Rendered manifests: are they what Kubernetes takes, and do they fit each other?

Enters: the objects of one overlay. Leaves: one line per fault. kube_fit.py asks whether they fit Leadline.

Invariant: every kind is validated, by kubernetes-validate's schemas or by ours; an unknown one is a fault.
"""

import subprocess

import kubernetes_validate
import yaml

import custom

# The oldest and the newest Kubernetes that the manifests are written for.
RELEASES = ["1.30", "1.37"]


def render(kubectl, folder):
    done = subprocess.run([kubectl, "kustomize", folder], capture_output=True, text=True, check=False, timeout=120)
    if done.returncode != 0 or done.stderr.strip():
        raise ValueError(f"kustomize: {done.stderr.strip()}")
    return [thing for thing in yaml.safe_load_all(done.stdout) if thing]


def name(thing):
    return f"{thing['kind']}/{thing['metadata']['name']}"


def of(things, *kinds):
    return [thing for thing in things if thing["kind"] in kinds]


def pod_of(thing):
    return thing["spec"]["template"]


def workloads(things):
    return of(things, "Deployment", "Job")


def labels_of(thing):
    return thing["metadata"].get("labels", {})


def fits(selector, labels):
    return selector.items() <= labels.items()


def schema_faults(things, releases=None):
    for thing in things:
        own = custom.shape(thing)
        if own is not None:
            yield from (f"{name(thing)}: {fault}" for fault in own)
            continue
        for release in releases or RELEASES:
            try:
                kubernetes_validate.validate(thing, release, strict=True)
            except kubernetes_validate.ValidationError as fault:
                yield f"{name(thing)} ({release}): {'.'.join(map(str, fault.path))}: {fault.message}"
            except kubernetes_validate.SchemaNotFoundError as fault:
                yield f"{name(thing)}: {fault.message}"


def security_faults(things):
    """The restricted Pod Security Standard, and what we add: a read-only root, no token, bounded memory."""
    for thing in workloads(things):
        pod = pod_of(thing)["spec"]
        context = pod.get("securityContext", {})
        if context.get("runAsNonRoot") is not True or not context.get("runAsUser"):
            yield f"{name(thing)}: may run as root"
        if context.get("seccompProfile", {}).get("type") != "RuntimeDefault":
            yield f"{name(thing)}: no seccomp profile"
        if any(pod.get(shared) for shared in ("hostNetwork", "hostPID", "hostIPC")):
            yield f"{name(thing)}: shares a namespace of the host"
        if pod.get("automountServiceAccountToken") is not False:
            yield f"{name(thing)}: gets a token"
        allowed = {"configMap", "secret", "emptyDir", "projected", "downwardAPI"}
        if any(set(volume) - {"name"} - allowed for volume in pod.get("volumes", [])):
            yield f"{name(thing)}: a volume that the restricted standard refuses"
        for box in pod["containers"] + pod.get("initContainers", []):
            own = box.get("securityContext", {})
            if own.get("allowPrivilegeEscalation") is not False or own.get("readOnlyRootFilesystem") is not True:
                yield f"{name(thing)}: {box['name']} may gain rights or write to its root"
            if own.get("capabilities", {}).get("drop") != ["ALL"] or own["capabilities"].get("add"):
                yield f"{name(thing)}: {box['name']} keeps capabilities"
            resources = box.get("resources", {})
            if "memory" not in resources.get("limits", {}) or not {"cpu", "memory"} <= resources.get("requests", {}).keys():
                yield f"{name(thing)}: {box['name']} has no memory limit or no requests"
    for thing in of(things, "Namespace"):
        if labels_of(thing).get("pod-security.kubernetes.io/enforce") != "restricted":
            yield f"{name(thing)}: does not enforce the restricted standard"


def reference_faults(things):
    """Whoever names another object names one that exists."""
    pods = [pod_of(thing) for thing in workloads(things)]
    accounts = {thing["metadata"]["name"] for thing in of(things, "ServiceAccount")}
    configs = {thing["metadata"]["name"] for thing in of(things, "ConfigMap")}
    for thing in workloads(things):
        spec = pod_of(thing)["spec"]
        if spec.get("serviceAccountName") not in accounts:
            yield f"{name(thing)}: no such ServiceAccount"
        for volume in spec.get("volumes", []):
            if "configMap" in volume and volume["configMap"]["name"] not in configs:
                yield f"{name(thing)}: no such ConfigMap as {volume['configMap']['name']}"
    for thing in of(things, "Deployment"):
        if not fits(thing["spec"]["selector"]["matchLabels"], labels_of(pod_of(thing))):
            yield f"{name(thing)}: does not select its own pods"
    for thing in of(things, "Service"):
        chosen = [pod for pod in pods if fits(thing["spec"]["selector"], labels_of(pod))]
        if not chosen:
            yield f"{name(thing)}: selects nobody"
        for port in thing["spec"]["ports"]:
            yield from (f"{name(thing)}: {fault}" for pod in chosen for fault in missing_port(pod, port["targetPort"]))
    for thing in of(things, "PodDisruptionBudget", "NetworkPolicy"):
        selector = thing["spec"].get("selector") or thing["spec"].get("podSelector")
        chosen = [pod for pod in pods if fits(selector["matchLabels"], labels_of(pod))]
        if not chosen:
            yield f"{name(thing)}: selects nobody"
        for rule in thing["spec"].get("ingress", []):
            for port in rule.get("ports", []):
                yield from (f"{name(thing)}: {fault}" for pod in chosen for fault in missing_port(pod, port["port"]))
    for thing in of(things, "ServiceMonitor"):
        chosen = [one for one in of(things, "Service") if fits(thing["spec"]["selector"]["matchLabels"], labels_of(one))]
        ports = {port["name"] for one in chosen for port in one["spec"]["ports"]}
        for point in thing["spec"]["endpoints"]:
            if point["port"] not in ports:
                yield f"{name(thing)}: no Service has the port {point['port']}"
    if len({thing["metadata"].get("namespace") for thing in things if thing["kind"] != "Namespace"}) != 1:
        yield "objects in more than one namespace"


def missing_port(pod, wished):
    ports = [port for box in pod["spec"]["containers"] for port in box.get("ports", [])]
    if not any(wished in (port["name"], port["containerPort"]) for port in ports):
        yield f"a selected pod has no port {wished}"


def reach(thing):
    """(target, least, most) of an autoscaler of either kind."""
    spec = thing["spec"]
    keda = thing["kind"] == "ScaledObject"
    least, most = ("minReplicaCount", "maxReplicaCount") if keda else ("minReplicas", "maxReplicas")
    return spec["scaleTargetRef"]["name"], spec[least], spec[most]


def scaling_faults(things):
    deployments = {thing["metadata"]["name"]: thing for thing in of(things, "Deployment")}
    scaled = {}
    for thing in of(things, "ScaledObject", "HorizontalPodAutoscaler"):
        target, least, most = reach(thing)
        if target not in deployments:
            yield f"{name(thing)}: scales {target}, which is not there"
        elif "replicas" in deployments[target]["spec"]:
            yield f"{name(thing)}: {target} has replicas of its own, which every apply would reset"
        if target in scaled:
            yield f"{name(thing)}: {target} has another autoscaler, {scaled[target]}"
        if not 1 <= least <= most:
            yield f"{name(thing)}: {least} to {most} replicas"
        fallback = thing["spec"].get("fallback", {}).get("replicas", least)
        if not least <= fallback <= most:
            yield f"{name(thing)}: falls back to {fallback} replicas, outside {least} to {most}"
        scaled[target] = name(thing)
    for target, thing in deployments.items():
        if target not in scaled and "replicas" not in thing["spec"]:
            yield f"{name(thing)}: nobody says how many"


CHECKS = [schema_faults, security_faults, reference_faults, scaling_faults]
