// The JavaScript client (npm `@kubernetes/client-node`) against a cluster.
//
// KUBECONFIG names the cluster, IMAGE an image with a shell and BusyBox's tools, ENGINE the process id of the engine, which the
// informer's test kills. Run by `javascript.rs`; by hand: `node --test javascript.mjs`.
import assert from 'node:assert/strict';
import fs from 'node:fs';
import net from 'node:net';
import os from 'node:os';
import path from 'node:path';
import { PassThrough } from 'node:stream';
import { finished } from 'node:stream/promises';
import { after, before, test } from 'node:test';
import * as k8s from '@kubernetes/client-node';

const NS = 'by-javascript';
const IMAGE = process.env.IMAGE;
const PATIENCE = 60_000;
const config = new k8s.KubeConfig();
config.loadFromFile(process.env.KUBECONFIG);
const core = config.makeApiClient(k8s.CoreV1Api);
const apps = config.makeApiClient(k8s.AppsV1Api);
const objects = k8s.KubernetesObjectApi.makeApiClient(config);

const sleep = (ms) => new Promise((done) => setTimeout(done, ms));

/** Asks until there is an answer that is neither false nor a failure. */
async function eventually(what, ask) {
    let last;
    for (const end = Date.now() + PATIENCE; Date.now() < end; await sleep(50)) {
        try {
            last = await ask();
            if (last) return last;
        } catch (error) {
            last = error;
        }
    }
    throw new Error(`${what}: not within ${PATIENCE} ms: ${last}`);
}

const absent = (ask) => ask().then(() => false, (error) => error.code === 404);

const fails = async (code, ask) => {
    const error = await ask().then(() => assert.fail('it did not fail'), (error) => error);
    assert.equal(error.code, code, `${error}`);
    return JSON.parse(error.body);
};

const collected = () => {
    const stream = new PassThrough();
    const parts = [];
    stream.on('data', (part) => parts.push(part));
    return { stream, bytes: () => Buffer.concat(parts), text: () => Buffer.concat(parts).toString() };
};

const container = (command, more) => ({ name: 'main', image: IMAGE, command, ...more });

async function pod(name, spec) {
    await core.createNamespacedPod({ namespace: NS, body: {
        metadata: { name, labels: { app: name } }, spec: { terminationGracePeriodSeconds: 0, ...spec } } });
    await eventually(`pod ${name} is ready`, async () => {
        const { status } = await core.readNamespacedPod({ name, namespace: NS });
        return status.conditions?.some((c) => c.type === 'Ready' && c.status === 'True');
    });
}

before(async () => {
    await core.createNamespace({ body: { metadata: { name: NS } } });
    await eventually('the default service account', () => core.readNamespacedServiceAccount({ name: 'default', namespace: NS }));
    await pod('shell', { containers: [container(['sh', '-c', 'mkdir /tmp/www; echo page > /tmp/www/page; echo hello; httpd -f -p 8080 -h /tmp/www'],
        { readinessProbe: { httpGet: { path: '/page', port: 8080 }, periodSeconds: 1 } })] });
});

after(async () => {
    await core.deleteNamespace({ name: NS });
    await eventually('the namespace is gone', () => absent(() => core.readNamespace({ name: NS })));
});

test('objects come, change and go', async () => {
    const bodies = [
        { apiVersion: 'v1', kind: 'ConfigMap', data: { a: '1' } },
        { apiVersion: 'v1', kind: 'Secret', stringData: { a: '1' } },
        { apiVersion: 'v1', kind: 'Service', spec: { ports: [{ port: 80, targetPort: 'http' }] } },
        { apiVersion: 'apps/v1', kind: 'Deployment', spec: { replicas: 0, selector: { matchLabels: { a: 'b' } },
            template: { metadata: { labels: { a: 'b' } }, spec: { containers: [container()] } } } },
        { apiVersion: 'batch/v1', kind: 'CronJob', spec: { schedule: '@yearly', suspend: true, jobTemplate: { spec: { template: {
            spec: { restartPolicy: 'Never', containers: [container()] } } } } } },
        { apiVersion: 'networking.k8s.io/v1', kind: 'NetworkPolicy', spec: { podSelector: { matchLabels: { no: 'pod' } } } },
        { apiVersion: 'coordination.k8s.io/v1', kind: 'Lease', spec: { holderIdentity: 'me', renewTime: '2026-11-26T00:00:00.000001Z' } },
        { apiVersion: 'rbac.authorization.k8s.io/v1', kind: 'Role', rules: [{ apiGroups: [''], resources: ['pods'], verbs: ['get'] }] },
    ];
    for (const body of bodies) {
        const header = { apiVersion: body.apiVersion, kind: body.kind, metadata: { name: 'generic', namespace: NS } };
        await objects.create({ ...body, ...header });
        await fails(409, () => objects.create({ ...body, ...header }));
        const read = await objects.read(header);
        assert.ok(read.metadata.creationTimestamp instanceof Date, body.kind);
        const listed = await objects.list(body.apiVersion, body.kind, NS, undefined, undefined, undefined, 'metadata.name=generic');
        assert.deepEqual(listed.items.map((o) => o.metadata.name), ['generic']);
        const replaced = await eventually(`${body.kind} is replaced`, async () => {
            const now = await objects.read(header);
            now.metadata.annotations = { by: 'replace' };
            return objects.replace(now);
        });
        assert.equal(replaced.metadata.annotations.by, 'replace');
        const patched = await objects.patch({ ...header, metadata: { ...header.metadata, annotations: { by: 'patch' } } });
        assert.equal(patched.metadata.annotations.by, 'patch');
        await objects.delete(header);
        await eventually(`${body.kind} is gone`, () => absent(() => objects.read(header)));
    }
});

