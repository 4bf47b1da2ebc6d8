// The Node SDK's life: a session, events, user details, a crash, an outage that its queue bridges, a merge on login.
// The outage is a proxy of our own that drops connections, so that the SDK sees what it sees in the wild.
"use strict";
const http = require("http"), fs = require("fs"), os = require("os"), path = require("path");
const target = new URL(process.argv[2]);
const { ledger, sent, until } = require("./ledger.cjs");
let down = false, dropAnswer = false, open = 0, tries = 0;
const proxy = http.createServer((request, response) => {
  if (down) { tries += 1; request.socket.destroy(); return; }
  open += 1;
  response.on("close", () => { open -= 1; });
  const body = [];
  request.on("data", part => body.push(part));
  request.on("end", () => sent(body.length ? Buffer.concat(body).toString() : request.url.split("?")[1]));
  const drop = dropAnswer && request.url.includes("after_outage");
  const onward = http.request({ host: target.hostname, port: target.port, path: request.url, method: request.method, headers: request.headers }, answer => {
    // The server has counted, but the SDK is not told: it will send the same again.
    if (drop) { dropAnswer = false; answer.resume(); answer.on("end", () => request.socket.destroy()); return; }
    response.writeHead(answer.statusCode, answer.headers);
    answer.pipe(response);
  });
  onward.on("error", () => request.socket.destroy());
  request.pipe(onward);
});
const sleep = ms => new Promise(done => setTimeout(done, ms));
const Countly = require("countly-sdk-nodejs");
proxy.listen(0, "127.0.0.1", async () => {
  const folder = fs.mkdtempSync(path.join(os.tmpdir(), "countly-"));
  Countly.init({
    app_key: "demo", device_id: "anonymous-node", url: `http://127.0.0.1:${proxy.address().port}`, storage_path: folder + "/",
    interval: 50, fail_timeout: 1, session_update: 1, app_version: "1.2",
  });
  Countly.begin_session();
  await until("a session", () => ledger.sessions > 0 && !open);
  await sleep(800);
  Countly.change_id("node-sdk", true);
  await sleep(500);
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
  await until("the session's end", () => ledger.ended > 0 && !open);
  await sleep(1500);
  fs.rmSync(folder, { recursive: true, force: true });
  console.log(JSON.stringify(ledger));
  process.exit(dropAnswer || !ledger.repeated ? 1 : 0);
});
