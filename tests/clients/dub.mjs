// Drives the unmodified `dub` package from npm; prints "ok NAME" or "not ok NAME: why" per check.
// Environment: LEADLINE_URL, LEADLINE_API_KEY, LEADLINE_PUBLISHABLE_KEY.
import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { Dub } from "dub";
import * as errors from "dub/models/errors";

const url = process.env.LEADLINE_URL;
const dub = new Dub({ token: process.env.LEADLINE_API_KEY, serverURL: url });
const browser = "Mozilla/5.0 (X11; Linux x86_64; rv:130.0) Gecko/20100101 Firefox/130.0";
const random = () => randomBytes(6).toString("hex");
const domain = `npm-${random()}.example`;
let failed = 0;

async function check(name, body) {
  try {
    await body();
    console.log(`ok npm: ${name}`);
  } catch (error) {
    failed += 1;
    console.log(`not ok npm: ${name}: ${String(error?.stack ?? error).split("\n").slice(0, 4).join(" | ")}`);
  }
}

async function thrown(promise, type, status, code, message) {
  const error = await promise.then(() => assert.fail(`expected ${type.name}`), (error) => error);
  assert.ok(error instanceof type, `${error?.constructor?.name}: ${error?.message}`);
  assert.equal(error.statusCode, status);
  assert.equal(error.error.code, code);
  if (message !== undefined) assert.equal(error.error.message, message);
}

// A visit as the browser script makes it; a new address makes a new visitor.
async function click(link) {
  const agent = `${browser} ${random()}`;
  const response = await fetch(`${url}/track/click`, {
    method: "POST",
    headers: { "content-type": "application/json", "user-agent": agent },
    body: JSON.stringify({ domain: link.domain, key: link.key }),
  });
  assert.equal(response.status, 200, await response.clone().text());
  const { clickId } = await response.json();
  assert.match(clickId, /^[0-9A-Za-z]{16}$/);
  return clickId;
}

async function eventually(probe) {
  const end = Date.now() + 15_000;
  for (;;) {
    try {
      return await probe();
    } catch (error) {
      if (Date.now() > end) throw error;
      await new Promise((resolve) => setTimeout(resolve, 50));
    }
  }
}

const link = await dub.links.create({ url: "https://example.com/welcome", domain, key: "start", externalId: random(), trackConversion: true });
const leads = async () => (await dub.links.get({ linkId: link.id })).leads;

await check("a link is created, read, listed and updated", async () => {
  assert.equal(link.shortLink, `https://${domain}/start`);
  assert.equal(link.trackConversion, true);
  const byKey = await dub.links.get({ domain, key: "start" });
  const byExternalId = await dub.links.get({ externalId: `ext_${link.externalId}` });
  assert.equal(byKey.id, link.id);
  assert.equal(byExternalId.id, link.id);
  const page = await dub.links.list({ domain });
  assert.deepEqual(page.result.map((each) => each.id), [link.id]);
  const updated = await dub.links.update(link.id, { comments: "seen", utmSource: "npm" });
  assert.equal(updated.comments, "seen");
  assert.equal(updated.utmSource, "npm");
  assert.equal(updated.key, "start");
});

await check("a taken key is a Conflict and a bad url an error", async () => {
  await thrown(dub.links.create({ url: "https://example.com", domain, key: "START" }), errors.Conflict, 409, "conflict");
  await thrown(dub.links.create({ url: "nonsense", domain, key: "x" }), errors.UnprocessableEntity, 422, "unprocessable_entity");
});

await check("an unknown link is NotFound", async () => {
  await thrown(dub.links.get({ domain, key: "nothing" }), errors.NotFound, 404, "not_found", "Link not found.");
});

await check("an async lead is accepted, recorded and counted", async () => {
  const [clickId, customer] = [await click(link), random()];
  const before = await leads();
  const answer = await dub.track.lead({
    clickId, eventName: "Sign Up", customerExternalId: customer, customerName: "Ada", customerEmail: "ada@example.com",
    customerAvatar: "https://example.com/ada.png", eventQuantity: 2, metadata: { plan: "pro", nested: { a: [1, null] } },
  });
  assert.equal(answer.click.id, clickId);
  assert.equal(answer.link.id, link.id);
  assert.equal(answer.link.shortLink, link.shortLink);
  assert.deepEqual(answer.customer, { name: "Ada", email: "ada@example.com", avatar: "https://example.com/ada.png", externalId: customer });
  await eventually(async () => assert.equal(await leads(), before + 2));
});

await check("a duplicate is answered without a link and counted once", async () => {
  const [clickId, customer] = [await click(link), random()];
  const body = { clickId, eventName: "Sign Up", customerExternalId: customer, mode: "wait" };
  const first = await dub.track.lead(body);
  assert.equal(first.link.id, link.id);
  const counted = await leads();
  for (const eventName of ["Sign Up", "sign-up", "SIGN UP"]) {
    const again = await dub.track.lead({ ...body, eventName });
    assert.equal(again.link, null);
    assert.equal(again.click.id, clickId);
    assert.equal(again.customer.externalId, customer);
  }
  assert.equal(await leads(), counted);
});

await check("a wait lead is there when it is answered", async () => {
  const before = await leads();
  const customer = random();
  const answer = await dub.track.lead({ clickId: await click(link), eventName: "Purchase", customerExternalId: customer, mode: "wait" });
  assert.match(answer.customer.name, /^[A-Z][a-z]+ [A-Z][a-z]+ [A-Z][a-z]+$/);
  assert.equal(await leads(), before + 1);
  const stored = await dub.customers.get({ id: `ext_${customer}` });
  assert.equal(stored.name, answer.customer.name);
});

