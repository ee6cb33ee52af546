"""Drives the unmodified `dub` package from PyPI; prints "ok NAME" or "not ok NAME: why" per check.

Environment: LEADLINE_URL, LEADLINE_API_KEY, LEADLINE_PUBLISHABLE_KEY.
"""

import os
import re
import secrets
import sys
import time

import httpx
from dub import Dub
from dub.models import errors

URL = os.environ["LEADLINE_URL"]
DOMAIN = f"pypi-{secrets.token_hex(6)}.example"
BROWSER = "Mozilla/5.0 (X11; Linux x86_64; rv:130.0) Gecko/20100101 Firefox/130.0"
NOBODY = (
    "The `clickId` property was not provided in the request, and no existing customer with the "
    "provided `customerExternalId` was found."
)
failed = 0
dub = Dub(token=os.environ["LEADLINE_API_KEY"], server_url=URL)


def check(name):
    def run(body):
        global failed
        try:
            body()
            print(f"ok pypi: {name}", flush=True)
        except Exception as error:  # every failure is one line of the report
            failed += 1
            line = error.__traceback__
            while line.tb_next:
                line = line.tb_next
            print(f"not ok pypi: {name}: line {line.tb_lineno}: {type(error).__name__}: {str(error)[:600]!r}", flush=True)

    return run


def thrown(call, kind, status, code, message=None):
    try:
        call()
    except kind as error:
        assert error.status_code == status, error.status_code
        assert str(getattr(error.data.error.code, "value", error.data.error.code)) == code, error.data.error.code
        assert message is None or error.data.error.message == message, error.data.error.message
        return
    raise AssertionError(f"expected {kind.__name__}")


def click(link):
    response = httpx.post(
        f"{URL}/track/click",
        json={"domain": link.domain, "key": link.key},
        headers={"user-agent": f"{BROWSER} {secrets.token_hex(6)}"},
    )
    assert response.status_code == 200, response.text
    click_id = response.json()["clickId"]
    assert re.fullmatch("[0-9A-Za-z]{16}", click_id), click_id
    return click_id


def lead(**fields):
    return dub.track.lead(request={"customer_external_id": secrets.token_hex(6), "event_name": "Sign Up", **fields})


def eventually(probe):
    end = time.monotonic() + 15
    while not probe():
        assert time.monotonic() < end, "never came true"
        time.sleep(0.05)


def leads():
    return dub.links.get(request={"link_id": link.id}).leads


link = dub.links.create(
    request={"url": "https://example.com/welcome", "domain": DOMAIN, "key": "start", "external_id": secrets.token_hex(6)}
)


@check("a link is created, read, listed and updated")
def _():
    assert link.short_link == f"https://{DOMAIN}/start", link.short_link
    assert dub.links.get(request={"domain": DOMAIN, "key": "start"}).id == link.id
    assert dub.links.get(request={"external_id": f"ext_{link.external_id}"}).id == link.id
    assert [each.id for each in dub.links.list(request={"domain": DOMAIN}).result] == [link.id]
    updated = dub.links.update(link_id=link.id, request_body={"comments": "seen", "utm_source": "pypi"})
    assert (updated.comments, updated.utm_source, updated.key) == ("seen", "pypi", "start")


@check("a taken key is a Conflict and an unknown link NotFound")
def _():
    thrown(
        lambda: dub.links.create(request={"url": "https://example.com", "domain": DOMAIN, "key": "START"}),
        errors.Conflict, 409, "conflict",
    )
    thrown(
        lambda: dub.links.get(request={"domain": DOMAIN, "key": "nothing"}), errors.NotFound, 404, "not_found", "Link not found."
    )


@check("an async lead is accepted, recorded and counted")
def _():
    click_id, before = click(link), leads()
    answer = lead(click_id=click_id, customer_name="Ada", customer_email="ada@example.com", event_quantity=2, metadata={"plan": "pro"})
    assert answer.click.id == click_id
    assert (answer.link.id, answer.link.short_link) == (link.id, link.short_link)
    assert (answer.customer.name, answer.customer.email, answer.customer.avatar) == ("Ada", "ada@example.com", None)
    eventually(lambda: leads() == before + 2)


