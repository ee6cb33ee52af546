# shellcheck shell=bash disable=SC2015,SC2016,SC2034,SC2119,SC2120
# What every part of deploy/dev stands on: messages, folders, ports, the lock, and processes remembered by pid *and* start
# time.
# Invariant: nothing is ever signalled that this checkout did not start itself: a pid whose start time differs is a stranger.

say() { printf 'deploy/dev%s: %s\n' "${SAY_AS:-}" "$*"; }
note() { printf 'deploy/dev%s: %s\n' "${SAY_AS:-}" "$*" >&2; }
die() {
    note "$@"
    exit 1
}

DEV=$ROOT/.dev          # everything this script writes, apart from target/
RUN=$DEV/run            # pid files, the lock, who is using the engines
ENV_FILE=$DEV/env       # for the user's scripts
ENGINES=$DEV/engines    # data of the private engines; may be a link, see make_folders

# name, default, what listens there
PORTS=(
    "LEADLINE_DEV_PORT 8787 the API"
    "LEADLINE_DEV_METRICS_PORT 8788 metrics"
    "LEADLINE_DEV_PG_PORT 15433 PostgreSQL"
    "LEADLINE_DEV_MQ_PORT 15673 RabbitMQ"
    "LEADLINE_DEV_MQ_DIST_PORT 15674 RabbitMQ's Erlang distribution"
    "LEADLINE_DEV_EPMD_PORT 15675 epmd"
    "LEADLINE_DEV_MQ4_PORT 15676 RabbitMQ 4 beside the engines"
    "LEADLINE_DEV_MQ4_DIST_PORT 15677 the Erlang distribution of RabbitMQ 4 beside the engines"
)

# The environment decides, else what the last start used, else the default; so `psql`, `status` and `down` find what an
# `up` with other ports started.
load_ports() {
    local row name default what remembered value seen=" "
    for row in "${PORTS[@]}"; do
        read -r name default what <<<"$row"
        remembered=$(sed -n "s/^$name=\([0-9]*\)$/\1/p" "$DEV/ports" 2>/dev/null || true)
        value=${!name:-${remembered:-$default}}
        [[ $value =~ ^[1-9][0-9]{0,4}$ ]] && [ "$value" -le 65535 ] || die "$name is '$value', not a port number"
        [[ $seen != *" $value "* ]] || die "port $value is given to two services; set $name to another port"
        seen+="$value "
        printf -v "$name" '%s' "$value"
        printf -v "WAS_$name" '%s' "${remembered:-$default}"
    done
    LEADLINE_URL=http://127.0.0.1:$LEADLINE_DEV_PORT
    LEADLINE_METRICS_URL=http://127.0.0.1:$LEADLINE_DEV_METRICS_PORT
}

save_ports() {
    local row name _
    for row in "${PORTS[@]}"; do
        read -r name _ <<<"$row"
        printf '%s=%s\n' "$name" "${!name}"
    done >"$DEV/ports"
}

port_answers() { timeout 2 bash -c 'exec 3<>"/dev/tcp/127.0.0.1/$1"' _ "$1" 2>/dev/null; }

