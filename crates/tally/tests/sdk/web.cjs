// The Web SDK's life. Outside a browser it uses fetch and a storage that we give it.
"use strict";
const kept = new Map();
globalThis.localStorage ??= { getItem: k => kept.get(k) ?? null, setItem: (k, v) => kept.set(k, v), removeItem: k => kept.delete(k) };
const sleep = ms => new Promise(done => setTimeout(done, ms));
// Node 20 has no navigator; 21 and later have one that says "Node.js".
globalThis.navigator ??= { userAgent: "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0", language: "en", platform: "Linux" };
const { ledger, sent, until } = require("./ledger.cjs");
let failed = 0, down = false, dropAnswer = false, open = 0, tries = 0;
const fetchNow = globalThis.fetch;
// An outage as a browser shows it: the request fails, or was counted and its answer is lost.
globalThis.fetch = async (url, options) => {
  if (down) { tries += 1; throw new TypeError("Failed to fetch"); }
  const text = options.body || String(url).split("?")[1];
  sent(text);
  open += 1;
  const answer = await fetchNow(url, options).finally(() => { open -= 1; });
  if (dropAnswer && text.includes("after_outage")) { dropAnswer = false; throw new TypeError("Failed to fetch"); }
  if (!answer.ok) failed += 1;
  return answer;
};
const Countly = require("countly-sdk-web").default;
(async () => {
  Countly.init({
    app_key: "demo", device_id: "web-sdk", url: process.argv[2], interval: 50, fail_timeout: 1, session_update: 1, app_version: "1.2",
    force_post: true,
  });
  Countly.begin_session();
  await until("a session", () => ledger.sessions > 0 && !open);
  await sleep(800);
  Countly.add_event({ key: "bought", count: 3, sum: 4.5, segmentation: { colour: "red" } });
  Countly.user_details({ name: "Ann", custom: { plan: "pro" } });
  Countly.userData.increment("visits");
  Countly.userData.increment_by("points", 2);
  Countly.userData.save();
  Countly.log_error(new Error("boom"));
  await until("what happened", () => ledger.events.bought && ledger.crashes > 0 && !open);
  await sleep(1500);
  down = true;
  Countly.add_event({ key: "after_outage" });
  await until("a request during the outage", () => tries > 0);
  dropAnswer = true;
  down = false;
  await until("the same once more", () => !dropAnswer && ledger.repeated > 0 && !open);
  await sleep(1500);
  Countly.end_session();
  // Whether it tells of the end depends on how long that is ago; what it tells is answered.
  await sleep(1500);
  await until("all answers", () => !open);
  console.log(JSON.stringify(ledger));
  process.exit(failed || dropAnswer || !ledger.repeated ? 1 : 0);
})();
