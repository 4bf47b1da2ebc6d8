// Makes the members one sharded cluster. Run by the Job `mongodb-init` with `mongosh --nodb`; safe to run again at any time, because each
// step asks first or is one that MongoDB itself takes twice:
// - `replSetInitiate` on a set that is one answers AlreadyInitialized (code 23), which is what was wanted;
// - `addShard` is left out for shards that `listShards` names; a shard added twice by the same name and hosts would be no error either;
// - `createUser` is `updateUser` where the user is there, so a changed password is taken over;
// - `createIndex` and `shardCollection` with the key that a collection has already are no-ops;
// - the app is an upsert on its fixed _id.
// A run that was broken off anywhere is finished by the next one.
"use strict";
const env = name => {
  const value = process.env[name];
  if (value === undefined || value === "") throw new Error(`${name} is not set`);
  return value;
};
// The key file's content is the password of the internal user __system, which every member knows before there are any other users:
// https://www.mongodb.com/docs/manual/core/security-internal-authentication/. Spaces and line ends in it do not count.
const key = env("MONGODB_KEY").replace(/\s/g, "");
const port = 27017;
const AlreadyInitialized = 23, NotYetInitialized = 94;

function until(what, seconds, attempt) {
  const end = Date.now() + seconds * 1000;
  for (let last = "no answer"; ; sleep(1000)) {
    try {
      const found = attempt();
      if (found) return found;
    } catch (error) {
      last = error.message;
    }
    if (Date.now() > end) throw new Error(`${what}: not within ${seconds} s: ${last}`);
  }
}

function at(host) {
  const options = "authSource=local&directConnection=true&serverSelectionTimeoutMS=2000&connectTimeoutMS=2000";
  return connect(`mongodb://__system:${encodeURIComponent(key)}@${host}:${port}/admin?${options}`);
}

function ask(db, command) {
  const answer = db.runCommand(command);
  if (answer.ok !== 1) throw new Error(`${Object.keys(command)[0]}: ${answer.errmsg}`);
  return answer;
}

// One replica set, its members by name, never by address: a pod's address changes.
function replicaSet(name, hosts, isConfig) {
  for (const host of hosts) until(`${host} answers`, 300, () => ask(at(host), { ping: 1 }).ok === 1);
  const members = hosts.map((host, _id) => ({ _id, host: `${host}:${port}` }));
  const config = isConfig ? { _id: name, configsvr: true, members } : { _id: name, members };
  const first = at(hosts[0]);
  const status = first.runCommand({ replSetGetStatus: 1 });
  if (status.ok !== 1 && status.code === NotYetInitialized) {
    const done = first.runCommand({ replSetInitiate: config });
    if (done.ok !== 1 && done.code !== AlreadyInitialized) throw new Error(`${name}: ${done.errmsg}`);
    print(`${name}: initiated with ${hosts.length} members`);
  }
  const primary = until(`${name} has a primary`, 120, () =>
    hosts.find(host => at(host).runCommand({ hello: 1 }).isWritablePrimary));
  print(`${name}: ${primary} is primary`);
}

const sets = JSON.parse(env("MONGODB_SETS"));
replicaSet("config", sets.config, true);
for (const [name, hosts] of Object.entries(sets.shards)) replicaSet(name, hosts, false);

const mongos = env("MONGOS_HOST");
const admin = until("mongos answers", 300, () => {
  const db = at(mongos);
  return ask(db, { ping: 1 }).ok === 1 && db;
});
const known = new Set(ask(admin, { listShards: 1 }).shards.map(shard => shard._id));
for (const [name, hosts] of Object.entries(sets.shards)) {
  if (known.has(name)) continue;
  ask(admin, { addShard: `${name}/${hosts.map(host => `${host}:${port}`).join(",")}`, name });
  print(`${name}: added`);
}

const user = env("MONGODB_USER"), pwd = env("MONGODB_PASSWORD");
const roles = ["countly", "countly_drill", "countly_out", "countly_fs"].map(db => ({ role: "dbOwner", db }));
const exists = ask(admin, { usersInfo: { user, db: "admin" } }).users.length > 0;
ask(admin, exists ? { updateUser: user, pwd, roles } : { createUser: user, pwd, roles });

// The collections that grow with devices and events. Countly makes them when the first request comes; made before, they are sharded
// while they are empty. A hashed _id spreads writes evenly, and Countly reads these by _id.
const app = env("COUNTLY_APP_ID");
const sharded = [
  ["countly", `app_users${app}`], ["countly", `app_crashes${app}`], ["countly", "events_data"], ["countly_drill", "drill_events"],
];
for (const [db, collection] of sharded) {
  // A collection with documents needs the index before it can be sharded by it.
  ask(admin.getSiblingDB(db), { createIndexes: collection, indexes: [{ key: { _id: "hashed" }, name: "_id_hashed" }] });
  ask(admin, { shardCollection: `${db}.${collection}`, key: { _id: "hashed" } });
}

// The app that the demo's load writes to. Its _id and key are the demo's; a person makes further apps in the dashboard.
admin.getSiblingDB("countly").getCollection("apps").updateOne(
  { _id: ObjectId(app) },
  { $setOnInsert: { name: "cncfdemo", key: env("COUNTLY_APP_KEY"), type: "mobile", category: "6", timezone: "Etc/GMT", country: "US", created_at: Math.floor(Date.now() / 1000) } },
  { upsert: true },
);

const shards = ask(admin, { listShards: 1 }).shards;
const wanted = Object.keys(sets.shards).length;
if (shards.length < wanted) throw new Error(`${shards.length} of ${wanted} shards are there`);
print(`${shards.length} shards: ${shards.map(shard => shard._id).join(", ")}`);
