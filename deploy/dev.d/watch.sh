# shellcheck shell=bash disable=SC2154
# watch: what operators watch with (deploy/prometheus, deploy/grafana, the runbook) fits together and fits the metrics.
# Invariant: nothing is started here; that a real Prometheus watches a Leadline is seen where one runs, in tests/clients/run.

watch() {
    local place=$TARGET/watch
    rm -rf "$place" && mkdir -p "$place" &&
        (cd "$ROOT/tests/watch" && python3 -B -m unittest -q test_watch && python3 -B check.py "$place") &&
        (cd "$ROOT/deploy/prometheus" && promtool_likes "$place")
}

# promtool_likes PLACE: rules, configuration and tests as they stand; and what check.py has left in PLACE.
promtool_likes() {
    local found
    found=$(promtool check rules leadline.rules.yml alerts.yml | awk '/SUCCESS/ { n += $2 } END { print n }')
    if [ "$found" != "$(cat "$1/rules")" ]; then
        note "promtool finds $found rules, tests/watch/sources.py $(cat "$1/rules")"
        return 1
    fi
    promtool check config prometheus.yml >/dev/null && promtool check rules "$1/dashboard.rules.yml" &&
        promtool check metrics <"$1/metrics.txt" && promtool test rules tests/*.yml
}
