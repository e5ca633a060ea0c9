# SPDX-License-Identifier: GPL-2.0
"""The module nym and what Python makes of its sockets: python3 -m unittest."""
import asyncio
import errno
import os
import select
import signal
import socket
import threading
import time
import unittest

import nym

MEGABYTE = os.urandom(1 << 20)


def read_all(sock):
    return b''.join(iter(lambda: sock.recv(65536), b''))


def send_all(sock, data=MEGABYTE):
    sock.sendall(data)
    sock.shutdown(socket.SHUT_WR)


def in_thread(*call):
    thread = threading.Thread(target=call[0], args=call[1:])
    thread.start()
    return thread


class Case(unittest.TestCase):
    def server(self, name='t/python', **options):
        sock = nym.create_server(name, **options)
        self.addCleanup(sock.close)
        return sock

    def client(self, name='t/python', *args, **options):
        sock = nym.create_connection(name, *args, **options)
        self.addCleanup(sock.close)
        return sock

    def pair(self, timeout=None, **options):
        server = self.server(**options)
        client = self.client(timeout=timeout, **options)
        return client, self.let_in(server)

    def let_in(self, server):
        conn, _ = server.accept()
        self.addCleanup(conn.close)
        return conn

    def error(self, number, call, *args, **options):
        with self.assertRaises(OSError) as caught:
            call(*args, **options)
        self.assertEqual(caught.exception.errno, number)
        return caught.exception


class Names(Case):
    def test_names_of_a_connection(self):
        server = self.server()
        client = self.client()
        conn, caller = server.accept()
        with conn:
            self.assertEqual(server.getsockname(), 't/python')
            self.assertEqual(client.getpeername(), 't/python')
            self.assertRegex(caller, '^:[0-9a-f]+$')
            self.assertEqual(client.getsockname(), caller)
            self.assertEqual(conn.getpeername(), caller)
            self.assertIs(type(conn), nym.Socket)

    def test_bytes_and_the_longest(self):
        for name in b't/bytes', 'x' * 125, b'y' * 125:
            with nym.create_server(name) as server, nym.create_connection(name):
                self.assertEqual(server.getsockname(), os.fsdecode(name))

    def test_chosen_by_the_kernel(self):
        server = self.server(None)
        self.assertRegex(server.getsockname(), '^:[0-9a-f]+$')
        self.client(server.getsockname())

    def test_none(self):
        with nym.Socket() as sock:
            self.assertEqual(sock.getsockname(), '')
            self.error(errno.ENOTCONN, sock.getpeername)

    def test_mode(self):
        server = self.server(mode=0o640)
        self.assertEqual(os.fstat(server.fileno()).st_mode & 0o777, 0o640)


class Errors(Case):
    def test_types(self):
        self.server(mode=0o600)
        self.assertRaises(ConnectionRefusedError, nym.create_connection, 't/none')
        self.error(errno.EADDRINUSE, nym.create_server, 't/python')
        self.error(errno.EPROTOTYPE, nym.create_connection, 't/python',
                   type=socket.SOCK_SEQPACKET)
        os.seteuid(65534)
        self.addCleanup(os.seteuid, 0)
        self.assertRaises(PermissionError, nym.create_connection, 't/python')
        self.assertRaises(PermissionError, nym.create_server, 'sys/python')

    def test_what_is_no_name(self):
        for name in '', b'', 'a b', 'a@b', 'x' * 126:
            self.error(errno.EINVAL, nym.create_server, name)
            self.error(errno.EINVAL, nym.create_connection, name)
        self.assertRaises(ValueError, nym.create_server, 'a\0b')
        self.assertRaises(ValueError, nym.create_server, 'größer')
        self.assertRaises(TypeError, nym.create_server, 7)
        self.error(errno.EINVAL, nym.create_connection, None)

    def test_they_have_the_name(self):
        err = self.error(errno.ECONNREFUSED, nym.create_connection, 't/none')
        self.assertEqual(str(err), "[Errno 111] Connection refused: 't/none'")

    def test_nothing_stays_open(self):
        before = os.listdir('/proc/self/fd')
        for _ in range(3):
            self.assertRaises(OSError, nym.create_connection, 't/none')
            self.assertRaises(OSError, nym.create_server, '@')
        self.assertEqual(os.listdir('/proc/self/fd'), before)

    def test_connect_ex(self):
        with nym.Socket() as sock:
            self.assertEqual(sock.connect_ex('t/none'), errno.ECONNREFUSED)
            self.server()
            self.assertEqual(sock.connect_ex('t/python'), 0)

    def test_broken_pipe(self):
        client, conn = self.pair()
        conn.close()
        self.assertRaises(BrokenPipeError, client.sendall, b'x')


