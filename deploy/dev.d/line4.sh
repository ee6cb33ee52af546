# shellcheck shell=bash disable=SC2015,SC2016,SC2034,SC2119,SC2120,SC2154
# RabbitMQ 4 beside a distribution's 3: Debian 13's packages, unpacked into a folder of their own and cached there.
# Nothing is installed, and no right is needed that an ordinary user lacks: Erlang's programs are told their own C library
# by the ELF headers, so they run as ordinary processes of this machine, with their own names and pids, not in a chroot.
# Invariant: a folder that carries the mark is whole and has run once; packages are taken only with Debian's signature.

LINE4_SUITE=trixie
LINE4_MIRROR=http://deb.debian.org/debian/      # where the machine's own mirror is none of Debian, or lacks the suite
# Whose signature counts; part of Debian, a package of that name elsewhere.
LINE4_KEYS=/usr/share/keyrings/debian-archive-keyring
LINE4_RECIPE=1          # raised when what is made below changes: older folders are made anew

# need_line4: sets LINE4_ROOT to a root with RabbitMQ 4, making it first if need be; fails with LINE4_WHY.
need_line4() {
    local code=0
    line4_root || return 1
    if line4_whole; then return 0; fi
    lock
    # Another deploy/dev may have made it while this one waited.
    if ! line4_whole; then
        say "fetching RabbitMQ 4 from Debian's $LINE4_SUITE into $LINE4_ROOT (once; log in .dev/rabbitmq-4.log)"
        make_line4 || code=1
    fi
    unlock
    return "$code"
}

# line4_root: .dev/rabbitmq-4, or beside the engines' data where the engines' users cannot enter the checkout.
line4_root() {
    engine_users
    LINE4_ROOT=$DEV/rabbitmq-4
    if fits_here; then return 0; fi
    LINE4_ROOT=/var/tmp/leadline-$(checkout_mark)-rabbitmq-4
    if [ -e "$LINE4_ROOT" ] && { [ ! -O "$LINE4_ROOT" ] || [ -L "$LINE4_ROOT" ]; }; then
        LINE4_WHY="$LINE4_ROOT exists and is not yours"
        return 1
    fi
}

# The path is part of it: the programs know where their libraries are.
line4_mark() { printf '%s %s' "$LINE4_RECIPE" "$LINE4_ROOT"; }
line4_whole() { [ "$(cat "$LINE4_ROOT/whole" 2>/dev/null || true)" = "$(line4_mark)" ]; }

# make_line4: in a folder of another name, renamed when it is complete, marked when it has run.
make_line4() {
    local new=$LINE4_ROOT.new log=$DEV/rabbitmq-4.log tool
    for tool in apt-get dpkg-deb; do
        if ! have "$tool"; then
            LINE4_WHY="there is no $tool here to fetch Debian's packages with"
            return 1
        fi
    done
    rm -rf "$new" "$LINE4_ROOT"
    if ! (line4_fetch "$new" && line4_unpack "$new" && line4_patch "$new" && line4_place "$new") >"$log" 2>&1 </dev/null; then
        LINE4_WHY=$(sed -nE 's/^(E|line4): //p' "$log" | tail -n 1 | cut -c1-200)
        LINE4_WHY="${LINE4_WHY:-it could not be made} (.dev/rabbitmq-4.log)"
        rm -rf "$new" "$LINE4_ROOT"
        return 1
    fi
}

# line4_fetch NEW: the packages, from the mirror that this machine uses, else from Debian's own.
line4_fetch() {
    local keys=$LINE4_KEYS.gpg mirror
    [ -e "$keys" ] || keys=$LINE4_KEYS.pgp
    if [ ! -e "$keys" ]; then
        echo "line4: Debian's keys are not here: install debian-archive-keyring"
        return 1
    fi
    while read -r mirror; do
        echo "trying $mirror"
        rm -rf "$1"
        mkdir -p "$1"/apt/{state/lists/partial,cache/archives/partial} "$1/debs" || return 1
        : >"$1/apt/status"
        printf 'deb [signed-by=%s] %s %s main\n' "$keys" "$mirror" "$LINE4_SUITE" >"$1/apt/sources.list"
        if line4_apt "$1" update && line4_download "$1"; then return 0; fi
    done < <(line4_mirrors)
    return 1
}

line4_mirrors() {
    apt-get indextargets --format '$(LABEL) $(REPO_URI)' 'Created-By: Packages' 2>/dev/null | line4_own_mirror
    echo "$LINE4_MIRROR"
}
# line4_own_mirror: the first of Debian itself; by its path where the lists were never fetched and nothing has a label.
line4_own_mirror() { sed -nE '\#^(Debian |[^ ]* ?.*/debian/$)#{s/^.* //;\#^(https?|ftp|file|mirror)[+a-z]*:#{p;q}}'; }