test('every patch', async () => {
    const name = 'patched';
    await core.createNamespacedConfigMap({ namespace: NS, body: { metadata: { name }, data: { a: '1' } } });
    const patch = (body, strategy, more) => core.patchNamespacedConfigMap(
        { name, namespace: NS, body, ...more }, k8s.setHeaderOptions('Content-Type', strategy));
    let done = await patch([{ op: 'replace', path: '/data/a', value: '2' }], k8s.PatchStrategy.JsonPatch);
    assert.deepEqual(done.data, { a: '2' });
    done = await patch({ data: { a: null, b: '3' } }, k8s.PatchStrategy.MergePatch);
    assert.deepEqual(done.data, { b: '3' });
    done = await patch({ data: { c: '4' } }, k8s.PatchStrategy.StrategicMergePatch);
    assert.deepEqual(done.data, { b: '3', c: '4' });
    const applied = { apiVersion: 'v1', kind: 'ConfigMap', metadata: { name }, data: { b: '5' } };
    const status = await fails(409, () => patch(applied, k8s.PatchStrategy.ServerSideApply, { fieldManager: 'me' }));
    assert.equal(status.details.causes[0].reason, 'FieldManagerConflict');
    assert.equal(status.details.causes[0].field, '.data.b');
    done = await patch(applied, k8s.PatchStrategy.ServerSideApply, { fieldManager: 'me', force: true });
    assert.deepEqual(done.data, { b: '5', c: '4' });
    await fails(422, () => patch([{ op: 'test', path: '/data/a', value: 'x' }], k8s.PatchStrategy.JsonPatch));
});

test('an informer follows, also when the engine is killed', async () => {
    const list = () => core.listNamespacedConfigMap({ namespace: NS, labelSelector: 'informed=yes' });
    const informer = k8s.makeInformer(config, `/api/v1/namespaces/${NS}/configmaps`, list, 'informed=yes');
    const seen = [];
    let errors = 0, stopped = false;
    for (const verb of ['add', 'update', 'delete']) informer.on(verb, (o) => seen.push(`${verb} ${o.metadata.name}`));
    informer.on('error', () => {
        errors += 1;
        if (!stopped) setTimeout(() => informer.start().catch(() => {}), 100);
    });
    const make = (name) => core.createNamespacedConfigMap({ namespace: NS, body: { metadata: { name, labels: { informed: 'yes' } } } });
    await make('before');
    await informer.start();
    await make('after');
    await eventually('the informer knows both', () => seen.includes('add before') && seen.includes('add after'));
    process.kill(Number(process.env.ENGINE), 'SIGKILL');
    await eventually('the connection is broken', () => errors > 0);
    await eventually('the engine is back', () => make('later'));
    await core.patchNamespacedConfigMap({ name: 'after', namespace: NS, body: { data: { a: '1' } } },
        k8s.setHeaderOptions('Content-Type', k8s.PatchStrategy.MergePatch));
    await core.deleteNamespacedConfigMap({ name: 'before', namespace: NS });
    await eventually('the informer goes on', () =>
        ['add later', 'update after', 'delete before'].every((event) => seen.includes(event)));
    assert.deepEqual(informer.list(NS).map((o) => o.metadata.name).sort(), ['after', 'later']);
    assert.equal(seen.length, 5, `nothing twice: ${seen}`);
    stopped = true;
    await informer.stop();
});

test('watch', async () => {
    const seen = [];
    let ended;
    const end = new Promise((done) => { ended = done; });
    await new k8s.Watch(config).watch(`/api/v1/namespaces/${NS}/secrets`, { timeoutSeconds: 5, fieldSelector: 'metadata.name=watched' },
        (type, object) => seen.push(`${type} ${object.metadata.name}`), ended);
    await core.createNamespacedSecret({ namespace: NS, body: { metadata: { name: 'other' } } });
    await core.createNamespacedSecret({ namespace: NS, body: { metadata: { name: 'watched' } } });
    await core.deleteNamespacedSecret({ name: 'watched', namespace: NS });
    await end;
    assert.deepEqual(seen, ['ADDED watched', 'DELETED watched']);
});

