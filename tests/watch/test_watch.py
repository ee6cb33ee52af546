"""Shows that the readers read and that every check can fail: `python3 -m unittest discover -s tests/watch`.

Invariant: each check is given one thing that is right and one that is wrong.
"""

import json
import unittest

import check
import promql
import sources

README = {"a_total": ("counter", {"result"}, ""), "b_seconds": ("histogram", set(), "")}
ALERT = {"alert": "LeadlineX", "expr": "up", "severity": "page", "summary": "x", "runbook_url": "deploy/runbook.md#leadlinex"}


class Readers(unittest.TestCase):
    def test_names_and_labels_of_an_expression(self):
        found = promql.metrics('1 - sum by (job, le) (rate(a_total{x=~"b{c}", y!="d"}[5m:])) / on (job) group_left (v) b_info offset 1h > 2e3 and c:d:e')
        self.assertEqual(found, {"a_total": {"x", "y"}, "b_info": set(), "c:d:e": set()})
        self.assertEqual(set(promql.metrics("max(a) unless count(b) or vector(0) * d")), {"a", "b", "d"})

    def test_words_that_labels_are_matched_with(self):
        found = promql.values('a_total{x=~"b|c", y!="d", job=~"$job", z="0.25", w=~"/e(/f)?"} / b{v="{g}"} + c{u="h"}')
        self.assertEqual(found, [("a_total", "x", ["b", "c"]), ("a_total", "z", ["0.25"]), ("c", "u", ["h"])])

    def test_rules_are_read_in_one_line_and_in_blocks(self):
        text = ("  - name: g\n    rules:\n      - record: a:b:c\n        expr: |-\n          sum(\n            x)\n"
                "      - alert: LeadlineX\n        expr: y > 0\n        labels: {severity: page}\n        annotations:\n"
                '          summary: "z: {{ $value }}"\n          runbook_url: deploy/runbook.md#leadlinex\n')
        first, second = sources.rules(text)
        self.assertEqual(first, {"record": "a:b:c", "expr": "sum(\nx)\n"})
        self.assertEqual((second["expr"], second["severity"], second["summary"]), ("y > 0", "page", "z: {{ $value }}"))

    def test_tables_tests_commands_and_settings(self):
        text = "<!-- m:begin -->\n| metric |\n| `a_total` | counter | `x`, `y` | Says. |\n<!-- m:end -->"
        self.assertEqual(sources.table(text, "m"), {"a_total": ("counter", {"x", "y"}, "Says.")})
        text = "- {eval_time: 1m, alertname: A, exp_alerts: []}\n      - eval_time: 2m\n        alertname: A\n        exp_alerts:\n          - exp_labels: {}"
        self.assertEqual(sources.cases(text), [("A", False), ("A", True)])
        args = "pub enum Command {\n    /// x\n    Api,\n    Lead(LeadCommand),\n}\n\npub enum LeadCommand {\n    Show(LeadShowArgs),\n}\n"
        self.assertEqual(sources.commands(args), {"api", "lead show"})
        self.assertEqual(sources.keys("[a]\n# x\nb = 1\n"), {"a.b"})


class Checks(unittest.TestCase):
    def test_names(self):
        exist = check.known(README)
        good = [("p", 'rate(a_total{result="x", job="y"}[5m]) + b_seconds_bucket{le="1"} + job:leadline_x:sum')]
        self.assertEqual(check.names(good, exist, {"job:leadline_x:sum"}), [])
        for bad in ["c_total", 'a_total{results="x"}', 'b_seconds_count{le="1"}', 'job:leadline_x:sum{queue="q"}']:
            self.assertEqual(len(check.names([("p", bad), *good], exist, {"job:leadline_x:sum"})), 1, bad)
        self.assertEqual(len(check.names([], exist, {"job:leadline_x:sum"})), 1)

    def test_unheard(self):
        exposed = {"a_total": {"x": {"b", "c"}}, "g": {"role": {"all"}}}
        readme = {"a_total": ("counter", {"x"}, ""), "g": ("gauge", {"role"}, "")}
        good = 'a_total{x=~"b|c", status="500"} + g{role=~"api|all"} + unseen{x="y"}'
        self.assertEqual(check.unheard([("p", good)], exposed, readme), [])
        for bad in ['a_total{x="d"}', 'a_total{x=~"b|d"}', 'g{role="api"}']:
            self.assertEqual(len(check.unheard([("p", bad)], exposed, readme)), 1, bad)

    def test_unwatched(self):
        self.assertEqual(check.unwatched([("p", "a_total + b_seconds_sum")], README), [])
        self.assertEqual(len(check.unwatched([("p", "a_total")], README)), 1)

    def test_alerts(self):
        tests = [("LeadlineX", True), ("LeadlineX", False)]
        self.assertEqual(check.alerts([ALERT], ["LeadlineX"], tests), [])
        for rule, runbook, cases in [
            ({**ALERT, "severity": "loud"}, ["LeadlineX"], tests), ({**ALERT, "summary": ""}, ["LeadlineX"], tests),
            ({**ALERT, "runbook_url": "x"}, ["LeadlineX"], tests), (ALERT, [], tests), (ALERT, ["LeadlineX", "LeadlineY"], tests),
            (ALERT, ["LeadlineX"], tests[:1]), (ALERT, ["LeadlineX"], tests[1:]), (ALERT, ["LeadlineX"], [*tests, ("LeadlineY", True)]),
        ]:
            self.assertEqual(len(check.alerts([rule], runbook, cases)), 1)
        self.assertEqual(len(check.alerts([ALERT, ALERT], ["LeadlineX"], tests)), 1)

    def test_recording(self):
        self.assertEqual(check.recording([{"record": "job_queue:leadline_x:max"}]), [])
        self.assertEqual(len(check.recording([{"record": "leadline_x_max"}])), 1)

    def test_dashboard(self):
        source = {"uid": "${datasource}"}
        panel = {"id": 9, "type": "stat", "title": "t", "description": "What this panel shows.", "datasource": source,
                 "targets": [{"datasource": source, "expr": "up"}], "fieldConfig": {"defaults": {"unit": "s"}}}
        rows = [{"id": n, "type": "row", "title": f"{name}: x"} for n, name in enumerate(check.ROWS)]
        whole = {"uid": "leadline", "templating": {"list": [{"name": n} for n in ("datasource", "job", "instance")]}, "panels": [*rows, panel]}
        offences = lambda **change: check.dashboard(json.dumps({**whole, **change}))
        self.assertEqual(offences(), [])
        for change in [{"uid": "x"}, {"templating": {"list": []}}, {"panels": [panel]}, {"panels": [*rows, {**panel, "id": 0}]}, {"link": "http://x"},
                       {"panels": [*rows, {**panel, "description": ""}]}, {"panels": [*rows, {**panel, "fieldConfig": {"defaults": {}}}]},
                       {"panels": [*rows, {**panel, "datasource": {"uid": "x"}}]}]:
            self.assertEqual(len(offences(**change)), 1, change)

    def test_runbook(self):
        there, settings = {"api", "lead show"}, {"http.listen"}
        self.assertEqual(check.typed("`leadline api`, `http.listen`\n```sh\nleadline lead show x\n```\nleadline is", there, settings), [])
        self.assertEqual(len(check.typed("`leadline lead bury`", there, settings)), 1)
        self.assertEqual(len(check.typed("`http.listens`", there, settings)), 1)


if __name__ == "__main__":
    unittest.main()
