// SPDX-License-Identifier: GPL-2.0
/**
 * Sockets of AF_NYM, whose addresses are names: net.Socket and net.Server.
 *
 *   const server = nym.listen(net.createServer(onSocket), 'hello', { mode: 0o666 });
 *   const socket = await nym.connect('hello', { timeout: 5000 });
 * Errors are like those of net: with code, errno, syscall and address.
 */
'use strict';

const fs = require('fs');
const net = require('net');
const util = require('util');
const { setTimeout: sleep } = require('timers/promises');
const syscall = require('./nym_syscall.node');
const [AF_UNIX, AF_NYM, SOL_NYM, NYM_WAIT, NAME_MAX] = [1, 18, 28281, 1, 125];
const [SOCK_STREAM, NONBLOCK, CLOEXEC] = [1, 0o4000, 0o2000000];
const { EALREADY, EINPROGRESS, EINVAL, EISCONN, ETIMEDOUT } = require('os').constants.errno;
const int = (n) => Buffer.from(Int32Array.of(n).buffer);
const family = (n) => Buffer.from(Uint16Array.of(n).buffer);

function failure(errno, syscall, address = '') {
  const code = util.getSystemErrorName(-errno);
  const error = new Error(`${syscall} ${code} ${address}`.trim());
  return Object.assign(error, { code, errno: -errno, syscall, address });
}

function call(name, address, ...args) {
  const result = syscall(syscall[name], ...args);
  if (result < 0) throw failure(-result, name, address);
  return result;
}

/** An address; of null, one with which bind lets the kernel choose. */
function pack(name) {
  if (name === null) return family(AF_NYM);
  // The kernel knows what a name is, but reads no further than a NUL.
  if (typeof name !== 'string' || name.includes('\0')) throw new TypeError('This is no name');
  const bytes = Buffer.from(name);
  if (!bytes.length || bytes.length > NAME_MAX) throw failure(EINVAL, 'name', name);
  return Buffer.concat([family(AF_NYM), bytes]);
}

function ask(name, socket) {
  const addr = Buffer.alloc(2 + NAME_MAX + 1);
  call(name, '', socket._handle ? socket._handle.fd : -1, addr, int(addr.length));
  return addr.toString('latin1', 2, addr.indexOf(0, 2));
}

/** The name of a net.Socket or net.Server, and that of a net.Socket's other end. */
const name = (socket) => ask('getsockname', socket);
const peerName = (socket) => ask('getpeername', socket);

/** Has net take a socket of ours. It takes only families that it knows, but looks at the
 * family just once, and polls the descriptor only when the event loop goes on: until then
 * another socket can be put in the place of the one that it has seen. */
function adopt(fd, take) {
  const place = call('socket', '', AF_UNIX, SOCK_STREAM | CLOEXEC, 0);
  try {
    call('bind', '', place, family(AF_UNIX), 2);
    const taker = take(place);
    call('dup3', '', fd, place, CLOEXEC);
    return taker;
  } catch (error) {
    fs.closeSync(place);
    throw error;
  }
}

/** Has a net.Server listen at a name; mode says who may call. */
function listen(server, name, { mode, backlog = 511 } = {}) {
  const addr = pack(name);
  const fd = call('socket', name, AF_NYM, SOCK_STREAM | NONBLOCK | CLOEXEC, 0);
  try {
    call('bind', name, fd, addr, addr.length);
    if (mode !== undefined) fs.fchmodSync(fd, mode);
    call('listen', name, fd, backlog);
    return adopt(fd, (place) => server.listen({ fd: place, exclusive: true }));
  } finally {
    fs.closeSync(fd);
  }
}

/** A net.Socket that calls a name; ETIMEDOUT after the timeout, in milliseconds. With
 * wait, somebody may listen there only later. Who is parked looks every 50 ms. */
async function connect(name, { timeout = Infinity, wait = false } = {}) {
  const addr = pack(name);
  const end = performance.now() + timeout;
  const fd = call('socket', name, AF_NYM, SOCK_STREAM | NONBLOCK | CLOEXEC, 0);
  try {
    call('setsockopt', name, fd, SOL_NYM, NYM_WAIT, int(+wait), 4);
    for (let pause = 1; ; pause = Math.min(pause * 2, 50)) {
      const errno = -syscall(syscall.connect, fd, addr, addr.length);
      if (!errno || errno === EISCONN) break;
      if (errno !== EINPROGRESS && errno !== EALREADY) throw failure(errno, 'connect', name);
      if (performance.now() >= end) throw failure(ETIMEDOUT, 'connect', name);
      await sleep(Math.min(pause, end - performance.now()));
    }
    return adopt(fd, (place) => new net.Socket({ fd: place, readable: true, writable: true }));
  } finally {
    fs.closeSync(fd);
  }
}

module.exports = { connect, listen, name, peerName };
