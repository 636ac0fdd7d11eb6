// Corral from a plain NATS client: `node client.mjs URL CREDENTIALS INBOX_PREFIX USER`.
// Every step prints one line of JSON: {"step": …, "said": …}. docs/clients.md shows the calls.

import { readFileSync } from "node:fs";
import { jetstream } from "@nats-io/jetstream";
import { Kvm } from "@nats-io/kv";
import { Svcm } from "@nats-io/services";
import { connect, credsAuthenticator, headers } from "@nats-io/transport-node";

const [url, credentials, inboxPrefix, user] = process.argv.slice(2);
const say = (step, said) => console.log(JSON.stringify({ step, said }));

const nc = await connect({
  servers: url,
  authenticator: credsAuthenticator(readFileSync(credentials)),
  inboxPrefix,
});

async function ask(operation, request = {}) {
  const answer = await nc.request(`corral.u.${user}.${operation}`, JSON.stringify(request), { timeout: 5000 });
  return { body: answer.json(), code: answer.headers?.get("Nats-Service-Error-Code") };
}

async function until(condition) {
  const end = Date.now() + 20_000;
  while (Date.now() < end) {
    const found = await condition();
    if (found) return found;
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
  throw new Error("not in time");
}

// the feed: every committed change of our jobs and tasks
const changes = [];
const feed = nc.subscribe(`corral.feed.${user}.>`, {
  callback: (_, message) => changes.push({ subject: message.subject, ...message.json() }),
});
const rejects = [];
nc.subscribe(`corral.u.${user}.errors`, { callback: (_, message) => rejects.push(message.json().error) });
await nc.flush();

// submit, and wait on the feed until it is over
const { body: submitted } = await ask("job.submit", { name: "from node", command: ["sh", "-c", "echo hello from $CORRAL_NODE"] });
say("submit", submitted);
const over = await until(() =>
  changes.find((each) => each.subject === `corral.feed.${user}.job.${submitted.number}` && each.state === "completed"),
);
say("feed", over);
say("show", (await ask("job.show", { job: String(submitted.number) })).body);
say("list", (await ask("job.list", { limit: 5 })).body);

// output: `data` is base64 in JSON
const { body: log } = await ask("task.logs", { task: `${submitted.number}.0` });
say("logs", { ...log, text: Buffer.from(log.data, "base64").toString() });

// a job to follow, to look up in KV while it lives, and to cancel
const { body: long } = await ask("job.submit", { name: "long", command: ["sh", "-c", "while :; do echo tick; sleep 0.1; done"] });
const followed = await until(async () => {
  const { body } = await ask("task.follow", { task: `${long.number}.0` });
  return body.subject && body;
});
let live = "";
nc.subscribe(followed.subject, { callback: (_, message) => (live += Buffer.from(message.data).toString("latin1")) });
await until(() => live.includes("dGljaw") || live.includes("tick"));
say("follow", { subject: followed.subject, bytes: live.length });

const kvm = new Kvm(jetstream(nc));
const value = async (bucket, key, wanted = () => true) => {
  const kv = await kvm.open(bucket, { allow_direct: true });
  return until(async () => {
    const found = (await kv.get(key))?.json();
    return found && wanted(found) && found;
  });
};
say("kv cluster", await value("corral_cluster", "state", (state) => state.total_nodes > 0));
say("kv job", await value("corral_jobs", `${user}.${long.number}`));
say("kv heartbeat", await value("corral_heartbeats", followed.node));
say("cancel", (await ask("job.cancel", { target: String(long.number) })).body);

// fire and forget: kept while no coordinator runs; the same id twice is one job
const js = jetstream(nc);
for (const name of ["published", "published"]) {
  const body = JSON.stringify({ name, command: ["true"] });
  const ack = await js.publish(`corral.u.${user}.publish`, body, { msgID: "from-node-1" });
  say("publish", { stream: ack.stream, duplicate: ack.duplicate });
  await new Promise((resolve) => setTimeout(resolve, 300)); // longer than JetStream's own window
}
const published = await until(async () => {
  const { body } = await ask("job.list", { filter: "name=published" });
  return body.jobs.length > 0 && body;
});
say("published", { jobs: published.jobs.length });
const named = headers();
named.set("Nats-Msg-Id", "from-node-2");
nc.publish(`corral.u.${user}.publish`, '{"comand": ["true"]}', { headers: named });
say("rejected", await until(() => rejects[0]));

// refusals: an error body, and the headers of the micro-service protocol
say("refused", await ask("job.show", { job: "999999" }));

// discovery
const services = new Svcm(nc).client();
for (const verb of ["ping", "info", "stats"]) {
  const [found] = await (async () => {
    const all = [];
    for await (const each of await services[verb]("corral")) all.push(each);
    return all;
  })();
  say(verb, found);
}
feed.unsubscribe();
await nc.close();
