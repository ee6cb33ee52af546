# shellcheck shell=bash disable=SC2015,SC2016,SC2034,SC2119,SC2120
# The two engines: private PostgreSQL and RabbitMQ, or those that DATABASE_URL and AMQP_URL name.
# Invariant: private engines listen on 127.0.0.1 only, keep everything under .dev/engines, run unprivileged, and read no
# configuration of the machine; an engine that serves somebody else is never spoken to.

# choose_engines: sets EXTERNAL, and DATABASE_URL / AMQP_URL (exported to nobody yet).
choose_engines() {
    local own_pg own_mq
    password=$(cat "$DEV/pg-password" 2>/dev/null || true)
    own_pg=127.0.0.1:$LEADLINE_DEV_PG_PORT/leadline
    own_mq=127.0.0.1:$LEADLINE_DEV_MQ_PORT/%2f
    export -n DATABASE_URL AMQP_URL 2>/dev/null || true
    # Whoever has sourced .dev/env has both set to the private engines: those are still ours to start.
    if [ "${DATABASE_URL:+set}" = set ] && [ "${DATABASE_URL##*@}" = "$own_pg" ]; then DATABASE_URL=; fi
    if [ "${AMQP_URL:+set}" = set ] && [ "${AMQP_URL##*@}" = "$own_mq" ]; then AMQP_URL=; fi
    case ${DATABASE_URL:+d}${AMQP_URL:+a} in
        da) EXTERNAL=1 ;;
        d) die "DATABASE_URL is set and AMQP_URL is not: set both to use your own engines, or none" ;;
        a) die "AMQP_URL is set and DATABASE_URL is not: set both to use your own engines, or none" ;;
        *)
            EXTERNAL=0
            private_urls
            ;;
    esac
}

# choose_line: sets WANT_LINE to the RabbitMQ that is asked for: 3, 4, or empty for the machine's own. What runs decides where
# nobody asks; its data are in a folder of that line.
choose_line() {
    case ${LEADLINE_DEV_MQ_LINE:=} in
        '' | 3 | 4) ;;
        *) die "LEADLINE_DEV_MQ_LINE is '$LEADLINE_DEV_MQ_LINE', neither 3 nor 4" ;;
    esac
    RUNNING_LINE=
    if pid_of rabbitmq >/dev/null; then RUNNING_LINE=$(cat "$RUN/rabbitmq.line" 2>/dev/null || true); fi
    WANT_LINE=${LEADLINE_DEV_MQ_LINE:-$RUNNING_LINE}
}

# check_line: a running RabbitMQ is of the line that is asked for.
check_line() {
    [ "${RUNNING_LINE:-$WANT_LINE}" = "$WANT_LINE" ] ||
        die "RabbitMQ $RUNNING_LINE is running; \`deploy/dev down\` first, to change to $WANT_LINE"
}

private_urls() {
    DATABASE_URL=postgres://leadline:$password@127.0.0.1:$LEADLINE_DEV_PG_PORT/leadline
    AMQP_URL=amqp://guest:guest@127.0.0.1:$LEADLINE_DEV_MQ_PORT/%2f
}

# check_engine_ports: before anything is installed or built.
check_engine_ports() {
    if [ "$EXTERNAL" = 1 ]; then return 0; fi
    lock
    clear_engine_leftovers
    unlock
    check_line
    check_port LEADLINE_DEV_PG_PORT postgres
    check_port LEADLINE_DEV_MQ_PORT rabbitmq
    check_port LEADLINE_DEV_MQ_DIST_PORT rabbitmq
    check_port LEADLINE_DEV_EPMD_PORT epmd
}

check_beside_ports() {
    if [ "$EXTERNAL" = 1 ]; then return 0; fi
    check_port LEADLINE_DEV_MQ4_PORT rabbitmq4
    check_port LEADLINE_DEV_MQ4_DIST_PORT rabbitmq4
}