await check("a deferred lead counts nothing, its follow-up does", async () => {
  const [clickId, customer] = [await click(link), random()];
  const before = await leads();
  const deferred = await dub.track.lead({ clickId, eventName: "Sign Up", customerExternalId: customer, mode: "deferred" });
  assert.equal(deferred.link.id, link.id);
  const followUp = await dub.track.lead({ clickId: "", eventName: "Sign Up", customerExternalId: customer, mode: "wait" });
  assert.equal(followUp.click.id, clickId);
  assert.equal(followUp.link.id, link.id);
  assert.equal(await leads(), before + 1);
});

await check("a follow-up of nobody is a BadRequest", async () => {
  const message = "The `clickId` property was not provided in the request, and no existing customer with the provided `customerExternalId` was found.";
  await thrown(dub.track.lead({ clickId: "", eventName: "Sign Up", customerExternalId: random() }), errors.BadRequest, 400, "bad_request", message);
});

await check("an unknown click is NotFound and does not block the right one", async () => {
  const customer = random();
  const wrong = { clickId: "0000000000000000", eventName: "Sign Up", customerExternalId: customer };
  await thrown(dub.track.lead(wrong), errors.NotFound, 404, "not_found", "Click event not found for clickId: 0000000000000000");
  const right = await dub.track.lead({ ...wrong, clickId: await click(link), mode: "wait" });
  assert.equal(right.link.id, link.id);
});

await check("invalid input is UnprocessableEntity with the field's name", async () => {
  const body = { clickId: await click(link), eventName: "Sign Up", customerExternalId: random() };
  const rows = [
    [{ eventName: "" }, "too_small: eventName: eventName is required"],
    [{ eventName: "x".repeat(256) }, "too_big: eventName: Too big: expected string to have <=255 characters"],
    [{ eventQuantity: 0 }, "too_small: eventQuantity: Too small: expected number to be >0"],
    [{ customerEmail: "nobody" }, "invalid_format: customerEmail: Invalid email address"],
    [{ metadata: { a: "x".repeat(10_001) } }, "custom: metadata: Metadata must be less than 10,000 characters when stringified"],
  ];
  for (const [fields, message] of rows) {
    await thrown(dub.track.lead({ ...body, ...fields }), errors.UnprocessableEntity, 422, "unprocessable_entity", message);
  }
  await thrown(dub.track.lead({ ...body, customerExternalId: "" }), errors.BadRequest, 400, "bad_request", "customerExternalId is required");
});

await check("no argument at all is a BadRequest", async () => {
  await thrown(dub.track.lead(), errors.BadRequest, 400, "bad_request");
});

await check("a bad token is Unauthorized", async () => {
  const body = { clickId: "", eventName: "x", customerExternalId: "x" };
  for (const token of ["dub_unknown", "ll_000000000000000000000000", process.env.LEADLINE_PUBLISHABLE_KEY]) {
    const stranger = new Dub({ token, serverURL: url });
    await thrown(stranger.track.lead(body), errors.Unauthorized, 401, "unauthorized", "Unauthorized: Invalid API key.");
  }
  const nobody = new Dub({ token: "foo", serverURL: url });
  await thrown(nobody.track.lead(body), errors.NotFound, 404, "not_found");
});

await check("the api prefix works too", async () => {
  const prefixed = new Dub({ token: process.env.LEADLINE_API_KEY, serverURL: `${url}/api` });
  const answer = await prefixed.track.lead({ clickId: await click(link), eventName: "Sign Up", customerExternalId: random(), mode: "wait" });
  assert.equal(answer.link.id, link.id);
});

await check("customers are listed, read, updated and deleted", async () => {
  const externalId = `a/b c ${random()}`;
  const email = `${random()}@example.com`;
  await dub.track.lead({ clickId: await click(link), eventName: "Sign Up", customerExternalId: externalId, customerName: "Grace", customerEmail: email, mode: "wait" });
  const page = await dub.customers.list({ email });
  assert.deepEqual(page.result.map((each) => each.externalId), [externalId]);
  const [customer] = page.result;
  assert.equal((await dub.customers.get({ id: `ext_${externalId}` })).id, customer.id);
  const updated = await dub.customers.update({ id: customer.id, requestBody: { name: "Hopper" } });
  assert.equal(updated.name, "Hopper");
  assert.equal(updated.email, email);
  assert.equal((await dub.customers.delete(customer.id)).id, customer.id);
  assert.deepEqual((await dub.customers.list({ email })).result, []);
});

await check("customers are paged to the end by cursor", async () => {
  const wanted = new Set();
  for (let n = 0; n < 5; n += 1) {
    const customerExternalId = `page-${random()}`;
    wanted.add(customerExternalId);
    await dub.track.lead({ clickId: await click(link), eventName: "Page", customerExternalId, mode: "wait" });
  }
  let pages = 0;
  for await (const page of await dub.customers.list({ pageSize: 2 })) {
    pages += 1;
    assert.ok(pages < 100, "pages for ever");
    for (const customer of page.result) wanted.delete(customer.externalId);
  }
  assert.equal(wanted.size, 0);
});

await check("an unknown customer is NotFound", async () => {
  await thrown(dub.customers.get({ id: "ext_nobody" }), errors.NotFound, 404, "not_found");
});

await check("a link is deleted", async () => {
  const other = await dub.links.create({ url: "https://example.com/other", domain, key: "other" });
  assert.equal((await dub.links.delete(other.id)).id, other.id);
  await thrown(dub.links.get({ linkId: other.id }), errors.NotFound, 404, "not_found", "Link not found.");
});

process.exit(failed === 0 ? 0 : 1);
