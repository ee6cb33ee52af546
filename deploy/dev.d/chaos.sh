# shellcheck shell=bash disable=SC2034,SC2154
# chaos: the suite in tests/chaos, by itself or as a step of `test`.
# Invariant: only a debug build has planned faults; nothing here touches target/release.

chaos_help() {
    cat <<'HELP'
deploy/dev chaos: kill, cut and freeze everything under load, then check every answer against PostgreSQL.

  deploy/dev chaos                     the short run: fixed seed, every fault once (also a step of `deploy/dev test`)
  deploy/dev chaos --seed N            the same with another seed
  deploy/dev chaos --minutes M         random faults for M minutes, on a fresh seed unless --seed says otherwise
  deploy/dev chaos --only NAME         only the faults whose name contains NAME; may be repeated
  deploy/dev chaos --world W           only the faults of one world: single, cluster, spare; may be repeated
  deploy/dev chaos --rate R            R requests per second
  deploy/dev chaos --list              name the faults
  deploy/dev chaos --broken            prove that the suite can fail: each patch in tests/chaos/broken is applied to a copy
                                       of the sources, whose short run has to fail

It ends with its seed and the command that repeats it; exit status 1 says that a promise broke, that a fault did not
bite, or that the floor did not hold. Logs and the diary stay under target/tmp/chaos/SEED.
HELP
}

cmd_chaos() {
    case ${1:-} in
        --help | -h) chaos_help && return 0 ;;
    esac
    SAY_AS=' chaos'
    need_rust
    # The suite starts engines of its own, whatever the caller has.
    EXTERNAL=0 WANT_LINE=$LEADLINE_DEV_MQ_LINE
    need_packages build engines chaos
    if [ "${1:-}" = --broken ]; then
        shift
        broken_builds "$@"
    else
        chaos "$@" || exit 1
    fi
}

# chaos [ARGS]: on the RabbitMQ that was found; the suite is told where it is unless it is the machine's.
chaos() {
    LEADLINE_DEV_MQ_ROOT=${MQ_ROOT:-} cargo_here test --quiet --locked "${FAULTS[@]}" --test chaos -- "$@"
}

# chaos_on_4 [ARGS]: a run on RabbitMQ 4, as a step of `test` where RabbitMQ is a 3.
chaos_on_4() {
    local MQ_SERVER MQ_PATH MQ_ROOT MQ_LINE=$MQ_LINE
    has_4 || return 0
    find_rabbitmq 4 && chaos "$@"
}

# broken_builds [ARGS]: every patch in a copy of the sources; the suite has to fail on each, and on a promise.
broken_builds() {
    local patch name copy target said failed=0
    target=$(target_dir)
    [ $# -gt 0 ] || set -- --only dies
    have git || die "git is needed, to copy the sources and to apply the patches"
    for patch in "$ROOT"/tests/chaos/broken/*.patch; do
        name=$(basename "$patch" .patch)
        copy=$target/broken/$name
        said=$target/broken/$name.txt
        say "$name: $(head -n 1 "$patch")"
        copy_sources "$copy"
        (cd "$copy" && GIT_CEILING_DIRECTORIES=${copy%/*} git apply "$patch") || die "$patch does not apply any more"
        lend_dependencies "$target/debug" "$target/broken/target/debug"
        # Cargo takes each copy of this crate for the one before.
        rm -rf "$target"/broken/target/debug/.fingerprint/leadline-*
        if CARGO_TARGET_DIR=$target/broken/target LEADLINE_DEV_MQ_ROOT=${MQ_ROOT:-} ROOT=$copy cargo_here test --quiet --locked "${FAULTS[@]}" --test chaos -- "$@" >"$said" 2>&1; then
            note "$name: the suite passed, and should have failed: $said"
            failed=1
        elif ! grep -q '^BROKEN: ' "$said"; then
            note "$name: the suite failed, but for no broken promise: $said"
            failed=1
        else
            say "$name: found; $(grep -c '^BROKEN: ' "$said") lines, the first: $(grep -m 1 '^BROKEN: ' "$said" | cut -c 9-150)"
        fi
    done
    [ "$failed" = 0 ] || die "the suite did not find every broken build"
    say "the suite found every broken build"
}

# copy_sources TO: what git knows or would know of this checkout, as it stands.
copy_sources() {
    rm -rf "$1" && mkdir -p "$1"
    (cd "$ROOT" && git ls-files -z -co --exclude-standard | xargs -0 cp --parents -t "$1")
}

# lend_dependencies FROM TO: what cargo built of other crates, which does not depend on where this one lives.
lend_dependencies() {
    [ ! -d "$2" ] && [ -d "$1/deps" ] || return 0
    mkdir -p "$2/deps"
    cp -a "$1/build" "$1/.fingerprint" "$2/"
    find "$1/deps" -maxdepth 1 -type f ! -name '*leadline*' ! -name 'it-*' ! -name 'chaos-*' ! -name 'tidy-*' -exec cp -a -t "$2/deps" {} +
}
