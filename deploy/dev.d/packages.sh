# shellcheck shell=bash disable=SC2015,SC2016,SC2034,SC2119,SC2120
# Finds the tools and says, or installs, what is missing.
# Invariant: a machine that has everything is not touched, and nothing is installed without a line that names it.

# An ordinary user's PATH lacks these; cargo may be installed without being in PATH yet.
PATH=$PATH:/usr/local/sbin:/usr/sbin:/sbin
if ! command -v cargo >/dev/null 2>&1 && [ -x "${CARGO_HOME:-${HOME:-/nonexistent}/.cargo}/bin/cargo" ]; then
    PATH=${CARGO_HOME:-$HOME/.cargo}/bin:$PATH
fi

have() { command -v "$1" >/dev/null 2>&1; }

need_rust() {
    local want have tool
    for tool in cargo rustc; do
        have "$tool" || die "$tool not found: install Rust from https://rustup.rs and start again"
    done
    want=$(sed -n 's/^rust-version *= *"\([0-9.]*\)".*/\1/p' "$ROOT/Cargo.toml" | head -n 1)
    have=$(rustc --version 2>/dev/null | sed -n 's/^rustc \([0-9.]*\).*/\1/p')
    [ -n "$have" ] || die "rustc does not run: \`rustc --version\` says why"
    if [ -n "$want" ] && [ "$(printf '%s\n' "$want" "$have" | sort -V | head -n 1)" != "$want" ]; then
        die "rustc $have is too old, $want or newer is needed: \`rustup update stable\`"
    fi
}

# need_component CARGO-COMMAND COMPONENT
need_component() {
    cargo "$1" --version >/dev/null 2>&1 && return 0
    if have rustup; then
        say "installing the Rust component $2 (rustup)"
        rustup component add "$2" </dev/null || true
        cargo "$1" --version >/dev/null 2>&1 && return 0
    fi
    die "cargo $1 is missing: \`rustup component add $2\`"
}

# find_postgres [MAJOR]: sets PG_BIN to the newest server of at least 14 (or of exactly MAJOR), all of its tools in one place.
find_postgres() {
    local dir version best=0
    PG_BIN=
    for dir in /usr/lib/postgresql/*/bin /usr/pgsql-*/bin /usr/local/pgsql/bin "$(dirname "$(command -v initdb || echo /)")"; do
        [ -x "$dir/postgres" ] && [ -x "$dir/initdb" ] && [ -x "$dir/psql" ] && [ -x "$dir/pg_isready" ] || continue
        version=$("$dir/postgres" --version 2>/dev/null | sed -n 's/.* \([0-9][0-9]*\)[^ ]*.*/\1/p')
        [ "${version:-0}" -ge 14 ] && [ "$version" -gt "$best" ] || continue
        [ -z "${1:-}" ] || [ "$version" = "$1" ] || continue
        PG_BIN=$dir best=$version
    done
    [ -n "$PG_BIN" ]
}

# find_rabbitmq [LINE]: sets MQ_SERVER to the real start script (Debian's wrapper of that name insists on its own user and
# folders), MQ_PATH to the path with its Erlang first, MQ_LINE to 3 or 4, MQ_ROOT to the root it lives in unless it is the
# machine's. Without LINE the machine's own will do, whatever it is.
find_rabbitmq() {
    local want=${1:-$WANT_LINE}
    MQ_PATH=$PATH MQ_ROOT=
    if system_rabbitmq && [ "${want:-$MQ_LINE}" = "$MQ_LINE" ]; then return 0; fi
    [ "$want" = 4 ] && line4_root && line4_whole || return 1
    MQ_SERVER=$LINE4_ROOT/usr/lib/rabbitmq/bin/rabbitmq-server MQ_PATH=$LINE4_ROOT/bin:$PATH MQ_LINE=4 MQ_ROOT=$LINE4_ROOT
}

system_rabbitmq() {
    local file
    MQ_SERVER= MQ_LINE=
    have erl && have epmd || return 1
    for file in /usr/lib/rabbitmq/bin/rabbitmq-server /usr/lib/rabbitmq/lib/rabbitmq_server-*/sbin/rabbitmq-server \
        /opt/rabbitmq/sbin/rabbitmq-server; do
        if [ -x "$file" ]; then MQ_SERVER=$file; fi
    done
    [ -n "$MQ_SERVER" ] || return 1
    case $(rabbitmq_version) in [012].* | 3.*) MQ_LINE=3 ;; *) MQ_LINE=4 ;; esac
}

# rabbitmq_version: of MQ_SERVER, by the name of its main library.
rabbitmq_version() {
    local home
    home=$(dirname "$(dirname "$(readlink -f "$MQ_SERVER")")")
    find "$home/plugins" -maxdepth 1 -name 'rabbit-[0-9]*' 2>/dev/null | sed -n 's/.*rabbit-\([0-9.]*[0-9]\).*/\1/p' | head -n 1
}