# check_port VARIABLE PROCESS: before something starts, its port must be free; while PROCESS runs, its port cannot change.
check_port() {
    local name=$1 process=$2 row what='' who='' was
    for row in "${PORTS[@]}"; do [[ $row != "$name "* ]] || what=${row#* * }; done
    if pid_of "$process" >/dev/null; then
        was=WAS_$name
        [ "${!name}" = "${!was}" ] ||
            die "$what is running on port ${!was}; \`deploy/dev down\` first, to move it to $name=${!name}"
        return 0
    fi
    port_answers "${!name}" || return 0
    if command -v ss >/dev/null 2>&1; then
        who=$(ss -ltnpH "sport = :${!name}" 2>/dev/null | sed -n '1s/.*users:(("\([^"]*\)",pid=\([0-9]*\).*/ (\1, pid \2)/p' || true)
    fi
    die "port ${!name}, meant for $what, is taken by another program$who; stop that one or set $name to a free port"
}

# Folders ---------------------------------------------------------------------------------------------------------------

make_folders() {
    [ "$(uname -s)" = Linux ] || die "this script knows Linux only; elsewhere set DATABASE_URL and AMQP_URL and use cargo"
    if [ -e "$DEV" ] && [ ! -O "$DEV" ]; then
        die "$DEV belongs to $(stat -c %U "$DEV"): run this as that user, or remove the folder"
    fi
    mkdir -p "$RUN" 2>/dev/null || die "cannot write to $ROOT"
}

# lock / unlock: one deploy/dev at a time may start or stop things in this checkout.
lock() {
    exec 9>"$RUN/lock"
    if ! flock -n 9; then
        note "waiting for another deploy/dev in this checkout"
        flock -w 300 9 || die "another deploy/dev has been busy in this checkout for five minutes; giving up"
    fi
}
unlock() { exec 9>&-; }

# Processes -------------------------------------------------------------------------------------------------------------

# proc_start PID: its start time; fails for no process and for a zombie.
proc_start() {
    local stat
    { IFS= read -r stat <"/proc/$1/stat"; } 2>/dev/null || return 1
    # shellcheck disable=SC2086  # split on purpose: the fields after the name, of which the state is the first
    set -- ${stat##*) }
    [ "$1" != Z ] && [ "$1" != X ] || return 1
    printf '%s' "${20}"
}

# spawn NAME LOG FOLDER COMMAND...: a daemon in a session of its own (Ctrl-C is not for it), holding none of our files.
spawn() {
    local name=$1 log=$2 folder=$3 pid
    shift 3
    # Enough to look back, and never a full disk.
    if [ -f "$log" ] && [ "$(stat -c %s "$log")" -gt 20000000 ]; then mv -f "$log" "$log.1"; fi
    (cd "$folder" && exec setsid "$@") </dev/null >>"$log" 2>&1 3>&- 4>&- 5>&- 6>&- 7>&- 8>&- 9>&- &
    pid=$!
    printf '%s %s %s\n' "$pid" "$(proc_start "$pid" || echo gone)" "$ROOT" >"$RUN/$name.pid"
}

# pid_of NAME: the pid of what spawn started, if it still lives. The path tells a copied checkout from its original.
pid_of() {
    local pid start checkout
    { read -r pid start checkout <"$RUN/$1.pid"; } 2>/dev/null || return 1
    [ "$checkout" = "$ROOT" ] && [ "$(proc_start "$pid" || true)" = "$start" ] || return 1
    printf '%s' "$pid"
}

# stop_process NAME SIGNAL SECONDS: ask, wait, and only then kill; fails if it had to be killed.
stop_process() {
    local name=$1 signal=$2 deadline=$((SECONDS + $3)) pid
    if ! pid=$(pid_of "$name"); then
        rm -f "$RUN/$name.pid"
        return 0
    fi
    kill -s "$signal" "$pid" 2>/dev/null || true
    while pid_of "$name" >/dev/null; do
        if [ "$SECONDS" -ge "$deadline" ]; then
            note "$name (pid $pid) did not stop within $3 s: killed"
            kill -s KILL "$pid" 2>/dev/null || true
            rm -f "$RUN/$name.pid"
            return 1
        fi
        sleep 0.1
    done
    rm -f "$RUN/$name.pid"
}

# leftovers FOLDER: engine processes that still work in FOLDER although nothing remembers them: the children of a killed
# server, or a server whose pid file was lost.
leftovers() {
    local proc comm known
    known=" $(pid_of postgres || true) $(pid_of rabbitmq || true) $(pid_of rabbitmq4 || true) $(pid_of epmd || true) "
    for proc in /proc/[0-9]*; do
        { IFS= read -r comm <"$proc/comm"; } 2>/dev/null || continue
        case $comm in postgres | beam.smp | epmd) ;; *) continue ;; esac
        [[ $known != *" ${proc#/proc/} "* ]] || continue
        [ "$(readlink "$proc/cwd" 2>/dev/null || true)" = "$1" ] || continue
        if proc_start "${proc#/proc/}" >/dev/null; then printf '%s\n' "${proc#/proc/}"; fi
    done
}

# clear_leftovers FOLDER: wait for them to go by themselves, then ask, then kill.
clear_leftovers() {
    local signal pids n
    for signal in 0 INT TERM KILL; do
        for ((n = 0; n < 25; n++)); do
            pids=$(leftovers "$1")
            [ -n "$pids" ] || return 0
            if [ "$n" = 0 ]; then
                # shellcheck disable=SC2086  # one word per pid
                kill -s "$signal" $pids 2>/dev/null || true
            fi
            sleep 0.2
        done
    done
    die "processes left in $1 cannot be stopped: $(leftovers "$1" | tr '\n' ' ')"
}

# checkout_mark: tells what this checkout keeps outside of it from what others keep there.
checkout_mark() { printf '%s' "$ROOT" | sha256sum | cut -c1-12; }

# Who uses the engines --------------------------------------------------------------------------------------------------
# `up`, `test`, `bench` hold the engines while they run; the last one out stops them, unless `engines` or `up --detach`
# asked for them to stay (the file `keep`).

hold_engines() { proc_start $$ >"$RUN/hold.$$"; }

# engines_held: by another than this one.
engines_held() {
    local file pid
    for file in "$RUN"/hold.*; do
        pid=${file##*.}
        [ -e "$file" ] && [ "$pid" != $$ ] || continue
        if [ "$(proc_start "$pid" || true)" = "$(cat "$file")" ]; then return 0; fi
        rm -f "$file"
    done
    return 1
}

release_engines() {
    rm -f "$RUN/hold.$$"
    stop_beside
    if [ "${LEADLINE_KEEP_ENGINES:-}" = 1 ]; then touch "$RUN/keep"; fi
    if [ -e "$RUN/keep" ] || engines_held || pid_of leadline >/dev/null; then return 0; fi
    stop_engines
}