start_engines() {
    local started=$SECONDS fresh=()
    if [ "$EXTERNAL" = 1 ]; then
        check_external
        return 0
    fi
    lock
    clear_engine_leftovers
    # Another deploy/dev may have started one while this one waited.
    choose_line
    check_line
    find_rabbitmq || die "RabbitMQ is missing"
    make_engine_folders
    save_ports
    pid_of postgres >/dev/null || fresh+=(PostgreSQL)
    pid_of rabbitmq >/dev/null || fresh+=(RabbitMQ)
    if [ "${#fresh[@]}" -gt 0 ]; then say "starting private engines: ${fresh[*]}"; fi
    # RabbitMQ takes longer: first, so that the two start side by side. A running one may have lost its epmd.
    if pid_of rabbitmq >/dev/null; then
        start_epmd
    else
        start_rabbitmq rabbitmq "$MQ" "$LEADLINE_DEV_MQ_PORT" "$LEADLINE_DEV_MQ_DIST_PORT"
        echo "$MQ_LINE" >"$RUN/rabbitmq.line"
    fi
    if ! pid_of postgres >/dev/null; then start_postgres; fi
    await_postgres
    await_rabbitmq rabbitmq "$MQ" "$LEADLINE_DEV_MQ_PORT"
    unlock
    if [ "${#fresh[@]}" -gt 0 ]; then
        say "engines ready in $((SECONDS - started)) s: PostgreSQL on 127.0.0.1:$LEADLINE_DEV_PG_PORT, RabbitMQ $(rabbitmq_version) on 127.0.0.1:$LEADLINE_DEV_MQ_PORT"
    fi
}

# clear_engine_leftovers: what a killed server left behind, and servers whose pid files were lost.
clear_engine_leftovers() {
    local data
    data=$(realpath "$ENGINES" 2>/dev/null) || return 0
    pid_of postgres >/dev/null || clear_leftovers "$data/pg/data"
    # Nobody runs two lines in one folder, but either may have been the last.
    pid_of rabbitmq >/dev/null || { clear_leftovers "$data/mq" && clear_leftovers "$data/mq4"; }
    pid_of rabbitmq4 >/dev/null || clear_leftovers "$data/mq4-beside"
}

# start_beside: a RabbitMQ 4 with ports of its own and no data of before, beside the engines; need_line4 has seen to it.
# Sets BESIDE_AMQP_URL.
start_beside() {
    local MQ_SERVER MQ_PATH MQ_LINE MQ_ROOT beside started=$SECONDS
    beside=$(realpath "$ENGINES")/mq4-beside
    find_rabbitmq 4 || die "RabbitMQ 4 is missing"
    BESIDE_AMQP_URL=amqp://guest:guest@127.0.0.1:$LEADLINE_DEV_MQ4_PORT/%2f
    lock
    if ! pid_of rabbitmq4 >/dev/null; then
        clear_leftovers "$beside"
        rm -rf "$beside"
        make_folder_of "$MQ_USER" "$beside"
        start_rabbitmq rabbitmq4 "$beside" "$LEADLINE_DEV_MQ4_PORT" "$LEADLINE_DEV_MQ4_DIST_PORT"
    fi
    await_rabbitmq rabbitmq4 "$beside" "$LEADLINE_DEV_MQ4_PORT"
    unlock
    say "RabbitMQ $(rabbitmq_version) on 127.0.0.1:$LEADLINE_DEV_MQ4_PORT, ready in $((SECONDS - started)) s"
}

# stop_beside: unless another deploy/dev of this checkout may be using it.
stop_beside() {
    if ! pid_of rabbitmq4 >/dev/null || engines_held; then return 0; fi
    stop_process rabbitmq4 TERM 40 || true
}

stop_engines() {
    local were=()
    if pid_of postgres >/dev/null; then were+=(PostgreSQL); fi
    if pid_of rabbitmq >/dev/null; then were+=(RabbitMQ); fi
    stop_process rabbitmq TERM 40 || true
    stop_process rabbitmq4 TERM 40 || true
    stop_process epmd TERM 5 || true
    # INT is Postgres's "fast": sessions are cut, committed work is kept.
    stop_process postgres INT 40 || true
    clear_engine_leftovers
    if [ "${#were[@]}" -gt 0 ]; then say "stopped ${were[*]}"; fi
}

# Folders and users -----------------------------------------------------------------------------------------------------

