// SPDX-License-Identifier: GPL-2.0
/** The module nym: node test_nym.js */
'use strict';

const assert = require('assert');
const crypto = require('crypto');
const fs = require('fs');
const http = require('http');
const net = require('net');
const { once } = require('events');
const { spawn } = require('child_process');
const { test } = require('node:test');
const { setTimeout: sleep } = require('timers/promises');
const nym = require('./nym.js');

const NAME = 't/node';

/** With a listening server, which ends with the test, and the sockets that it accepted. */
async function withServer(options, use) {
  const sockets = [];
  const server = net.createServer({ allowHalfOpen: true }, (socket) => {
    sockets.push(socket.on('error', () => {}));
  });
  nym.listen(server, NAME, options);
  try {
    await use(server, sockets);
  } finally {
    sockets.forEach((socket) => socket.destroy());
    await new Promise((resolve) => server.close(resolve));
  }
}

/** A backlog with room for one call, which is taken, and nobody who accepts. */
async function withFull(use) {
  const server = spawn('perl', ['-e', `
    socket($s, 18, 1, 0) && bind($s, pack("S a*", 18, "${NAME}")) && listen($s, 0) &&
    socket($c, 18, 1, 0) && connect($c, pack("S a*", 18, "${NAME}")) or die $!;
    $| = 1; print "full\\n"; <STDIN>; accept($a, $s); accept($b, $s); <STDIN>;`]);
  const closed = once(server, 'close');
  await once(server.stdout, 'data');
  try {
    await use(server);
  } finally {
    server.kill();
    await closed;
  }
}

async function read(socket) {
  const chunks = [];
  for await (const chunk of socket) chunks.push(chunk);
  return Buffer.concat(chunks);
}

const descriptors = () => fs.readdirSync('/proc/self/fd').length;
const bad = ['', 'a b', 'a@b', 'größer', 'x'.repeat(126)];

test('names', () => withServer({}, async (server, sockets) => {
  const socket = await nym.connect(NAME);
  while (!sockets.length) await sleep(10);
  assert.strictEqual(nym.name(server), NAME);
  assert.strictEqual(nym.peerName(socket), NAME);
  assert.match(nym.name(socket), /^:[0-9a-f]+$/);
  assert.strictEqual(nym.peerName(sockets[0]), nym.name(socket));
  assert(socket instanceof net.Socket);
  socket.destroy();
  assert.throws(() => nym.name(socket), { code: 'EBADF' });
}));

test('a name that the kernel chooses', async () => {
  const server = nym.listen(net.createServer(), null);
  assert.match(nym.name(server), /^:[0-9a-f]+$/);
  (await nym.connect(nym.name(server))).destroy();
  server.close();
});

test('the longest name', async () => {
  const server = nym.listen(net.createServer(), 'x'.repeat(125));
  assert.strictEqual(nym.name(server), 'x'.repeat(125));
  server.close();
});

test('errors', () => withServer({ mode: 0o600 }, async () => {
  await assert.rejects(nym.connect('t/none'), {
    code: 'ECONNREFUSED', errno: -111, syscall: 'connect', address: 't/none',
    message: 'connect ECONNREFUSED t/none',
  });
  assert.throws(() => nym.listen(net.createServer(), NAME), { code: 'EADDRINUSE' });
  for (const name of bad) {
    await assert.rejects(nym.connect(name), { code: 'EINVAL' }, name);
    assert.throws(() => nym.listen(net.createServer(), name), { code: 'EINVAL' }, name);
  }
  await assert.rejects(nym.connect(null), { code: 'EINVAL' });
  for (const name of ['a\0b', 7, undefined]) await assert.rejects(nym.connect(name), TypeError);
  process.seteuid(65534);
  try {
    await assert.rejects(nym.connect(NAME), { code: 'EACCES' });
    assert.throws(() => nym.listen(net.createServer(), 'sys/node'), { code: 'EACCES' });
  } finally {
    process.seteuid(0);
  }
}));

test('nothing stays open', () => withServer({}, async (server) => {
  const before = descriptors();
  await assert.rejects(nym.connect('t/none'));
  assert.throws(() => nym.listen(net.createServer(), '@'));
  assert.throws(() => nym.listen(server, 't/twice'), { code: 'ERR_SERVER_ALREADY_LISTEN' });
  assert.strictEqual(descriptors(), before);
}));

test('mode', () => withServer({ mode: 0o640 }, async (server) => {
  assert.strictEqual(fs.fstatSync(server._handle.fd).mode & 0o777, 0o640);
}));

test('parked, and late', () => withFull(async () => {
  const start = performance.now();
  await assert.rejects(nym.connect(NAME, { timeout: 300 }), { code: 'ETIMEDOUT' });
  assert(performance.now() - start > 100);
}));

test('parked, and then let in', () => withFull(async (server) => {
  const call = nym.connect(NAME, { timeout: 20000 });
  await sleep(200);
  server.stdin.write('\n');
  (await call).destroy();
}));

test('parked, and then refused', () => withFull(async (server) => {
  const call = nym.connect(NAME);
  await sleep(200);
  server.kill();
  await assert.rejects(call, { code: 'ECONNREFUSED' });
}));

test('waiting for a name', async () => {
  const call = nym.connect(NAME, { wait: true });
  await sleep(200);
  await withServer({}, async () => (await call).destroy());
  await assert.rejects(nym.connect(NAME, { wait: true, timeout: 100 }), { code: 'ETIMEDOUT' });
});

test('timeout of a socket', () => withServer({}, async () => {
  const socket = await nym.connect(NAME);
  socket.setTimeout(100);
  await once(socket, 'timeout');
  socket.destroy();
}));

test('a megabyte there and back', async () => {
  const data = crypto.randomBytes(1 << 20);
  const server = nym.listen(net.createServer({ allowHalfOpen: true }, (s) => s.pipe(s)), NAME);
  const sockets = await Promise.all([1, 2, 3].map(() => nym.connect(NAME)));
  sockets.forEach((socket) => socket.end(data));
  for (const back of await Promise.all(sockets.map(read))) assert(back.equals(data));
  server.close();
});

test('the end of the other one', () => withServer({}, async (server, sockets) => {
  const socket = await nym.connect(NAME);
  while (!sockets.length) await sleep(10);
  sockets[0].destroy();
  socket.resume();
  await once(socket, 'close');
}));

test('HTTP', async () => {
  const server = http.createServer((request, response) => response.end(request.url));
  nym.listen(server, NAME);
  const socket = await nym.connect(NAME);
  const request = http.get({ createConnection: () => socket, path: '/path' });
  const [response] = await once(request, 'response');
  assert.strictEqual((await read(response)).toString(), '/path');
  await new Promise((resolve) => server.close(resolve));
});
