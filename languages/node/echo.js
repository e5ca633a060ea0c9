#!/usr/bin/env node
// SPDX-License-Identifier: GPL-2.0
/**
 * Echo in Node.js. "echo.js -l NAME" sends everybody back what they say; "echo.js NAME"
 * says its standard input there and prints what comes back.
 */
'use strict';

const net = require('net');
const nym = require('./nym.js');

function serve(name) {
  const server = net.createServer({ allowHalfOpen: true }, (socket) => {
    socket.on('error', () => socket.destroy());
    socket.pipe(socket);
  });
  nym.listen(server, name, { mode: 0o666 });
}

async function call(name) {
  const socket = await nym.connect(name, { timeout: 10000 });
  process.stdin.pipe(socket).pipe(process.stdout);
}

async function main(args) {
  if (args.length === 2 && args[0] === '-l') return serve(args[1]);
  if (args.length === 1) return call(args[0]);
  console.error('usage: echo.js [-l] NAME');
  process.exitCode = 2;
}

main(process.argv.slice(2)).catch((error) => {
  console.error(`echo.js: ${error.message}`);
  process.exitCode = 1;
});
