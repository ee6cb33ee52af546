# shellcheck shell=bash disable=SC2034,SC2154
# fuzz: libFuzzer against the readers of foreign bytes, see tests/fuzz.
# Invariant: a find ends as a file under tests/fuzz/finds, which is then a test; nothing else of the checkout is written to.

fuzz_help() {
    cat <<'HELP'
deploy/dev fuzz: mutate what strangers send until a law of tests/fuzz/laws breaks.

  deploy/dev fuzz                      every target for 60 s
  deploy/dev fuzz TARGET [SECONDS]     one target, for 600 s unless told otherwise
  deploy/dev fuzz --list               name the targets

What was learned stays under target/fuzz/corpus. A find is written to tests/fuzz/finds/TARGET and printed; `cargo test
readers` replays it without libFuzzer. Exit status 1 says that there was one.
HELP
}

cmd_fuzz() {
    local target
    case ${1:-} in
        --help | -h) fuzz_help && return 0 ;;
        --list) fuzz_targets && return 0 ;;
    esac
    SAY_AS=' fuzz'
    need_rust
    need_packages build fuzz
    find_cargo_fuzz
    if [ $# -gt 0 ]; then
        fuzz_targets | grep -qx -- "$1" || die "no target '$1'; \`deploy/dev fuzz --list\` names them"
        [[ ${2:-600} =~ ^[1-9][0-9]*$ ]] || die "'$2' is no number of seconds"
        fuzz_one "$1" "${2:-600}"
    else
        for target in $(fuzz_targets); do fuzz_one "$target" 60; done
    fi
}

fuzz_targets() { sed -n '/^\[\[bin\]\]$/{n;s/^name = "\(.*\)"$/\1/p}' "$ROOT/tests/fuzz/Cargo.toml"; }

# The coverage flags of cargo-fuzz want an unstable compiler, or a stable one that is told to behave like one. Without a
# sanitizer, since there is no unsafe code here to watch.
fuzz_one() {
    local target=$1 seconds=$2 corpus finds began=$SECONDS
    corpus=$(target_dir)/fuzz/corpus/$target finds=$ROOT/tests/fuzz/finds/$target
    mkdir -p "$corpus"
    say "$target for $seconds s"
    mkdir -p "$finds"
    # A refusal to start is a failure too, so the status is looked at and not the files alone.
    if ! (cd "$ROOT/tests/fuzz" && env -u DATABASE_URL SQLX_OFFLINE=true RUSTC_BOOTSTRAP=1 CARGO_TARGET_DIR="$(target_dir)/fuzz" \
        cargo fuzz run --fuzz-dir . -s none "$target" "$corpus" "seeds/$target" -- -max_total_time="$seconds" -max_len=8192 \
        -timeout=10 -rss_limit_mb=1500 -print_final_stats=1 -artifact_prefix="$finds/" </dev/null); then
        rmdir "$finds" 2>/dev/null || true
        die "$target: a law broke, or it did not run (above)"
    fi
    rmdir "$finds" 2>/dev/null || true
    say "$target: nothing found in $((SECONDS - began)) s"
}

find_cargo_fuzz() {
    PATH=$DEV/tools/bin:$PATH
    if cargo fuzz --version >/dev/null 2>&1; then return 0; fi
    say "installing cargo-fuzz into .dev/tools"
    (cd / && cargo install cargo-fuzz --version '^0.13' --locked --root "$DEV/tools") </dev/null || die "cannot install cargo-fuzz"
}
