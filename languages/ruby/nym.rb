# SPDX-License-Identifier: GPL-2.0
# frozen_string_literal: true

require 'io/wait'
require 'socket'

# Sockets of AF_NYM, whose addresses are names.
#
#   server = Nym.listen('hello', mode: 0666)
#   client = Nym.connect('hello', timeout: 5)
#
# What fails raises the Errno of the system call: Errno::ECONNREFUSED where nobody
# listens, Errno::EINVAL for what is no name. A name with a NUL, or that is no string,
# is an ArgumentError or a TypeError.
module Nym
  AF_NYM = 18
  SOL_NYM = 28_281
  NAME_MAX = 125
  WAIT, SHARE, LINGER, PASSRIGHTS, PASSCRED, INFO = *1..6
  SHARE_OFF, SHARE_ON, SHARE_STICKY = *0..2

  # The packed address of a name; of nil, one with which bind lets the kernel choose.
  def self.pack_sockaddr(name)
    return [AF_NYM].pack('S') if name.nil?

    bytes = String.new(name).b
    # The kernel knows what a name is, but reads no further than a NUL.
    raise ArgumentError, 'null byte in a name' if bytes.include?("\0")
    raise Errno::EINVAL, name unless bytes.size.between?(1, NAME_MAX)

    [AF_NYM, bytes].pack('Sa*')
  end

  # The name in a packed address, '' if there is none.
  def self.unpack_sockaddr(address)
    address.unpack1('@2Z*').force_encoding(Encoding::US_ASCII)
  end

  # A socket that listens at a name, or has it, if it is a :DGRAM socket. With nil the
  # kernel chooses the name. The mode says who may call, as for File#chmod; without it,
  # the umask does. A block gets the socket, which is closed then.
  def self.listen(name, type: :STREAM, mode: nil, backlog: 128, &block)
    open_socket(type, block) do |socket|
      socket.bind(name)
      File.for_fd(socket.fileno, autoclose: false).chmod(mode) if mode
      socket.listen(backlog) unless type == :DGRAM
    end
  end

  # A connection to a name. The timeout is in seconds; with wait, somebody may have the
  # name only later. A block gets the socket, which is closed then.
  def self.connect(name, type: :STREAM, timeout: nil, wait: false, &block)
    open_socket(type, block) do |socket|
      socket.setsockopt(SOL_NYM, WAIT, 1) if wait
      socket.connect(name, timeout: timeout)
    end
  end

  def self.open_socket(type, user)
    socket = Socket.new(type)
    yield socket
    return user.call(socket) if user

    kept = socket
  ensure
    socket&.close unless kept
  end
  private_class_method :open_socket

  # A ::Socket that takes and gives names where that has addresses.
  class Socket < ::Socket
    def initialize(type = :STREAM)
      super(AF_NYM, type, 0)
    end

    def bind(name)
      super(Nym.pack_sockaddr(name))
    end

    # Errno::ETIMEDOUT after the timeout, in seconds.
    def connect(name, timeout: nil)
      address = Nym.pack_sockaddr(name)
      if connect_nonblock(address, exception: false) == :wait_writable
        wait_writable(timeout) or raise Errno::ETIMEDOUT
        connect_nonblock(address, exception: false)
      end
      0
    rescue SystemCallError => e
      raise e.class, "connect to #{name}", cause: nil
    end

    # The connection, and the name of its other end.
    def accept
      fd, caller = sysaccept
      [self.class.for_fd(fd), Nym.unpack_sockaddr(caller.to_sockaddr)]
    end

    def accept_nonblock(exception: true)
      socket, caller = super
      return socket unless caller

      socket.autoclose = false
      [self.class.for_fd(socket.fileno), Nym.unpack_sockaddr(caller.to_sockaddr)]
    end

    def send(data, flags = 0, name = nil)
      name ? super(data, flags, Nym.pack_sockaddr(name)) : super(data, flags)
    end

    # The data, and the name of who sent it.
    def recvfrom(size, flags = 0)
      data, sender = super
      [data, Nym.unpack_sockaddr(sender.to_sockaddr)]
    end

    def own_name
      Nym.unpack_sockaddr(getsockname)
    end

    def peer_name
      Nym.unpack_sockaddr(getpeername)
    end
  end
end