# line4_apt NEW ARGS...: apt with lists, a cache and a (bare) system of its own; proxies are those of the machine.
line4_apt() {
    local apt=$1/apt
    shift
    apt-get -q -o Dir::State="$apt/state" -o Dir::State::status="$apt/status" -o Dir::Cache="$apt/cache" \
        -o Dir::Etc::sourcelist="$apt/sources.list" -o Dir::Etc::sourceparts=/dev/null \
        -o Dir::Etc::preferences=/dev/null -o Dir::Etc::preferencesparts=/dev/null \
        -o APT::Sandbox::User=root -o APT::Install-Recommends=false -o APT::Update::Error-Mode=any \
        -o Acquire::Languages=none -o Acquire::IndexTargets::deb::DEP-11::DefaultEnabled=false \
        -o Acquire::Retries=2 -o Acquire::http::Timeout=30 -o Acquire::https::Timeout=30 "$@"
}

# line4_download NEW: RabbitMQ, Erlang and every library they may need, but no other programs: those are the machine's.
line4_download() {
    local plan packages
    plan=$(line4_apt "$1" install --simulate rabbitmq-server patchelf) || return 1
    mapfile -t packages < <(sed -n 's/^Inst \([^ ]*\) .*/\1/p' <<<"$plan" |
        grep -E '^(erlang-.*|rabbitmq-server|patchelf|lib.*|zlib1g)$' | grep -v '^libpython')
    (cd "$1/debs" && line4_apt "$1" download "${packages[@]}")
}

line4_unpack() {
    local deb
    for deb in "$1"/debs/*.deb; do dpkg-deb -x "$deb" "$1/unpacked" || return 1; done
    mkdir "$1/root" && mv "$1/unpacked/usr" "$1/root/usr" && rm -rf "$1/root/usr/share"
}

# line4_patch NEW: every program of Erlang's is told the loader and the libraries it came with, by their final paths, and
# every script where Erlang is.
line4_patch() {
    local root=$1/root loader libraries file patched=0
    loader=$(find "$root"/usr/lib/*-linux-gnu* -maxdepth 1 -name 'ld-linux*.so.*' | head -n 1)
    libraries=${loader%/*}
    if [ ! -x "$loader" ]; then
        echo "line4: no loader among the unpacked libraries"
        return 1
    fi
    patchelf=("$loader" --library-path "$libraries" "$root/usr/bin/patchelf")
    while read -r file; do
        "${patchelf[@]}" --print-interpreter "$file" >/dev/null 2>&1 || continue
        "${patchelf[@]}" --set-interpreter "$LINE4_ROOT${loader#"$root"}" --force-rpath \
            --set-rpath "$LINE4_ROOT${libraries#"$root"}" "$file" || return 1
        patched=$((patched + 1))
    done < <(find "$root/usr/lib/erlang" -type f -perm -u+x)
    echo "patched $patched programs"
    # The scripts only: what is compiled finds itself by what they say.
    grep -rlIZ /usr/lib/erlang "$root/usr/lib/erlang" | xargs -0 sed -i "s|/usr/lib/erlang|$LINE4_ROOT/usr/lib/erlang|g" || return 1
    mkdir "$root/bin"
    for file in erl epmd erl_call escript; do ln -s "../usr/lib/erlang/bin/$file" "$root/bin/$file" || return 1; done
    # These look beside themselves for their settings, and a link would mislead them.
    for file in rabbitmqctl rabbitmq-diagnostics rabbitmq-queues; do
        printf '#!/bin/sh\nPATH=%s/bin:$PATH exec %s/usr/lib/rabbitmq/bin/%s "$@"\n' "$LINE4_ROOT" "$LINE4_ROOT" "$file" >"$root/bin/$file" &&
            chmod 755 "$root/bin/$file" || return 1
    done
}

# line4_place NEW: where it belongs; and does it run, as the user who will run it?
line4_place() {
    chmod -R a+rX "$1/root" && mv "$1/root" "$LINE4_ROOT" && rm -rf "$1" || return 1
    as "$MQ_USER" /
    if ! (cd / && "${AS[@]}" PATH="$LINE4_ROOT/bin:$PATH" erl -noinput -boot no_dot_erlang -eval 'ok = crypto:start(), halt().'); then
        echo "line4: its Erlang does not run on this machine"
        return 1
    fi
    line4_mark >"$LINE4_ROOT/whole"
}
