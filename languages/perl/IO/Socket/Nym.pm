# SPDX-License-Identifier: GPL-2.0
package IO::Socket::Nym;

=head1 NAME

IO::Socket::Nym - sockets of AF_NYM, whose addresses are names

=head1 SYNOPSIS

    use IO::Socket::Nym;

    my $server = IO::Socket::Nym->new(Local => 'hello', Listen => 64, Mode => 0666)
        or die "hello: $!\n";
    my $client = IO::Socket::Nym->new('hello') or die "hello: $!\n";

=head1 DESCRIPTION

An IO::Socket, much like IO::Socket::UNIX. What fails returns undef, or the empty
list, and leaves the reason in C<$!>.

=over

=item new(NAME), new(Peer => NAME, ...), new(Local => NAME, ...)

Connects, or binds. An undefined Local lets the kernel choose a name. There are:

    Type     SOCK_STREAM (default), SOCK_SEQPACKET or SOCK_DGRAM
    Listen   the backlog
    Mode     who may call, as for chmod; without it, the umask counts
    Timeout  for connect and accept, in seconds
    Wait     if true, wait for a name that nobody has yet
    Blocking if false, do not wait at all

=item own_name, peer_name

The name of this end and of the other one; '' if there is none, undef if there is
no other end.

=item pack_sockaddr_nym(NAME), unpack_sockaddr_nym(ADDRESS)

The addresses that send, recv, accept and the like have. Exported, as the constants.

=back

=cut

use strict;
use warnings;
use parent 'IO::Socket';
use Errno qw(EINVAL);
use Exporter;
use Socket qw(SOCK_DGRAM SOCK_STREAM);
use constant {
    AF_NYM => 18, SOL_NYM => 28281, NYM_NAME_MAX => 125,
    NYM_WAIT => 1, NYM_SHARE => 2, NYM_LINGER => 3,
    NYM_PASSRIGHTS => 4, NYM_PASSCRED => 5, NYM_INFO => 6,
    NYM_SHARE_OFF => 0, NYM_SHARE_ON => 1, NYM_SHARE_STICKY => 2,
};

our @EXPORT = (qw(pack_sockaddr_nym unpack_sockaddr_nym AF_NYM SOL_NYM NYM_NAME_MAX),
    qw(NYM_WAIT NYM_SHARE NYM_LINGER NYM_PASSRIGHTS NYM_PASSCRED NYM_INFO),
    qw(NYM_SHARE_OFF NYM_SHARE_ON NYM_SHARE_STICKY));

__PACKAGE__->register_domain(AF_NYM);

# IO::Socket's own exports what Socket has.
sub import { goto &Exporter::import }

sub pack_sockaddr_nym {
    my ($name) = @_;
    return pack('S', AF_NYM) unless defined $name;
    # The kernel knows what a name is, but reads no further than a NUL.
    return pack('S a*', AF_NYM, $name) if $name =~ /\A[\x01-\x7f]{1,125}\z/;
    $! = EINVAL;
    return;
}

sub unpack_sockaddr_nym {
    my (undef, $name) = unpack('S Z*', $_[0]);
    return $name;
}

sub new {
    my ($class, @args) = @_;
    return $class->SUPER::new(@args == 1 ? (Peer => @args) : @args);
}

sub configure {
    my ($sock, $arg) = @_;
    my $type = $arg->{Type} || SOCK_STREAM;

    $sock->socket(AF_NYM, $type, 0) or return;
    defined $sock->blocking($arg->{Blocking}) or return if exists $arg->{Blocking};
    $sock->setsockopt(SOL_NYM, NYM_WAIT, 1) or return if $arg->{Wait};
    if (exists $arg->{Local}) {
        my $addr = pack_sockaddr_nym($arg->{Local}) or return;
        $sock->bind($addr) or return;
    }
    if (defined $arg->{Mode}) {
        chmod($arg->{Mode}, $sock) or return;
    }
    if (exists $arg->{Listen} && $type != SOCK_DGRAM) {
        # IO::Socket's own makes 5 of 0.
        listen($sock, $arg->{Listen}) or return;
    } elsif (exists $arg->{Peer}) {
        my $addr = pack_sockaddr_nym($arg->{Peer}) or return;
        $sock->connect($addr) or return;
    }
    return $sock;
}

sub own_name {
    my $addr = $_[0]->sockname or return;
    return unpack_sockaddr_nym($addr);
}

sub peer_name {
    my $addr = $_[0]->peername or return;
    return unpack_sockaddr_nym($addr);
}

1;
