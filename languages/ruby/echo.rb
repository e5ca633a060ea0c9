#!/usr/bin/ruby
# SPDX-License-Identifier: GPL-2.0
# frozen_string_literal: true

# Echo in Ruby. "echo.rb -l NAME" sends everybody back what they say; "echo.rb NAME"
# says its standard input there and prints what comes back.

require_relative 'nym'

def serve(name)
  server = Nym.listen(name, mode: 0o666)
  loop do
    client, = server.accept
    Thread.new(client) do |socket|
      IO.copy_stream(socket, socket)
    ensure
      socket.close
    end
  end
end

# One thread says, the other one listens.
def call(name)
  Nym.connect(name, timeout: 10) do |socket|
    Thread.new do
      IO.copy_stream($stdin, socket)
      socket.close_write
    end
    IO.copy_stream(socket, $stdout)
  end
end

begin
  case ARGV
  in ['-l', name] then serve(name)
  in [name] then call(name)
  else
    warn 'usage: echo.rb [-l] NAME'
    exit 2
  end
rescue SystemCallError => e
  abort "echo.rb: #{e.message}"
end
