#!/usr/bin/perl
# SPDX-License-Identifier: GPL-2.0
# IO::Socket::Nym, in the directory above which this is started: perl -I. nym.t
use strict;
use warnings;
use Errno qw(EACCES EADDRINUSE EAGAIN ECONNREFUSED EINVAL EPROTOTYPE ETIMEDOUT);
use IO::Select;
use IO::Socket::Nym;
use Socket qw(SOCK_DGRAM SOCK_SEQPACKET SO_ERROR);
use Test::More;
use Time::HiRes qw(sleep time);

my $class = 'IO::Socket::Nym';
open(my $random, '<:raw', '/dev/urandom') or die "/dev/urandom: $!\n";
read($random, my $noise, 1 << 20);

# fails ERRNO, NAME, ARGUMENT...: new() with those does not.
sub fails {
    my ($errno, $name, @args) = @_;
    local $Test::Builder::Level = $Test::Builder::Level + 1;
    $! = 0;
    my $sock = $class->new(@args);
    is($sock ? 0 : $! + 0, $errno, $name);
}

# later SECONDS, SUB: in another process, which gives its id.
sub later {
    my ($seconds, $sub) = @_;
    my $pid = fork() // die "fork: $!\n";
    return $pid if $pid;
    sleep($seconds);
    $sub->();
    require POSIX;
    POSIX::_exit(0);
}

sub server {
    return $class->new(Local => 't/perl', Listen => 5, @_) || die "t/perl: $!\n";
}

subtest 'addresses' => sub {
    is(pack_sockaddr_nym('ab'), pack('S', 18) . 'ab', 'packed');
    is(pack_sockaddr_nym(undef), pack('S', 18), 'of the family alone');
    is(unpack_sockaddr_nym(pack_sockaddr_nym('x' x 125)), 'x' x 125, 'and unpacked');
    for my $name ('', 'x' x 126, "a\0b", "\x{e4}", "\x{20ac}") {
        $! = 0;
        is(pack_sockaddr_nym($name), undef, 'what is no name');
        is($! + 0, EINVAL, 'is EINVAL');
    }
};

subtest 'names' => sub {
    my $server = server();
    my $client = $class->new('t/perl');
    my ($conn, $caller) = $server->accept;
    isa_ok($conn, $class);
    is($server->own_name, 't/perl', 'of the server');
    is($client->peer_name, 't/perl', 'of who was called');
    like($client->own_name, qr/^:[0-9a-f]+$/, 'chosen by the kernel');
    is($conn->peer_name, $client->own_name, 'of who calls');
    is(unpack_sockaddr_nym($caller), $client->own_name, 'from accept');
    my $chosen = $class->new(Local => undef, Listen => 1);
    like($chosen->own_name, qr/^:[0-9a-f]+$/, 'of a server, chosen by the kernel');
    ok($class->new($chosen->own_name), 'which can be called');
    is($chosen->peer_name, undef, 'of no peer');
    is(IO::Socket->new(Domain => AF_NYM, Local => undef)->own_name =~ /^:/, 1, 'by domain');
};

subtest 'errors' => sub {
    my $server = server(Mode => 0600);
    is((stat $server)[2] & 0777, 0600, 'mode');
    fails(ECONNREFUSED, 'nobody there', 't/none');
    fails(EADDRINUSE, 'name in use', Local => 't/perl', Listen => 1);
    fails(EPROTOTYPE, 'wrong type', Peer => 't/perl', Type => SOCK_SEQPACKET);
    for my $name ('', 'a b', 'a@b', 'x' x 126, "a\0b") {
        fails(EINVAL, 'no name to call', $name);
        fails(EINVAL, 'no name to bind', Local => $name);
    }
    local $> = 65534;
    fails(EACCES, 'may not call', 't/perl');
    fails(EACCES, 'may not bind', Local => 'sys/perl');
};

subtest 'waiting' => sub {
    my $server = server(Listen => 0);
    my $first = $class->new('t/perl');
    my $start = time;
    fails(ETIMEDOUT, 'no room', Peer => 't/perl', Timeout => 0.3);
    cmp_ok(time - $start, '>', 0.1, 'was waited for');
    my $parked = $class->new(Peer => 't/perl', Blocking => 0);
    ok($parked, 'parked');
    ok(!IO::Select->new($parked)->can_write(0.1), 'and not connected');
    my $conn = $server->accept;
    ok(IO::Select->new($parked)->can_write(10), 'but now');
    is($parked->sockopt(SO_ERROR), 0, 'without an error');
    my $child = later(0.3, sub { $conn = $server->accept });
    ok($class->new(Peer => 't/perl', Timeout => 20), 'let in while it waits');
    waitpid($child, 0);
    $conn = $server->accept;
    $server->timeout(0.1);
    is($server->accept, undef, 'nobody calls');
    is($! + 0, ETIMEDOUT, 'in time');
    fails(ETIMEDOUT, 'nobody has it', Peer => 't/none', Wait => 1, Timeout => 0.2);
    $child = later(0.3, sub { $class->new(Local => 't/late', Listen => 1)->accept });
    ok($class->new(Peer => 't/late', Wait => 1), 'somebody has it later');
    waitpid($child, 0);
};

subtest 'a megabyte' => sub {
    my $server = server();
    my $child = later(0, sub {
        my $conn = $server->accept;
        local $/;
        print $conn scalar <$conn>;
    });
    my $client = $class->new('t/perl');
    print $client $noise;
    $client->shutdown(1);
    my $back = do { local $/; <$client> };
    ok($back eq $noise, 'there and back');
    waitpid($child, 0);
};

subtest 'records' => sub {
    my $server = server(Type => SOCK_SEQPACKET);
    my $client = $class->new(Peer => 't/perl', Type => SOCK_SEQPACKET);
    my $conn = $server->accept;
    is($conn->socktype, SOCK_SEQPACKET, 'type');
    $client->send($_) for 'one', 'two';
    $conn->recv(my $data, 9);
    is($data, 'one', 'keep their boundaries');
};

subtest 'datagrams' => sub {
    my $server = $class->new(Local => 't/perl', Type => SOCK_DGRAM, Mode => 0666);
    my $client = $class->new(Type => SOCK_DGRAM);
    $client->send('ask', 0, pack_sockaddr_nym('t/perl'));
    my $from = $server->recv(my $data, 9);
    is($data, 'ask', 'arrive');
    is(unpack_sockaddr_nym($from), $client->own_name, 'with an address');
    $server->send('answer', 0, $from);
    $client->recv($data, 9);
    is($data, 'answer', 'are answered');
};

done_testing;