# Both engines refuse or should refuse to run as root, so root lends them the users that their packages made.
engine_users() {
    PG_USER='' MQ_USER=''
    if [ "$EUID" != 0 ]; then return 0; fi
    PG_USER=postgres MQ_USER=rabbitmq
    id -u postgres >/dev/null 2>&1 || die "PostgreSQL does not run as root and there is no user postgres: run this as an ordinary user"
    id -u rabbitmq >/dev/null 2>&1 || MQ_USER=postgres
}

# as USER HOME: sets AS, to be put before a command: it runs as USER (empty: as we are) with a clean environment, so that
# neither the caller's PG* and RABBITMQ_* variables nor the machine's settings reach the engines.
as() {
    AS=(env -i PATH="$PATH" HOME="$2" LANG=C.UTF-8 LC_ALL=C.UTF-8)
    if [ -n "$1" ]; then AS=(setpriv --reuid="$1" --regid="$(id -g "$1")" --init-groups -- "${AS[@]}"); fi
}
can_enter() {
    as "$1" /
    "${AS[@]}" test -x "$2"
}

# .dev/engines is a folder where the engines can live in it, else a link into /var/tmp: under /root and the like the
# engines' users cannot pass, and Erlang's start scripts break on blanks in a path.
make_engine_folders() {
    local away
    away=/var/tmp/leadline-$(checkout_mark)
    engine_users
    if [ -L "$ENGINES" ] && [ "$(readlink "$ENGINES")" != "$away" ]; then
        rm -f "$ENGINES"    # this checkout was copied or moved; those data belong to the other path
    fi
    if [ ! -e "$ENGINES" ] && ! fits_here; then
        rm -f "$ENGINES"
        mkdir -m 755 "$away" 2>/dev/null || true
        [ -d "$away" ] && [ -O "$away" ] && [ ! -L "$away" ] ||
            die "$away exists and is not yours; the engines cannot keep their data under $ROOT, so free that name"
        ln -s "$away" "$ENGINES"
        say "the engines keep their data in $away (they cannot live under $ROOT)"
    fi
    mkdir -p "$ENGINES"
    PG=$(realpath "$ENGINES")/pg MQ=$(realpath "$ENGINES")/mq
    # One line's data are nothing to the other.
    if [ "$MQ_LINE" = 4 ]; then MQ=${MQ}4; fi
    make_folder_of "$PG_USER" "$PG"
    make_folder_of "$MQ_USER" "$MQ"
    can_enter "$PG_USER" "$PG" && can_enter "$MQ_USER" "$MQ" || die "the engines' users cannot enter $(realpath "$ENGINES") any more: check the modes of the folders above, or \`deploy/dev reset\`"
}

make_folder_of() {
    if [ -n "$1" ]; then install -d -m 700 -o "$1" -g "$(id -g "$1")" "$2"; else install -d -m 700 "$2"; fi
}

fits_here() {
    [[ $DEV =~ ^[A-Za-z0-9/._+-]+$ ]] || return 1
    can_enter "$PG_USER" "$DEV" && can_enter "$MQ_USER" "$DEV"
}

# PostgreSQL ------------------------------------------------------------------------------------------------------------

start_postgres() {
    local major
    if [ -s "$PG/data/PG_VERSION" ]; then
        major=$(cat "$PG/data/PG_VERSION")
        find_postgres "$major" ||
            die "the data in .dev were made by PostgreSQL $major, which is gone: install it again, or \`deploy/dev reset\` to wipe them"
    else
        find_postgres || die "PostgreSQL is missing"
        init_postgres
    fi
    # clear_engine_leftovers has seen to it that nobody uses the folder: the file can only be a dead server's, whose pid may by
    # now be another process's, and then Postgres would refuse to start.
    rm -f "$PG/data/postmaster.pid"
    write_postgres_conf
    as "$PG_USER" "$PG"
    spawn postgres "$DEV/postgres.log" "$PG" "${AS[@]}" "$PG_BIN/postgres" -D "$PG/data"
}

