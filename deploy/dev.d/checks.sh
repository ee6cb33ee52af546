# shellcheck shell=bash disable=SC2015,SC2016,SC2034,SC2119,SC2120
# test, bench, scale and prepare: everything that checks or measures the sources.
# Invariant: each leaves the engines as it found them, also when a step fails, and no step reads the terminal.

# The places where a process can be told to die, for the chaos suite, and the export of traces, for its tests; one debug build
# serves all checks, no release has the former, and the latter only if it is asked for.
FAULTS=(--features faults,otlp)
LINT_DATABASE=leadline_lint     # made anew from the migrations for every check of the statements; holds no data

# with_engines: start them for the life of this command.
with_engines() {
    APP_OURS=0
    trap leave_up EXIT
    trap 'interrupt 130' INT
    trap 'interrupt 143' TERM HUP
    hold_engines
    start_engines
}

# maintenance_url: where databases can be created from; the tests make their own.
maintenance_url() {
    local base=${DATABASE_URL%%\?*} query=''
    if [[ $DATABASE_URL == *\?* ]]; then query="?${DATABASE_URL#*\?}"; fi
    printf '%s/%s%s' "${base%/*}" "$1" "$query"
}

# admin_psql ARGS...: in the maintenance database.
admin_psql() {
    if [ "$EXTERNAL" = 1 ]; then "$PSQL" -X "$TEST_DATABASE_URL" "$@"; else private_psql postgres "$@"; fi
}

test_urls() {
    TEST_DATABASE_URL=${TEST_DATABASE_URL:-$(maintenance_url postgres)}
    TEST_AMQP_URL=${TEST_AMQP_URL:-$AMQP_URL}
    if [ "$EXTERNAL" = 0 ]; then TEST_DATABASE_URL=$(maintenance_url postgres) TEST_AMQP_URL=$AMQP_URL; fi
}

fresh_lint_database() {
    admin_psql -v ON_ERROR_STOP=1 -q -c 'set client_min_messages = warning' \
        -c "drop database if exists $LINT_DATABASE with (force)" -c "create database $LINT_DATABASE"
}

# test ------------------------------------------------------------------------------------------------------------------

