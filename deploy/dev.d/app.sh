# shellcheck shell=bash disable=SC2015,SC2016,SC2034,SC2119,SC2120
# Builds, starts, watches and stops the one process that is API and worker.
# Invariant: there is at most one, it is stopped by SIGTERM and waited for, and it is ready before anybody is told so.

# cargo_here ARGS...: never with a live DATABASE_URL, so that a build needs no engine and depends on the sources alone.
cargo_here() { (cd "$ROOT" && env -u DATABASE_URL SQLX_OFFLINE=true cargo "$@" </dev/null); }

target_dir() {
    (cd "$ROOT" && cargo metadata --format-version 1 --no-deps --offline 2>/dev/null) |
        sed -n 's/.*"target_directory":"\([^"]*\)".*/\1/p' | grep . || printf '%s\n' "$ROOT/target"
}

# find_app: sets APP, the release build with everything that it is told by environment; to be put before a subcommand.
find_app() {
    APP=(env DATABASE_URL="$DATABASE_URL" AMQP_URL="$AMQP_URL" LEADLINE__HTTP__LISTEN="127.0.0.1:$LEADLINE_DEV_PORT"
        LEADLINE__HTTP__METRICS_LISTEN="127.0.0.1:$LEADLINE_DEV_METRICS_PORT" "$(target_dir)/release/leadline")
    [ -x "${APP[-1]}" ] || die "there is no ${APP[-1]}; \`deploy/dev down\` and \`up\` build it"
}

build_app() {
    say "building (cargo build --release)"
    cargo_here build --release --locked || die "the build failed"
    find_app
}

# write_env: for scripts; the key lines are leadline demo's and are kept.
write_env() {
    local keys name
    keys=$(grep -E '^LEADLINE_(API|PUBLISHABLE)_KEY=' "$ENV_FILE" 2>/dev/null || true)
    (
        umask 077
        {
            for name in LEADLINE_URL LEADLINE_METRICS_URL DATABASE_URL AMQP_URL; do printf '%s=%q\n' "$name" "${!name}"; done
            if [ -n "$keys" ]; then printf '%s\n' "$keys"; fi
        } >"$ENV_FILE.new"
    )
    mv -f "$ENV_FILE.new" "$ENV_FILE"
}

ready() { curl -fsS -o /dev/null -m 3 --noproxy '*' "$LEADLINE_URL/$1" 2>/dev/null; }

start_app() {
    local deadline=$((SECONDS + 60)) pid
    if [ -s "$DEV/leadline.log" ]; then mv -f "$DEV/leadline.log" "$DEV/leadline.log.1"; fi
    spawn leadline "$DEV/leadline.log" "$ROOT" "${APP[@]}" all
    pid=$!
    until ready readyz; do
        if ! pid_of leadline >/dev/null; then
            tail -n 5 "$DEV/leadline.log" >&2
            die "leadline ended while starting; its last lines stand above (.dev/leadline.log)"
        fi
        if [ "$SECONDS" -ge "$deadline" ]; then
            die "leadline (pid $pid) was not ready within 60 s: $(curl -sS -m 3 --noproxy '*' "$LEADLINE_URL/readyz" 2>&1 | head -c 300)"
        fi
        sleep 0.1
    done
}

stop_app() {
    local pid
    if ! pid=$(pid_of leadline); then
        rm -f "$RUN/leadline.pid"
        return 0
    fi
    stop_process leadline TERM 40 && say "stopped leadline (pid $pid)"
}

demo() { "${APP[@]}" demo --url "$LEADLINE_URL" --env-file "$ENV_FILE" </dev/null || die "the demo failed (its output stands above)"; }

# up --------------------------------------------------------------------------------------------------------------------