class Waiting(Case):
    def test_timeouts(self):
        server = self.server(backlog=0)
        client = self.client(timeout=0.2)
        self.assertRaises(TimeoutError, client.recv, 1)
        start = time.monotonic()
        self.assertRaises(TimeoutError, nym.create_connection, 't/python', timeout=0.3)
        self.assertGreater(time.monotonic() - start, 0.1)
        server.accept()[0].close()
        server.settimeout(0.2)
        self.assertRaises(TimeoutError, server.accept)

    def test_parked_and_then_let_in(self):
        server = self.server(backlog=0)
        self.client()
        timer = threading.Timer(0.3, self.let_in, [server])
        timer.start()
        client = self.client(timeout=20)
        timer.join()
        client.sendall(b'x')

    def test_parked_and_then_refused(self):
        server = self.server(backlog=0)
        self.client()
        timer = threading.Timer(0.3, server.close)
        timer.start()
        self.assertRaises(ConnectionRefusedError, self.client, timeout=20)
        timer.join()

    def test_not_blocking(self):
        server = self.server(backlog=0)
        server.setblocking(False)
        self.assertRaises(BlockingIOError, server.accept)
        self.client()
        client = nym.Socket()
        self.addCleanup(client.close)
        client.setblocking(False)
        self.error(errno.EINPROGRESS, client.connect, 't/python')
        self.error(errno.EALREADY, client.connect, 't/python')
        self.assertEqual(client.connect_ex('t/python'), errno.EALREADY)
        conn = self.let_in(server)
        self.assertTrue(conn.getblocking())
        self.assertEqual(select.select([], [client], [], 10)[1], [client])

    def test_for_a_name(self):
        timer = threading.Timer(0.3, self.server)
        timer.start()
        self.client(wait=True)
        timer.join()
        self.assertRaises(TimeoutError, nym.create_connection, 't/none', 0.2, wait=True)

    def test_signals(self):
        handled = []
        signal.signal(signal.SIGALRM, lambda *_: handled.append(1))
        server = self.server(backlog=0)
        self.client()
        signal.setitimer(signal.ITIMER_REAL, 0.1, 0.1)
        timer = threading.Timer(0.5, self.let_in, [server])
        timer.start()
        self.client()
        timer.join()
        signal.setitimer(signal.ITIMER_REAL, 0)
        self.assertTrue(handled)

    def test_a_handler_that_raises(self):
        def stop(*_):
            raise KeyboardInterrupt
        signal.signal(signal.SIGALRM, stop)
        server = self.server()
        signal.setitimer(signal.ITIMER_REAL, 0.2)
        self.assertRaises(KeyboardInterrupt, server.accept)


