#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0
"""Echo in Python, with asyncio.

"echo.py -l NAME" sends everybody back what they say; "echo.py NAME" says its
standard input there and prints what comes back.
"""
import asyncio
import sys
import threading

import nym


async def answer(reader, writer):
    while data := await reader.read(65536):
        writer.write(data)
        await writer.drain()
    writer.close()


async def serve(name):
    server = await asyncio.start_server(answer, sock=nym.create_server(name, mode=0o666))
    await server.serve_forever()


def call(name):
    """Without asyncio: one thread says, the other one listens."""
    with nym.create_connection(name, timeout=10) as sock:
        sock.settimeout(None)

        def say():
            with sys.stdin.buffer as stdin:
                sock.sendfile(stdin)
            sock.shutdown(nym.socket.SHUT_WR)

        threading.Thread(target=say, daemon=True).start()
        while data := sock.recv(65536):
            sys.stdout.buffer.write(data)
            sys.stdout.buffer.flush()


if __name__ == '__main__':
    try:
        if len(sys.argv) == 3 and sys.argv[1] == '-l':
            asyncio.run(serve(sys.argv[2]))
        elif len(sys.argv) == 2:
            call(sys.argv[1])
        else:
            sys.exit('usage: echo.py [-l] NAME')
    except OSError as err:
        sys.exit(f'echo.py: {err}')