# init_postgres: in a folder of another name, renamed when it is whole, so a half-made one is never mistaken for data.
init_postgres() {
    rm -rf "$PG/data.new" "$PG/data"
    password=$(od -An -N16 -tx1 /dev/urandom | tr -d ' \n')
    (umask 077 && printf '%s\n' "$password" >"$DEV/pg-password" && cp "$DEV/pg-password" "$PG/pwfile")
    if [ -n "$PG_USER" ]; then chown "$PG_USER" "$PG/pwfile"; fi
    private_urls
    # A password although it listens on loopback only: other users of this machine reach loopback too, and a superuser of
    # Postgres can run commands as the server's user.
    as "$PG_USER" "$PG"
    if ! (cd "$PG" && "${AS[@]}" "$PG_BIN/initdb" -D "$PG/data.new" -U leadline --auth=scram-sha-256 \
        --pwfile="$PG/pwfile" --encoding=UTF8 --locale=C.UTF-8) </dev/null >"$DEV/initdb.log" 2>&1; then
        die "initdb failed: $(grep -m 1 -iE 'error|fatal|could not' "$DEV/initdb.log" || echo "see .dev/initdb.log")"
    fi
    rm -f "$PG/pwfile"
    echo "include '../leadline.conf'" >>"$PG/data.new/postgresql.conf"
    mv "$PG/data.new" "$PG/data"
}

# Written at every start, so that a changed port or setting needs no new data.
write_postgres_conf() {
    local compression # the server is asked: before 15, and where it was built without lz4, there is only the slow one
    compression=$("$PG_BIN/postgres" -C wal_compression -D "$PG" --config-file=/dev/null -c wal_compression=lz4 2>/dev/null ||
        echo on)
    cat >"$PG/leadline.conf" <<CONF
# Written by deploy/dev at every start; changes here are lost.
listen_addresses = '127.0.0.1'          # nobody else's business
port = $LEADLINE_DEV_PG_PORT
unix_socket_directories = ''            # TCP only: no file that another server could own
cluster_name = 'leadline-dev'           # tells it apart in \`ps\`
max_connections = 300                   # the tests run many small pools side by side
shared_buffers = '256MB'                # the hot tables and indexes of a benchmark fit; small enough for a laptop
max_wal_size = '4GB'                    # a checkpoint every few minutes under load, not every few seconds
checkpoint_completion_target = 0.9      # and spread out, so that it does not show in the latencies
wal_compression = $compression                   # full-page images are most of the WAL after a checkpoint; pglz, which is
                                        # what \`on\` means, takes much more CPU than lz4 for them
synchronous_commit = on                 # Leadline's promise: a 200 means durable
fsync = on                              # the same; never off, also not for tests: they measure and kill
autovacuum = on                         # as in production, so that a benchmark pays for it
timezone = 'UTC'
log_timezone = 'UTC'
log_line_prefix = '%m [%p] %d '
log_min_messages = warning
log_checkpoints = off
CONF
    if [ -n "$PG_USER" ]; then chown "$PG_USER" "$PG/leadline.conf"; fi
}

await_postgres() {
    local deadline=$((SECONDS + 60))
    if [ -z "${PG_BIN:-}" ]; then find_postgres || die "PostgreSQL is missing"; fi
    until "$PG_BIN/pg_isready" -q -t 2 -h 127.0.0.1 -p "$LEADLINE_DEV_PG_PORT" -d postgres -U leadline; do
        pid_of postgres >/dev/null || die "PostgreSQL ended while starting: $(last_line "$DEV/postgres.log" 'FATAL|PANIC|could not')"
        [ "$SECONDS" -lt "$deadline" ] || die "PostgreSQL does not answer on port $LEADLINE_DEV_PG_PORT; see .dev/postgres.log"
        sleep 0.1
    done
    make_database leadline
}

# make_database NAME: unless it exists.
make_database() {
    private_psql postgres -qAtc "select 1 from pg_database where datname = '$1'" 2>"$RUN/psql.err" >"$RUN/psql.out" ||
        die "PostgreSQL on port $LEADLINE_DEV_PG_PORT refuses: $(head -n 1 "$RUN/psql.err")"
    if [ ! -s "$RUN/psql.out" ]; then private_psql postgres -qc "create database \"$1\"" || die "cannot create the database $1"; fi
}