@check("a duplicate is answered without a link and counted once")
def _():
    customer, click_id = secrets.token_hex(6), click(link)
    first = lead(click_id=click_id, customer_external_id=customer, mode="wait")
    assert first.link.id == link.id
    counted = leads()
    for name in ["Sign Up", "sign-up", "SIGN UP"]:
        again = lead(click_id=click_id, customer_external_id=customer, event_name=name)
        assert again.link is None
        assert (again.click.id, again.customer.external_id) == (click_id, customer)
    assert leads() == counted


@check("a wait lead is there when it is answered")
def _():
    before, customer = leads(), secrets.token_hex(6)
    answer = lead(click_id=click(link), customer_external_id=customer, mode="wait")
    assert re.fullmatch("[A-Z][a-z]+ [A-Z][a-z]+ [A-Z][a-z]+", answer.customer.name), answer.customer.name
    assert leads() == before + 1
    assert dub.customers.get(request={"id": f"ext_{customer}"}).name == answer.customer.name


@check("a deferred lead counts nothing, its follow-up does")
def _():
    customer, click_id, before = secrets.token_hex(6), click(link), leads()
    assert lead(click_id=click_id, customer_external_id=customer, mode="deferred").link.id == link.id
    follow_up = lead(click_id="", customer_external_id=customer, mode="wait")
    assert (follow_up.click.id, follow_up.link.id) == (click_id, link.id)
    assert leads() == before + 1


@check("a follow-up of nobody is a BadRequest within the client's five seconds")
def _():
    thrown(lambda: lead(click_id=""), errors.BadRequest, 400, "bad_request", NOBODY)


@check("an unknown click is NotFound and does not block the right one")
def _():
    customer = secrets.token_hex(6)
    message = "Click event not found for clickId: 0000000000000000"
    thrown(lambda: lead(click_id="0000000000000000", customer_external_id=customer), errors.NotFound, 404, "not_found", message)
    assert lead(click_id=click(link), customer_external_id=customer, mode="wait").link.id == link.id


@check("invalid input is UnprocessableEntity with the field's name")
def _():
    click_id = click(link)
    for fields, message in [
        ({"event_name": ""}, "too_small: eventName: eventName is required"),
        ({"event_quantity": 101}, "too_big: eventQuantity: Too big: expected number to be <=100"),
        ({"customer_email": "nobody"}, "invalid_format: customerEmail: Invalid email address"),
        ({"customer_name": "x\0"}, "custom: customerName: Text must not contain NUL characters"),
    ]:
        body = {"click_id": click_id, **fields}
        thrown(lambda: lead(**body), errors.UnprocessableEntity, 422, "unprocessable_entity", message)
    thrown(
        lambda: lead(click_id=click_id, customer_external_id=""), errors.BadRequest, 400, "bad_request", "customerExternalId is required"
    )


@check("no argument at all is a BadRequest")
def _():
    thrown(dub.track.lead, errors.BadRequest, 400, "bad_request")


@check("a bad token is Unauthorized")
def _():
    for token in ["dub_unknown", "ll_000000000000000000000000", os.environ["LEADLINE_PUBLISHABLE_KEY"]]:
        stranger = Dub(token=token, server_url=URL)
        body = {"click_id": "", "event_name": "x", "customer_external_id": "x"}
        thrown(lambda: stranger.track.lead(request=body), errors.Unauthorized, 401, "unauthorized", "Unauthorized: Invalid API key.")


@check("customers are listed, read, updated and deleted")
def _():
    customer, email = secrets.token_hex(6), f"{secrets.token_hex(6)}@example.com"
    lead(click_id=click(link), customer_external_id=customer, customer_name="Grace", customer_email=email, mode="wait")
    [found] = dub.customers.list(request={"email": email}).result
    assert (found.external_id, found.name) == (customer, "Grace")
    assert dub.customers.get(request={"id": f"ext_{customer}"}).id == found.id
    updated = dub.customers.update(request={"id": found.id, "request_body": {"name": "Hopper"}})
    assert (updated.name, updated.email) == ("Hopper", email)
    assert dub.customers.delete(id=found.id).id == found.id
    assert dub.customers.list(request={"email": email}).result == []
    thrown(lambda: dub.customers.get(request={"id": found.id + "x"}), errors.NotFound, 404, "not_found")


@check("a link is deleted")
def _():
    other = dub.links.create(request={"url": "https://example.com/other", "domain": DOMAIN, "key": "other"})
    assert dub.links.delete(link_id=other.id).id == other.id
    thrown(lambda: dub.links.get(request={"link_id": other.id}), errors.NotFound, 404, "not_found", "Link not found.")


sys.exit(1 if failed else 0)
