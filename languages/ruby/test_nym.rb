# SPDX-License-Identifier: GPL-2.0
# frozen_string_literal: true

# The module Nym: ruby test_nym.rb

require 'minitest/autorun'
require 'securerandom'
require_relative 'nym'

Thread.abort_on_exception = true

class NymTest < Minitest::Test
  NAME = 't/ruby'
  MEGABYTE = SecureRandom.bytes(1 << 20)

  def setup
    @sockets = []
  end

  def teardown
    @sockets.each(&:close)
  end

  def kept(socket)
    @sockets << socket
    socket
  end

  def server(**options)
    kept(Nym.listen(NAME, **options))
  end

  def client(**options)
    kept(Nym.connect(NAME, **options))
  end

  def accepted(server)
    kept(server.accept[0])
  end

  def pair(**options)
    listener = server(**options)
    [client(**options), accepted(listener)]
  end

  def now
    Process.clock_gettime(Process::CLOCK_MONOTONIC)
  end

  def later
    Thread.new do
      sleep 0.3
      yield
    end
  end

  def test_addresses
    assert_equal [18, 'ab'].pack('Sa*'), Nym.pack_sockaddr('ab')
    assert_equal 2, Nym.pack_sockaddr(nil).size
    assert_equal 'x' * 125, Nym.unpack_sockaddr(Nym.pack_sockaddr('x' * 125))
    assert_equal '', Nym.unpack_sockaddr(Nym.pack_sockaddr(nil))
  end

  def test_names
    listener = server
    caller = client
    socket, name = listener.accept
    kept(socket)
    assert_instance_of Nym::Socket, socket
    assert_equal NAME, listener.own_name
    assert_equal NAME, caller.peer_name
    assert_match(/\A:[0-9a-f]+\z/, name)
    assert_equal [name, name], [caller.own_name, socket.peer_name]
    assert_equal '', kept(Nym::Socket.new).own_name
    assert_raises(Errno::ENOTCONN) { kept(Nym::Socket.new).peer_name }
  end

  def test_chosen_by_the_kernel
    listener = kept(Nym.listen(nil))
    assert_match(/\A:[0-9a-f]+\z/, listener.own_name)
    assert_equal listener.own_name, Nym.connect(listener.own_name, &:peer_name)
  end

  def test_errors
    server(mode: 0o600)
    error = assert_raises(Errno::ECONNREFUSED) { Nym.connect('t/none') }
    assert_equal 'Connection refused - connect to t/none', error.message
    assert_raises(Errno::EADDRINUSE) { server }
    assert_raises(Errno::EPROTOTYPE) { client(type: :SEQPACKET) }
    Process::Sys.seteuid(65_534)
    assert_raises(Errno::EACCES) { client }
    assert_raises(Errno::EACCES) { Nym.listen('sys/ruby') }
  ensure
    Process::Sys.seteuid(0)
  end

  def test_what_is_no_name
    ['', 'a b', 'a@b', 'x' * 126, "\u20ac"].each do |name|
      assert_raises(Errno::EINVAL, name) { Nym.listen(name) }
      assert_raises(Errno::EINVAL, name) { Nym.connect(name) }
    end
    assert_raises(ArgumentError) { Nym.connect("a\0b") }
    assert_raises(TypeError) { Nym.connect(7) }
    assert_raises(Errno::EINVAL) { Nym.connect(nil) }
  end

  def test_nothing_stays_open
    before = Dir.children('/proc/self/fd')
    assert_raises(Errno::ECONNREFUSED) { Nym.connect('t/none') }
    assert_raises(Errno::EINVAL) { Nym.listen('@') }
    assert_raises(RuntimeError) { Nym.listen('t/block') { raise 'in the block' } }
    assert_equal before, Dir.children('/proc/self/fd')
  end

  def test_mode
    listener = server(mode: 0o640)
    assert_equal 0o640, File.for_fd(listener.fileno, autoclose: false).stat.mode & 0o777
  end

  def test_timeout
    server(backlog: 0)
    client
    start = now
    assert_raises(Errno::ETIMEDOUT) { client(timeout: 0.3) }
    assert_operator now - start, :>, 0.1
    assert_raises(Errno::ETIMEDOUT) { Nym.connect('t/none', wait: true, timeout: 0.2) }
  end

  def test_parked
    listener = server(backlog: 0)
    client
    thread = later { accepted(listener) }
    client(timeout: 20).write('x')
    thread.join
    thread = later { listener.close }
    assert_raises(Errno::ECONNREFUSED) { client }
    thread.join
  end

  def test_waiting_for_a_name
    thread = later { server }
    assert_equal NAME, client(wait: true).peer_name
    thread.join
  end

  def test_nonblocking
    listener = server
    assert_equal :wait_readable, listener.accept_nonblock(exception: false)
    assert_raises(IO::WaitReadable) { listener.accept_nonblock }
    caller = client
    socket, name = listener.accept_nonblock
    assert_equal [Nym::Socket, caller.own_name], [kept(socket).class, name]
    GC.start
    socket.write('x')
    assert_equal 'x', caller.read_nonblock(9)
  end

  def test_a_megabyte
    caller, socket = pair
    echo = Thread.new do
      IO.copy_stream(socket, socket)
      socket.close_write
    end
    say = Thread.new do
      caller.write(MEGABYTE)
      caller.close_write
    end
    assert_equal MEGABYTE, caller.read
    [say, echo].each(&:join)
  end

  def test_records
    caller, socket = pair(type: :SEQPACKET)
    caller.send('one')
    caller.send('two')
    assert_equal %w[one two], [socket.recv(9), socket.recv(9)]
  end

  def test_datagrams
    listener = server(type: :DGRAM)
    caller = kept(Nym::Socket.new(:DGRAM))
    caller.send('ask', 0, NAME)
    data, name = listener.recvfrom(9)
    assert_equal ['ask', caller.own_name], [data, name]
    listener.send('answer', 0, name)
    assert_equal ['answer', NAME], caller.recvfrom(9)
  end

  def test_descriptors
    caller, socket = pair
    socket.setsockopt(Nym::SOL_NYM, Nym::PASSRIGHTS, 1)
    File.open(__FILE__) do |file|
      caller.sendmsg('x', 0, nil, ::Socket::AncillaryData.unix_rights(file))
      *, control = socket.recvmsg(scm_rights: true)
      same, = control.unix_rights
      assert_equal file.stat.ino, same.stat.ino
      same.close
    end
  end
end
