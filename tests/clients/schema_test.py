"""Sends what schemathesis makes of /openapi.json to a running Leadline and holds every answer against that document.

Needs LEADLINE_URL, LEADLINE_API_KEY, LEADLINE_PUBLISHABLE_KEY. Prints one line for the document and one per phase.
"""

import json
import os
import pathlib
import subprocess
import sys
import urllib.request
import xml.etree.ElementTree as xml

from openapi_spec_validator import validate

HERE = pathlib.Path(__file__).resolve().parent
BASE = os.environ["LEADLINE_URL"]
URL = BASE + "/openapi.json"
SECONDS = 45  # fuzzing goes on until they are spent
# What holds whatever is sent. Two checks are left out:
# positive_data_acceptance: a schema cannot say that a text is a host name or a date, or that of two cursors one may stand.
# ignored_auth: a key of no known form is answered 404 and not 401, as in the contract; tests/it/openapi.rs tries every route.
CHECKS = [
    "not_a_server_error",
    "status_code_conformance",
    "content_type_conformance",
    "response_headers_conformance",
    "response_schema_conformance",
    "negative_data_rejection",
    "missing_required_header",
    "unsupported_method",
    "allow_header_conformance",
    "use_after_free",
    "ensure_resource_availability",
]

failed = False


def report(good, what):
    global failed
    failed = failed or not good
    print(("ok " if good else "not ok ") + "schema: " + what, flush=True)


def post(path, body):
    headers = {
        "authorization": "Bearer " + os.environ["LEADLINE_API_KEY"],
        "content-type": "application/json",
        "user-agent": "Mozilla/5.0 (X11; Linux x86_64; rv:130.0) Gecko/20100101 Firefox/130.0",
    }
    request = urllib.request.Request(BASE + path, json.dumps(body).encode(), headers)
    with urllib.request.urlopen(request, timeout=10) as answer:
        return json.load(answer)


# The customer whom the configuration names.
link = post("/links", {"url": "https://example.com", "domain": "schema.example.com", "key": "schema"})
click = post("/track/click", {"domain": link["domain"], "key": link["key"]})["clickId"]
post("/track/lead", {"clickId": click, "eventName": "e", "customerExternalId": "schema", "mode": "wait"})

with urllib.request.urlopen(URL, timeout=10) as answer:
    document = json.load(answer)
try:
    validate(document)
    report(True, "the document is valid OpenAPI 3.1")
except Exception as fault:  # whatever the validator says, it is one line here
    report(False, f"the document is not valid: {fault}".replace("\n", " "))

folder = pathlib.Path(sys.argv[1])
log, junit = folder / "schemathesis.log", folder / "schemathesis.xml"
junit.unlink(missing_ok=True)
command = [
    str(pathlib.Path(sys.executable).with_name("schemathesis")),
    f"--config-file={HERE / 'schemathesis.toml'}",
    "run",
    URL,
    f"--checks={','.join(CHECKS)}",
    f"--max-time={SECONDS}",
    "--report=junit",
    f"--report-junit-path={junit}",
]
try:
    with log.open("w") as out:
        status = subprocess.run(command, cwd=folder, stdout=out, stderr=subprocess.STDOUT, timeout=SECONDS + 60).returncode
except subprocess.TimeoutExpired:
    status = "timed out"
text = log.read_text()
sent = [line.strip() for line in text.splitlines() if " generated, " in line]
operations = xml.parse(junit).getroot().findall(".//testcase") if junit.exists() else []
for case in operations:
    fault = next((part for part in case if part.tag in ("failure", "error")), None)
    if fault is not None:
        report(False, f"{case.get('name')}: {(fault.get('message') or fault.text or '?')[:600]}".replace("\n", " "))
described = sum(1 for item in document["paths"].values() for name in item if name != "parameters")
complete = len({case.get("name") for case in operations}) >= described
report(status == 0 and complete, f"schemathesis ended with {status}: {described} operations, {' '.join(sent) or 'nothing sent'}")
if failed:
    print(f"# the requests to repeat stand in {log}")
sys.exit(1 if failed else 0)
