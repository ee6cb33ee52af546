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
    check_engine_ports
    need_packages build engines chaos
    with_engines
    test_urls
    if [ "${1:-}" = --broken ]; then
        shift
        broken_builds "$@"
    else
        chaos "$@" || exit 1
    fi
}

chaos() {
    TEST_DATABASE_URL=$TEST_DATABASE_URL TEST_AMQP_URL=$TEST_AMQP_URL \
        cargo_here test --quiet --locked "${FAULTS[@]}" --test chaos -- "$@"
}