/** Runs a command in the pod `shell`; gives its streams and how it ended. */
async function run(command, stdin = null, tty = false) {
    const out = collected(), err = collected();
    const status = await new Promise((done, failed) => {
        new k8s.Exec(config).exec(NS, 'shell', 'main', command, out.stream, err.stream, stdin, tty, done).catch(failed);
    });
    return { out: out.text(), err: err.text(), status };
}

test('exec', async () => {
    const both = await run(['sh', '-c', 'echo out; echo err >&2; exit 3']);
    assert.deepEqual([both.out, both.err], ['out\n', 'err\n']);
    assert.equal(both.status.status, 'Failure');
    assert.equal(both.status.details.causes.find((c) => c.reason === 'ExitCode').message, '3');
    const much = await run(['sh', '-c', 'seq 1 50000']);
    assert.equal(much.out.trim().split('\n').length, 50000);
    assert.equal(much.status.status, 'Success');
    const stdin = new PassThrough();
    stdin.write('one\n');
    setTimeout(() => stdin.write('exit 5\n'), 50);
    const shell = await run(['sh'], stdin);
    assert.equal(shell.status.details.causes[0].message, '5');
    const terminal = await run(['sh', '-c', 'tty'], null, true);
    assert.match(terminal.out, /^\/dev\/pts\/\d+\r\n$/);
});

test('attach', async () => {
    await pod('echo', { containers: [container(['cat'], { stdin: true })] });
    const out = collected(), stdin = new PassThrough();
    const socket = await new k8s.Attach(config).attach(NS, 'echo', 'main', out.stream, null, stdin, false);
    stdin.write('to and fro\n');
    await eventually('what was sent comes back', () => out.text() === 'to and fro\n');
    socket.close();
});

test('cp into a pod', async () => {
    const folder = fs.mkdtempSync(path.join(os.tmpdir(), 'cp-'));
    fs.mkdirSync(path.join(folder, 'below'));
    fs.writeFileSync(path.join(folder, 'below', 'file'), 'x'.repeat(1_000_000));
    await core.readNamespacedPod({ name: 'shell', namespace: NS });
    await new k8s.Cp(config).cpToPod(NS, 'shell', 'main', folder, '/tmp');
    await eventually('the file is there', async () => (await run(['wc', '-c', '/tmp/below/file'])).out.startsWith('1000000 '));
    fs.rmSync(folder, { recursive: true });
});

test('port-forward', async () => {
    const forward = new k8s.PortForward(config);
    const server = net.createServer((socket) => {
        forward.portForward(NS, 'shell', [8080], socket, null, socket).catch((error) => socket.destroy(error));
    });
    await new Promise((done) => server.listen(0, '127.0.0.1', done));
    try {
        for (let round = 0; round < 3; round += 1) {
            const answer = await fetch(`http://127.0.0.1:${server.address().port}/page`, { headers: { connection: 'close' } });
            assert.equal(await answer.text(), 'page\n');
        }
    } finally {
        server.closeAllConnections?.();
        server.close();
    }
});

test('logs', async () => {
    await eventually('the log', async () => {
        const once = collected();
        await new k8s.Log(config).log(NS, 'shell', 'main', once.stream, { tailLines: 10 });
        await finished(once.stream);
        return once.text() === 'hello\n';
    });
    await core.createNamespacedPod({ namespace: NS, body: { metadata: { name: 'counter' }, spec: { restartPolicy: 'Never',
        containers: [container(['sh', '-c', 'for n in 1 2 3 4 5; do echo $n; sleep 0.1; done'])] } } });
    await eventually('it runs', async () => (await core.readNamespacedPod({ name: 'counter', namespace: NS })).status.phase !== 'Pending');
    const followed = collected();
    await new k8s.Log(config).log(NS, 'counter', 'main', followed.stream, { follow: true });
    await eventually('all lines', () => followed.text() === '1\n2\n3\n4\n5\n');
});

test('a deployment is scaled', async () => {
    const body = { metadata: { name: 'scaled' }, spec: { replicas: 1, selector: { matchLabels: { app: 'scaled' } }, template: {
        metadata: { labels: { app: 'scaled' } }, spec: { terminationGracePeriodSeconds: 0, containers: [container(['sleep', '1000'])] } } } };
    await apps.createNamespacedDeployment({ namespace: NS, body });
    const ready = async () => (await apps.readNamespacedDeployment({ name: 'scaled', namespace: NS })).status.readyReplicas;
    await eventually('one is ready', async () => (await ready()) === 1);
    const scale = await apps.readNamespacedDeploymentScale({ name: 'scaled', namespace: NS });
    scale.spec.replicas = 2;
    await apps.replaceNamespacedDeploymentScale({ name: 'scaled', namespace: NS, body: scale });
    await eventually('two are ready', async () => (await ready()) === 2);
});