class Data(Case):
    def test_a_megabyte(self):
        for timeout in None, 30:
            client, conn = self.pair(timeout)
            thread = in_thread(send_all, client)
            data = read_all(conn)
            thread.join()
            self.assertEqual(data, MEGABYTE)
            thread = in_thread(send_all, conn, data)
            self.assertEqual(read_all(client), MEGABYTE)
            thread.join()
            self.doCleanups()

    def test_records(self):
        client, conn = self.pair(type=socket.SOCK_SEQPACKET)
        self.assertEqual(conn.type, socket.SOCK_SEQPACKET)
        client.send(b'one')
        client.send(b'two')
        self.assertEqual((conn.recv(9), conn.recv(9)), (b'one', b'two'))

    def test_datagrams(self):
        server = self.server(type=socket.SOCK_DGRAM)
        with nym.Socket(type=socket.SOCK_DGRAM) as client:
            client.settimeout(10)
            self.assertEqual(client.sendto(b'ask', 't/python'), 3)
            data, caller = server.recvfrom(100)
            self.assertEqual((data, caller), (b'ask', client.getsockname()))
            server.sendto(bytearray(b'answer'), 0, caller)
            self.assertEqual(client.recvfrom(4), (b'answ', 't/python'))
            client.settimeout(0.1)
            self.assertRaises(TimeoutError, client.recvfrom, 1)
            self.assertRaises(ConnectionRefusedError, client.sendto, b'', 't/none')

    def test_descriptors(self):
        client, conn = self.pair()
        conn.setsockopt(nym.SOL_NYM, nym.NYM_PASSRIGHTS, 1)
        with open(__file__, 'rb') as file:
            socket.send_fds(client, [b'x'], [file.fileno()])
            data, fds, _, name = socket.recv_fds(conn, 9, 1)
            self.assertEqual((data, name), (b'x', None))
            self.assertTrue(os.path.sameopenfile(fds[0], file.fileno()))
        os.close(fds[0])
        self.assertTrue(conn.getblocking())

    def test_makefile_and_fileno(self):
        client, conn = self.pair()
        with client.makefile('w') as out, conn.makefile() as lines:
            out.write('a line\n')
            out.flush()
            self.assertEqual(lines.readline(), 'a line\n')
        with nym.Socket(fileno=os.dup(conn.fileno())) as same:
            self.assertEqual((same.family, same.type), (nym.AF_NYM, socket.SOCK_STREAM))
            self.assertEqual(same.getpeername(), client.getsockname())


class Asyncio(Case):
    async def echo(self, reader, writer):
        while data := await reader.read(65536):
            writer.write(data)
            await writer.drain()
        writer.close()

    async def exchange(self, sock):
        reader, writer = await asyncio.open_connection(sock=sock)
        self.assertEqual(writer.get_extra_info('peername'), 't/python')
        writer.write(MEGABYTE)
        writer.write_eof()
        data = await reader.read()
        writer.close()
        return data == MEGABYTE

    def test_streams(self):
        async def main():
            async with await asyncio.start_server(self.echo, sock=self.server()) as server:
                self.assertEqual(server.sockets[0].getsockname(), 't/python')
                socks = [self.client() for _ in range(4)]
                done = await asyncio.gather(*map(self.exchange, socks))
                self.assertEqual(done, [True] * 4)
        asyncio.run(main())

    def test_create_server(self):
        class Greet(asyncio.Protocol):
            def connection_made(self, transport):
                transport.write(b'hello')
                transport.close()

        async def main():
            loop = asyncio.get_running_loop()
            async with await loop.create_server(Greet, sock=self.server()):
                reader, writer = await asyncio.open_connection(sock=self.client())
                self.assertEqual(await reader.read(), b'hello')
                writer.close()
        asyncio.run(main())

    def test_sock_connect(self):
        async def main():
            loop = asyncio.get_running_loop()
            server = self.server(backlog=0)
            server.setblocking(False)
            self.client()
            parked = nym.Socket()
            self.addCleanup(parked.close)
            parked.setblocking(False)
            task = asyncio.create_task(loop.sock_connect(parked, 't/python'))
            await asyncio.sleep(0.2)
            self.assertFalse(task.done())
            conn, _ = await loop.sock_accept(server)
            self.addCleanup(conn.close)
            await asyncio.wait_for(task, 10)
            refused = nym.Socket()
            self.addCleanup(refused.close)
            refused.setblocking(False)
            with self.assertRaises(ConnectionRefusedError):
                await loop.sock_connect(refused, 't/none')
        asyncio.run(main())

    def test_datagrams(self):
        class Answer(asyncio.DatagramProtocol):
            def connection_made(self, transport):
                self.transport = transport

            def datagram_received(self, data, addr):
                self.transport.sendto(data.upper(), addr)

        async def main():
            server = self.server(type=socket.SOCK_DGRAM)
            client = self.client(timeout=0, type=socket.SOCK_DGRAM)
            loop = asyncio.get_running_loop()
            transport, _ = await loop.create_datagram_endpoint(Answer, sock=server)
            client.send(b'hello')
            self.assertEqual(await asyncio.wait_for(loop.sock_recv(client, 9), 10), b'HELLO')
            transport.close()
        asyncio.run(main())


if __name__ == '__main__':
    unittest.main(verbosity=2)