# private_psql DATABASE ARGS...: the password goes by environment, where other users cannot see it.
private_psql() {
    local database=$1
    shift
    if [ -z "${PG_BIN:-}" ]; then find_postgres || die "PostgreSQL is missing"; fi
    env -u PGSERVICE -u PGSERVICEFILE -u PGOPTIONS -u PGSSLMODE -u PGHOSTADDR -u PGPASSFILE PGHOST=127.0.0.1 \
        PGPORT="$LEADLINE_DEV_PG_PORT" PGUSER=leadline PGPASSWORD="$password" PGDATABASE="$database" PGCONNECT_TIMEOUT=10 \
        "$PG_BIN/psql" -X "$@"
}

# RabbitMQ --------------------------------------------------------------------------------------------------------------

# Started by us, not by Erlang, which would start it on every address, for good, and leave nobody to stop it.
start_epmd() {
    if pid_of epmd >/dev/null; then return 0; fi
    as "$MQ_USER" "$MQ"
    spawn epmd "$DEV/rabbitmq.log" "$MQ" "${AS[@]}" PATH="$MQ_PATH" epmd -address 127.0.0.1 -port "$LEADLINE_DEV_EPMD_PORT"
}

# start_rabbitmq PROCESS FOLDER PORT DISTRIBUTION-PORT: what find_rabbitmq has found.
start_rabbitmq() {
    local process=$1 folder=$2 port=$3 dist=$4
    start_epmd
    # A node killed during its very first start leaves a half-made database that it will not boot from again.
    if [ ! -e "$folder/whole" ]; then rm -rf "$folder/data"; fi
    write_rabbitmq_conf "$folder" "$port"
    as "$MQ_USER" "$folder"
    # The long name with an address in it needs no name service and no entry in /etc/hosts.
    # RUNNING_UNDER_SYSTEMD makes the start script replace itself by Erlang, so that the pid we remember is the server's.
    spawn "$process" "$DEV/$process.log" "$folder" "${AS[@]}" PATH="$MQ_PATH" \
        ERL_EPMD_PORT="$LEADLINE_DEV_EPMD_PORT" ERL_EPMD_ADDRESS=127.0.0.1 \
        RABBITMQ_NODENAME="${process/rabbitmq/leadline}@127.0.0.1" RABBITMQ_USE_LONGNAME=true RABBITMQ_DIST_PORT="$dist" \
        RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS='-kernel inet_dist_use_interface {127,0,0,1}' \
        RABBITMQ_CONF_ENV_FILE="$folder/rabbitmq-env.conf" RABBITMQ_CONFIG_FILE="$folder/rabbitmq.conf" \
        RABBITMQ_ADVANCED_CONFIG_FILE="$folder/advanced.config" RABBITMQ_ENABLED_PLUGINS_FILE="$folder/enabled_plugins" \
        RABBITMQ_MNESIA_BASE="$folder/data" RABBITMQ_LOG_BASE="$folder/log" RABBITMQ_LOGS=- RABBITMQ_PID_FILE="$folder/data/pid" \
        RUNNING_UNDER_SYSTEMD=true bash -c 'ulimit -Sn "$2" 2>/dev/null; exec "$1"' _ "$MQ_SERVER" "$(file_limit)"
}

# Erlang sizes tables by this limit: enough for many connections, not the million that some containers allow.
file_limit() {
    local hard
    hard=$(ulimit -Hn)
    if [ "$hard" = unlimited ] || [ "$hard" -gt 65536 ]; then hard=65536; fi
    printf '%s' "$hard"
}

