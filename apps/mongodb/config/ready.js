// Whether a router can serve: it knows shards, and each of them answers through it. Reads only, so it may be asked as often as one likes.
"use strict";
const key = process.env.MONGODB_KEY.replace(/\s/g, "");
const options = "authSource=local&directConnection=true&serverSelectionTimeoutMS=2000";
const db = connect(`mongodb://__system:${encodeURIComponent(key)}@${process.env.MONGOS_HOST}:27017/admin?${options}`);
const answer = db.runCommand({ listShards: 1 });
quit(answer.ok === 1 && answer.shards.length > 0 ? 0 : 1);
