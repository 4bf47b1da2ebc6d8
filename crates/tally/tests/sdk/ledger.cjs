// What an SDK has sent, counted by hand: each request once, however often it was sent.
"use strict";
const seen = new Set(), ledger = { sessions: 0, seconds: 0, crashes: 0, repeated: 0, ended: 0, events: {} };
exports.ledger = ledger;
// Waits for what the SDK does at its own time; an SDK that never does it has failed.
exports.until = async (what, done) => {
  for (const begun = Date.now(); !done(); await new Promise(next => setTimeout(next, 50))) {
    if (Date.now() - begun > 120_000) { console.error(`not within 120 s: ${what}`); process.exit(1); }
  }
};
exports.sent = text => {
  const sent = new URLSearchParams(text), id = sent.get("device_id") + sent.get("timestamp");
  if (sent.has("method")) return;
  if (seen.has(id)) { ledger.repeated += 1; return; }
  seen.add(id);
  if (sent.has("begin_session")) ledger.sessions += 1;
  if (sent.has("end_session")) ledger.ended += 1;
  ledger.seconds += Number(sent.get("session_duration") || 0);
  if (sent.has("crash")) ledger.crashes += 1;
  for (const event of JSON.parse(sent.get("events") || "[]")) {
    const of = (ledger.events[event.key] ??= { c: 0, s: 0 });
    of.c += event.count; of.s += event.sum || 0;
  }
};
