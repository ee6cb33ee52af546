# shellcheck shell=bash disable=SC2015,SC2016,SC2034,SC2119,SC2120,SC2154
# upgrade-from: the release before this one, built once and kept, for the test that runs both side by side.
# Invariant: neither the checkout nor target/debug is touched; what has its final name under target/upgrade-from is whole.

cmd_upgrade_from() {
    [ $# = 0 ] || die "upgrade-from takes no arguments"
    # Progress to stderr: stdout names the folder, and nothing where it cannot be made.
    exec 3>&1 1>&2
    build_upgrade_from
    if [ -n "$UPGRADE_FROM" ]; then printf '%s\n' "$UPGRADE_FROM" >&3; fi
}

# build_upgrade_from: sets UPGRADE_FROM to a folder with the binary `leadline` and its config/; empty, and says why, where
# the sources of that release are not at hand.
build_upgrade_from() {
    local name commit home
    UPGRADE_FROM=
    name=$(sed -n '/^[^#]/{p;q}' "$ROOT/deploy/upgrade-from")
    if ! have git || ! git -C "$ROOT" rev-parse --git-dir >/dev/null 2>&1; then
        say "upgrades not tested: this is no git checkout, so the release before it ($name) is not at hand"
        return 0
    fi
    if ! commit=$(git -C "$ROOT" rev-parse --verify --quiet "$name^{commit}"); then
        say "upgrades not tested: this checkout does not have $name (deploy/upgrade-from); fetch its history and tags"
        return 0
    fi
    is_the_last_release "$name" "$commit"
    home=$(target_dir)/upgrade-from/$commit
    if [ ! -x "$home/leadline" ]; then
        need_rust
        mkdir -p "${home%/*}"
        (flock 8 && [ -x "$home/leadline" ] || build_release "$commit" "$home") 8>"${home%/*}/lock" || exit 1
    fi
    UPGRADE_FROM=$home
}

# is_the_last_release NAME COMMIT: or dies, so that nobody forgets the file when there is a new release.
is_the_last_release() {
    local tag
    tag=$(git -C "$ROOT" describe --tags --abbrev=0 --match 'v[0-9]*' HEAD^ 2>/dev/null) || return 0
    [ "$(git -C "$ROOT" rev-parse "$tag^{commit}")" = "$2" ] ||
        die "deploy/upgrade-from names $1, and $tag was released since: name that there"
}

# build_release COMMIT HOME: from sources of its own, with what target/debug has of other crates. Called where bash ignores a
# failure, so each line says what becomes of its own.
build_release() {
    local new=$2.new began=$SECONDS
    say "building the release before this one ($1)"
    rm -rf "${2%/*}"/*/ && mkdir -p "$new/sources" || die "cannot write to ${2%/*}"
    git -C "$ROOT" archive "$1" | tar -x -C "$new/sources" || die "git cannot unpack $1"
    lend_dependencies "$(target_dir)/debug" "$new/target/debug" || die "cannot copy what target/debug has"
    # Cargo would take those sources for the ones of this checkout.
    rm -rf "$new"/target/debug/.fingerprint/leadline-*
    CARGO_TARGET_DIR=$new/target ROOT=$new/sources cargo_here build --quiet --locked --bin leadline >&2 ||
        die "the release before this one does not build"
    cp "$new/target/debug/leadline" "$new/leadline" && cp -r "$new/sources/config" "$new/config" &&
        rm -rf "$new/sources" "$new/target" && mv "$new" "$2" || die "cannot keep it in ${2%/*}"
    say "built in $((SECONDS - began)) s"
}