# write_rabbitmq_conf FOLDER PORT
write_rabbitmq_conf() {
    local folder=$1
    cat >"$folder/rabbitmq.conf" <<CONF
# Written by deploy/dev at every start; changes here are lost.
listeners.tcp.1 = 127.0.0.1:$2
# guest/guest is the whole access control here: from this machine only.
loopback_users.guest = true
# The free space below which publishers are blocked: enough to stop in good order, small enough for a small disk.
disk_free_limit.absolute = 200MB
# The share of memory above which publishers are blocked; Postgres, the build and the tests live here too.
vm_memory_high_watermark.relative = 0.4
log.console = true
log.console.level = info
# Every connection of every test, otherwise.
log.connection.level = warning
CONF
    echo '[].' >"$folder/enabled_plugins"
    : >"$folder/rabbitmq-env.conf"
    mkdir -p "$folder/data" "$folder/log"
    # A cookie of its own: nobody who knows the machine's can join or command this node.
    if [ ! -s "$folder/.erlang.cookie" ]; then
        rm -f "$folder/.erlang.cookie"
        (umask 077 && od -An -N24 -tx1 /dev/urandom | tr -d ' \n' >"$folder/.erlang.cookie")
        chmod 400 "$folder/.erlang.cookie"
    fi
    if [ -n "$MQ_USER" ]; then chown -R "$MQ_USER" "$folder"; fi
}

# await_rabbitmq PROCESS FOLDER PORT
await_rabbitmq() {
    local log=$DEV/$1.log deadline=$((SECONDS + 120))
    until amqp_answers 127.0.0.1 "$3"; do
        pid_of "$1" >/dev/null ||
            die "RabbitMQ ended while starting: $(last_line "$log" 'error|failed|eacces|eaddrinuse')"
        [ "$SECONDS" -lt "$deadline" ] || die "RabbitMQ does not answer on port $3; see .dev/$1.log"
        sleep 0.2
    done
    if [ ! -e "$2/whole" ]; then touch "$2/whole"; fi
}

# last_line FILE PATTERN: the last line that looks like a reason, else where to look.
last_line() {
    local line
    line=$(tail -n 60 "$1" 2>/dev/null | grep -iE "$2" | tail -n 1 || true)
    printf '%s (.dev/%s)' "${line:-no reason given}" "${1##*/}"
}

# Do they answer --------------------------------------------------------------------------------------------------------

# Both ask for the protocol, not only for an open port.
# amqp_answers HOST PORT: a broker answers the protocol header with a method frame (type 1).
amqp_answers() { first_byte "$1" "$2" 'AMQP\0\0\11\1' | grep -q '^ 01$'; }
# postgres_answers HOST PORT: a server answers "may I use TLS?" with S or N.
postgres_answers() { first_byte "$1" "$2" '\0\0\0\10\4\322\26\57' | grep -qE '^ (53|4e)$'; }

first_byte() {
    # shellcheck disable=SC2059  # the inner shell expands; the third argument is a format on purpose
    timeout 5 bash -c 'exec 3<>"/dev/tcp/$1/$2" && printf "$3" >&3 && od -An -tx1 -N1 <&3' _ "$@" 2>/dev/null || true
}

check_external() {
    local host port
    say "using the engines of DATABASE_URL and AMQP_URL"
    case $DATABASE_URL in
        postgres://* | postgresql://*) ;;
        *) die "DATABASE_URL does not start with postgres://" ;;
    esac
    split_url "$DATABASE_URL" 5432
    # A URL without a host means a socket in the file system: left to the program itself.
    if [ -n "$host" ]; then postgres_answers "$host" "$port" || die "no PostgreSQL answers on $host:$port (DATABASE_URL)"; fi
    case $AMQP_URL in
        amqp://*)
            split_url "$AMQP_URL" 5672
            amqp_answers "$host" "$port" || die "no RabbitMQ answers on $host:$port (AMQP_URL)"
            ;;
        amqps://*)
            split_url "$AMQP_URL" 5671
            timeout 5 bash -c 'exec 3<>"/dev/tcp/$1/$2"' _ "$host" "$port" 2>/dev/null ||
                die "nothing answers on $host:$port (AMQP_URL)"
            ;;
        *) die "AMQP_URL starts neither with amqp:// nor with amqps://" ;;
    esac
}

# split_url URL DEFAULT-PORT: sets the caller's host and port.
split_url() {
    local rest=${1#*://}
    rest=${rest%%[/?]*}
    rest=${rest##*@}
    port=$2 host=$rest
    case $rest in
        \[*\]:*) port=${rest##*:} host=${rest%:*} ;;
        \[*\]) ;;
        *:*) port=${rest##*:} host=${rest%:*} ;;
    esac
    host=${host#[} host=${host%]}
}