cmd_up() {
    local detach=0 pid
    case ${1:-} in
        --detach | -d) detach=1 && shift ;;
    esac
    [ $# = 0 ] || die "up takes no other argument than --detach"
    need_rust
    check_port LEADLINE_DEV_PORT leadline
    check_port LEADLINE_DEV_METRICS_PORT leadline
    check_engine_ports
    need_packages build engines
    APP_OURS=0 SERVING=0 STOPPED=0
    trap leave_up EXIT
    trap 'interrupt 130' INT
    trap 'interrupt 143' TERM HUP
    hold_engines
    start_engines
    if pid=$(pid_of leadline); then
        say "leadline is already running (pid $pid); \`deploy/dev down\` first to run a newer build. The demo again:"
        find_app
        write_env
        demo
        return 0
    fi
    build_app
    write_env
    "${APP[@]}" migrate </dev/null || die "the migration failed (its reason stands above)"
    lock
    if pid_of leadline >/dev/null; then die "another deploy/dev has just started leadline"; fi
    save_ports
    APP_OURS=1
    start_app
    unlock
    demo
    if [ "$detach" = 1 ]; then
        APP_OURS=0
        touch "$RUN/keep"
        say "serving on $LEADLINE_URL in the background; \`deploy/dev down\` stops it; log in .dev/leadline.log"
        return 0
    fi
    serve
}

# serve: until a signal (ours to stop it), or until leadline ends by itself.
serve() {
    local pid code=0
    pid=$(pid_of leadline) || die "leadline has ended: $(last_line "$DEV/leadline.log" .)"
    say "serving on $LEADLINE_URL; Ctrl-C stops; log in .dev/leadline.log"
    SERVING=1
    wait "$pid" 2>/dev/null || code=$?
    if [ "$STOPPED" = 1 ]; then
        APP_OURS=0
        stop_app || exit 1
        code=0
        wait "$pid" 2>/dev/null || code=$?
        # 127: bash has reaped it and told us already.
        if [ "$code" != 0 ] && [ "$code" != 127 ]; then die "leadline ended with status $code (.dev/leadline.log)"; fi
        return 0
    fi
    APP_OURS=0
    [ "$code" = 0 ] || die "leadline died (status $code): $(last_line "$DEV/leadline.log" .)"
    say "leadline was stopped from elsewhere"
}

interrupt() {
    if [ "${SERVING:-0}" = 1 ]; then
        STOPPED=1
        printf '\n'
        return 0
    fi
    note "interrupted"
    exit "$1"
}

leave_up() {
    local code=$?
    trap '' INT TERM HUP
    trap - EXIT
    if [ "$APP_OURS" = 1 ]; then stop_app || true; fi
    unlock
    lock
    release_engines
    unlock
    exit "$code"
}

cmd_down() {
    lock
    rm -f "$RUN/keep"
    stop_app || true
    stop_engines
    unlock
    say "nothing of this checkout is running"
}

cmd_reset() {
    local away
    cmd_down
    away=$(readlink "$ENGINES" || true)
    rm -rf "$ENGINES" ${away:+"$away"}
    rm -f "$ENV_FILE" "$DEV/ports" "$DEV/pg-password" "$DEV"/*.log "$DEV"/*.log.1
    say "wiped the private database, the queues, the logs, the ports and .dev/env${away:+, in $away}"
    if [ "$EXTERNAL" = 1 ]; then say "what DATABASE_URL and AMQP_URL name was not touched"; fi
}

cmd_status() {
    local all=0 name what pid port health
    if [ "$EXTERNAL" = 1 ]; then
        printf '%-11s as DATABASE_URL and AMQP_URL say\n' engines
        (check_external >/dev/null) || all=1
    else
        for what in "postgres $LEADLINE_DEV_PG_PORT" "rabbitmq $LEADLINE_DEV_MQ_PORT" "epmd $LEADLINE_DEV_EPMD_PORT"; do
            read -r name port <<<"$what"
            if ! pid=$(pid_of "$name"); then
                printf '%-11s down\n' "$name" && all=1
            elif answers "$name" "$port"; then
                printf '%-11s up      pid %-8s 127.0.0.1:%s\n' "$name" "$pid" "$port"
            else
                printf '%-11s silent  pid %-8s 127.0.0.1:%s\n' "$name" "$pid" "$port" && all=1
            fi
        done
    fi
    if ! pid=$(pid_of leadline); then
        printf '%-11s down\n' leadline
        return 1
    fi
    printf '%-11s up      pid %-8s %s, metrics on %s\n' leadline "$pid" "$LEADLINE_URL" "$LEADLINE_METRICS_URL"
    for name in livez readyz; do
        health=ok
        ready "$name" || { health=failing && all=1; }
        printf '%-11s %s\n' "/$name" "$health"
    done
    return "$all"
}

answers() {
    case $1 in
        postgres) postgres_answers 127.0.0.1 "$2" ;;
        rabbitmq) amqp_answers 127.0.0.1 "$2" ;;
        *) port_answers "$2" ;;
    esac
}