cmd_test() {
    local began=$SECONDS TARGET
    SAY_AS=' test'
    need_rust
    need_component fmt rustfmt
    need_component clippy clippy
    check_engine_ports
    check_beside_ports
    if [ -x "$ROOT/tests/clients/run" ]; then
        need_packages build engines psql chaos watch ship clients
    else
        need_packages build engines psql chaos watch ship
    fi
    TARGET=$(target_dir)
    with_engines
    test_urls
    # A test waits for engines about half of its time.
    export RUST_TEST_THREADS=${RUST_TEST_THREADS:-$((2 * $(nproc) + 1))}
    STEP=0 STEPS=11
    if [ $# = 0 ]; then STEPS=$((STEPS + 3)); fi
    if [ -x "$ROOT/tests/clients/run" ]; then STEPS=$((STEPS + 1)); fi
    step "format" cargo_here fmt --check
    step "crates: licences, bans, sources, advisories" deny
    step "rules, alerts, dashboard, runbook" watch
    step "image, compose, Kubernetes, systemd" ship
    step "build" cargo_here build --locked "${FAULTS[@]}"
    step "clippy of a build without TLS and traces" cargo_here clippy --locked --no-default-features -- -D warnings
    step "migrate an empty database" migrate_lint_database
    step "clippy, with every statement checked against that database" clippy_live
    step "docs" docs
    step "the release before this one, to run beside it" build_upgrade_from
    if [ $# -gt 0 ]; then
        step "tests" tests "$@"
    else
        step "tests" tests -- --skip chaos::suite
        step "tests on RabbitMQ 4" tests_on_4
        step "chaos" chaos
        step "chaos on RabbitMQ 4" chaos_on_4 --only rabbitmq-killed --only queue-full --only poison
    fi
    if [ -x "$ROOT/tests/clients/run" ]; then step "real clients, and Prometheus watching" clients; fi
    say "all passed in $((SECONDS - began)) s"
}

# step NAME COMMAND...: announced, timed, and the first that fails is the last.
step() {
    local name=$1 began=$SECONDS
    shift
    STEP=$((STEP + 1))
    say "[$STEP/$STEPS] $name"
    "$@" </dev/null || die "FAILED: $name, after $((SECONDS - began)) s"
    say "[$STEP/$STEPS] $name: ok, $((SECONDS - began)) s"
}

migrate_lint_database() {
    fresh_lint_database && env DATABASE_URL="$(maintenance_url $LINT_DATABASE)" AMQP_URL="$AMQP_URL" "$TARGET/debug/leadline" migrate
}

# The crate is checked anew each time, since cargo does not know that a statement depends on the database: clippy's
# arguments are the one thing that differs, so everything that `cargo build` and `cargo test` made stays good.
# The macros write what they learned from the live database into SQLX_OFFLINE_DIR, just as `cargo sqlx prepare` does, so
# the committed .sqlx is compared without that tool.
clippy_live() {
    local live=$TARGET/live-sqlx
    rm -rf "$live" && mkdir -p "$live" && (
        cd "$ROOT" &&
            DATABASE_URL="$(maintenance_url $LINT_DATABASE)" SQLX_OFFLINE=false SQLX_OFFLINE_DIR="$live" \
                cargo clippy --all-targets --locked "${FAULTS[@]}" -- -D warnings --cfg "checked_at=\"$(date +%s)\""
    ) && same_statements "$live"
}

same_statements() {
    local committed=$ROOT/.sqlx changes
    if [ ! -d "$committed" ] && [ -z "$(ls -A "$1")" ]; then return 0; fi
    changes=$(diff -rq "$committed" "$1" 2>&1 | wc -l)
    if [ "$changes" != 0 ]; then
        note ".sqlx is not what the statements and migrations make it ($changes files differ): \`deploy/dev prepare\`, then commit it"
        return 1
    fi
}

docs() { RUSTDOCFLAGS='-D warnings' cargo_here doc --no-deps --locked "${FAULTS[@]}"; }

# The suites that start a RabbitMQ of their own are told by LEADLINE_DEV_MQ_ROOT where it is, unless it is the machine's.
tests() {
    TEST_DATABASE_URL=$TEST_DATABASE_URL TEST_AMQP_URL=$TEST_AMQP_URL LEADLINE_DEV_MQ_ROOT=${MQ_ROOT:-} \
        cargo_here test --locked "${FAULTS[@]}" "$@"
}

# tests_on_4: the integration tests once more, on a RabbitMQ 4 that lives as long as this step.
tests_on_4() {
    local code=0
    has_4 || return 0
    start_beside
    TEST_DATABASE_URL=$TEST_DATABASE_URL TEST_AMQP_URL=$BESIDE_AMQP_URL cargo_here test --locked "${FAULTS[@]}" --test it || code=$?
    stop_beside
    return "$code"
}

# has_4: whether there is a RabbitMQ 4 to go through the checks once more; if not, says why.
has_4() {
    local why
    if [ "$EXTERNAL" = 1 ]; then
        say "not run: AMQP_URL names the RabbitMQ to test with"
    elif [ "$MQ_LINE" = 4 ]; then
        why="not run again: all tests ran on RabbitMQ $(rabbitmq_version)"
        if [ -z "$MQ_ROOT" ]; then why+="; a 3 cannot be had here, since this machine's own is no 3"; fi
        say "$why"
    elif ! need_line4; then
        say "not run: RabbitMQ 4 cannot be had here: $LINE4_WHY"
    else
        return 0
    fi
    return 1
}

clients() {
    (cd "$ROOT" && env -u DATABASE_URL -u AMQP_URL TEST_DATABASE_URL="$TEST_DATABASE_URL" TEST_AMQP_URL="$TEST_AMQP_URL" \
        LEADLINE_BIN="$TARGET/debug/leadline" LEADLINE_WATCH="$ROOT/tests/watch/live.py" tests/clients/run)
}

# bench -----------------------------------------------------------------------------------------------------------------

cmd_bench() {
    local arg
    need_rust
    for arg in "$@"; do
        # Neither its help nor a service given by URL needs engines of ours.
        case $arg in --help | -h | --peer | --peer=*)
            need_packages build
            bench "$@"
            return 0
            ;;
        esac
    done
    check_engine_ports
    need_packages build engines
    with_engines
    if pid_of leadline >/dev/null; then note "leadline is running too and takes its share of the machine; \`deploy/dev down\` first for honest figures"; fi
    export DATABASE_URL AMQP_URL
    bench "$@"
}

# scale: one part of the benchmark, since it measures with the same tools.
cmd_scale() { cmd_bench --only scale-workers "$@"; }

bench() {
    (cd "$ROOT" && SQLX_OFFLINE=true cargo bench --locked --bench throughput -- "$@") ||
        die "the benchmark failed or missed a target"
}

# prepare ---------------------------------------------------------------------------------------------------------------

cmd_prepare() {
    local url
    [ $# = 0 ] || die "prepare takes no arguments"
    need_rust
    check_engine_ports
    need_packages build engines psql
    find_sqlx
    with_engines
    test_urls
    fresh_lint_database || die "cannot make the database $LINT_DATABASE"
    url=$(maintenance_url $LINT_DATABASE)
    # By the tool and not by `leadline migrate`, which may not build before this has run.
    (cd "$ROOT" && DATABASE_URL=$url cargo sqlx migrate run && DATABASE_URL=$url SQLX_OFFLINE=false cargo sqlx prepare -- --all-targets) \
        </dev/null || die "cargo sqlx failed (its reason stands above)"
    say ".sqlx is up to date; commit it with the statements"
}

# find_sqlx: the tool must be as old as the library, or its files differ.
find_sqlx() {
    local want has
    want=$(sed -n '/^name = "sqlx"$/{n;s/^version = "\(.*\)"$/\1/p}' "$ROOT/Cargo.lock" | head -n 1)
    PATH=$DEV/tools/bin:$PATH
    has=$(cargo sqlx --version 2>/dev/null | sed -n 's/.* \([0-9][^ ]*\)$/\1/p' || true)
    if [ -n "$want" ] && [ "$has" = "$want" ]; then return 0; fi
    say "installing sqlx-cli $want into .dev/tools"
    (cd / && cargo install sqlx-cli --version "=$want" --locked --no-default-features --features postgres --root "$DEV/tools") </dev/null ||
        die "cannot install sqlx-cli $want"
}