# find_psql: sets PSQL; the client is enough where somebody else's engines are used.
find_psql() {
    if find_postgres; then PSQL=$PG_BIN/psql; else PSQL=$(command -v psql || true); fi
    [ -n "$PSQL" ]
}

# need_packages FOR...: FOR is engines, psql, build, chaos, fuzz, watch, ship or clients.
need_packages() {
    local what missing=() line4=0
    for what in "$@"; do
        case $what in
            engines)
                if [ "$EXTERNAL" = 1 ]; then continue; fi
                find_postgres || missing+=(postgresql)
                if [ "$WANT_LINE" = 4 ]; then
                    system_rabbitmq && [ "$MQ_LINE" = 4 ] || line4=1
                elif ! system_rabbitmq; then
                    missing+=(rabbitmq-server)
                fi
                ;;
            psql) if [ "$EXTERNAL" = 1 ]; then find_psql || missing+=(postgresql-client); fi ;;
            build)
                have cc || missing+=(gcc libc6-dev)
                have curl || missing+=(curl)
                # cargo, npm and pip fetch over TLS and look for the machine's certificates.
                [ -n "${SSL_CERT_FILE:-}" ] || [ -d /etc/pki/tls ] || [ -e /etc/ssl/certs/ca-certificates.crt ] ||
                    missing+=(ca-certificates)
                ;;
            # A clock of its own for a process.
            chaos) have faketime || missing+=(faketime) ;;
            fuzz) have c++ || missing+=(g++) ;;
            watch)
                have prometheus && have promtool || missing+=(prometheus)
                have python3 || missing+=(python3)
                ;;
            ship)
                have python3 || missing+=(python3)
                python3 -c 'import venv, ensurepip' >/dev/null 2>&1 || missing+=(python3-venv)
                # Only its tool that reads units; elsewhere they stay unread.
                have systemd-analyze || ! have apt-get || missing+=(systemd)
                ;;
            clients)
                have node || missing+=(nodejs)
                have npm || missing+=(npm)
                have python3 || missing+=(python3)
                python3 -c 'import venv, ensurepip' >/dev/null 2>&1 || missing+=(python3-venv)
                ;;
        esac
    done
    if [ "${#missing[@]}" -gt 0 ]; then install_missing "${missing[@]}"; fi
    case " $* " in *" engines "*) need_line "$line4" ;; esac
}

# need_line LINE4: the RabbitMQ that was asked for is there, or one line says why it cannot be.
need_line() {
    if [ "$EXTERNAL" = 1 ]; then return 0; fi
    if [ "$1" = 1 ]; then need_line4 || die "RabbitMQ 4 cannot be had here: $LINE4_WHY"; fi
    find_rabbitmq || die "RabbitMQ $WANT_LINE cannot be had here: this machine's own is $(rabbitmq_version)"
}

install_missing() {
    local what missing=("$@")
    install_packages "$@"
    hash -r
    # Once more, without installing: a package that came but does not help (too old, say) must not loop or pass.
    for what in "${missing[@]}"; do
        case $what in
            postgresql) find_postgres || die "the distribution's PostgreSQL is older than 14: install a newer server, or set DATABASE_URL and AMQP_URL" ;;
            rabbitmq-server) system_rabbitmq || die "rabbitmq-server is installed, but its start script was not found; set DATABASE_URL and AMQP_URL" ;;
            postgresql-client) find_psql || die "psql was not found after installing $what" ;;
            nodejs) have node || die "node was not found after installing $what" ;;
        esac
    done
}

install_packages() {
    local log=$DEV/install.log as_root=() why
    if ! have apt-get; then
        die "missing: $*; there is no apt-get here, so install them by hand (Debian's names) and start again"
    fi
    if [ "$EUID" != 0 ]; then
        have sudo || die "missing: $*; there is no sudo here, so have root run: apt-get install $*"
        # Without a terminal nobody can type a password.
        if [ -t 0 ] && [ -t 2 ]; then
            as_root=(sudo)
        elif sudo -n true 2>/dev/null; then
            as_root=(sudo -n)
        else
            die "missing: $*; sudo wants a password and there is no terminal, so have root run: apt-get install $*"
        fi
        if [ "${#as_root[@]}" = 1 ]; then
            sudo -v || die "missing: $*; sudo refused, so have root run: apt-get install $*"
        fi
    fi
    say "installing $* (apt-get; log in .dev/install.log)"
    # No service is started, see install-packages. Of apt's talk only the steps are shown.
    if ! "${as_root[@]}" bash "$ROOT/deploy/dev.d/install-packages" "$@" 2>&1 | tee "$log" |
        sed -un -e 's/^Setting up \([^ ]*\) .*/    \1/p' -e 's/^Need to get \(.*\) of archives.*/    fetching \1/p' \
            -e 's/^Refreshing.*/    refreshing the package lists/p'; then
        why=$(grep '^E: ' "$log" | head -n 1 || true)
        die "installing $* failed: ${why:-see $log}"
    fi
}
