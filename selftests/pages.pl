#!/usr/bin/perl
# SPDX-License-Identifier: GPL-2.0
# The pages of the documentation: every command that one shows in a block
# "code-block:: console" is run, in order, and must say what the page says.
#
# Usage: pages.pl [PAGE]...     (default: those that are beside this script)
#
# The prompt says who runs a command: "$ " user 1000, "other$ " user 1001, "# "
# root; each has one shell for the page. "> " continues a command. What follows
# is what it prints: "..." in a line is anything, and as a line alone, any lines.
# A command that prints nothing must succeed. Each page has a directory and a
# network namespace of its own. Prints TAP.
use strict;
use warnings;
use Cwd qw(abs_path);
use File::Basename;
use File::Temp qw(tempdir);
use IO::Handle;
use POSIX qw(dup2 setgid setuid);

my $here = dirname(abs_path($0));
my $patience = 60 * ($ENV{NYM_SLOWER} || 1);	# seconds for a command
my %users = ("" => 1000, other => 1001, "#" => 0);
my (%shells, @left);

# A shell that runs what it is sent, and says after each with which status it ended.
sub shell {
	my ($who) = @_;
	return $shells{$who} if $shells{$who};
	pipe(my $commands, my $to) or die "pipe: $!\n";
	pipe(my $from, my $answers) or die "pipe: $!\n";
	my $pid = fork() // die "fork: $!\n";
	if (!$pid) {
		my $uid = $users{$who};
		setpgrp(0, 0);
		close($_) for $to, $from;
		$) = "$uid $uid";
		setgid($uid);
		setuid($uid) // die "setuid: $!\n";
		open(STDIN, "<", "/dev/null");
		open(STDOUT, ">&", $answers);
		open(STDERR, ">&", $answers);
		dup2(fileno($commands), 9);
		exec("bash", "-c", 'while IFS= read -r -d "" -u 9 command; do
				eval "$command" 9<&-
				printf "\001%d\n" $?
			done') or die "bash: $!\n";
	}
	close($_) for $commands, $answers;
	$to->autoflush(1);
	push @left, $pid;
	return $shells{$who} = { to => $to, from => $from };
}

# Run a command: what it printed, and its status.
sub run {
	my ($who, $command) = @_;
	my $shell = shell($who);
	my $text = "";
	print { $shell->{to} } "$command\0";
	local $SIG{ALRM} = sub { die "it does not end, after: $text\n" };
	alarm($patience);
	until ($text =~ s/\001(\d+)\n\z//) {
		sysread($shell->{from}, $text, 4096, length($text)) or die "the shell has ended\n";
	}
	alarm(0);
	return ($text, $1);
}

# What a page says that a command prints, as a pattern.
sub pattern {
	my $pattern = "";
	for my $line (@_) {
		$pattern .= $line eq "..." ? "(?:.*\n)*?" :
			join(".*?", map { quotemeta } split(/\.\.\./, $line, -1)) . " *\n";
	}
	return qr/\A$pattern\z/;
}

# The commands of a page: line, who, what, and the lines that it prints.
sub commands {
	my ($page) = @_;
	my ($inside, @commands);
	open(my $in, "<", $page) or die "$page: $!\n";
	while (my $line = <$in>) {
		chomp($line);
		if ($line =~ /^\.\. code-block:: console$/) {
			$inside = 1;
		} elsif ($line =~ /^\S/) {
			$inside = 0;
		} elsif ($inside && $line =~ s/^   //) {
			if ($line =~ /^(?:(\w*)\$|(#)) (.*)/) {
				push @commands, { line => $., who => $1 // $2, what => $3, says => [] };
			} elsif (!@commands) {
				die "$page:$.: a command is expected\n";
			} elsif ($line =~ /^> (.*)/ && !@{$commands[-1]{says}}) {
				$commands[-1]{what} .= "\n$1";
			} else {
				push @{$commands[-1]{says}}, $line;
			}
		}
	}
	return @commands;
}

# One page: how many commands it has, all of which did what it says.
sub try_page {
	my ($page) = @_;
	my @commands = commands($page) or die "there is no command\n";
	my $dir = tempdir("/tmp/nym-pages.XXXXXX", CLEANUP => 1);
	system("cp -rL $here/userspace-demo $dir/ && mkdir -p $dir/module/include/uapi &&
		cp -rL $here/linux $dir/module/include/uapi/ && chown -R 1000:1000 $dir && chmod 755 $dir") == 0
		or die "cannot prepare $dir\n";
	chdir($dir) or die "$dir: $!\n";
	umask(022);
	$ENV{PATH} = "$here:$ENV{PATH}";
	$ENV{HOME} = $dir;
	$ENV{LC_ALL} = "C";
	for my $c (@commands) {
		my ($text, $status) = eval { run($c->{who}, $c->{what}) };
		my $error = $@;
		if (!$error) {
			$error = "it ended with status $status" if $status && !@{$c->{says}};
			$error = "it printed something else" if $text !~ pattern(@{$c->{says}});
			next if !$error;
			$error .= ":\n$text";
		}
		my $base = basename($page);
		die "$base:$c->{line}: $c->{what}\n$error\n";
	}
	return scalar(@commands);
}

sub end_shells {
	kill("KILL", map { -$_ } @left);
	waitpid($_, 0) for @left;
	chdir("/");
}

# In a network namespace of its own: the page, and its place in the TAP.
if (@ARGV == 3 && $ARGV[0] eq "--one") {
	my ($page, $number) = @ARGV[1, 2];
	my $n = eval { try_page($page) };
	my $error = $@;
	end_shells();
	(my $name = $page) =~ s|^\Q$here\E/||;
	print "# $_\n" for split(/\n/, $error);
	print $n ? "ok $number $name: $n commands\n" : "not ok $number $name\n";
	exit(!$n);
}

my $protocols = do { local (@ARGV, $/) = "/proc/net/protocols"; <> };
if ($protocols !~ /^NYM /m || $>) {
	print "1..0 # SKIP the module is not loaded, or not root\n";
	exit 4;
}
my @pages = map { abs_path($_) } @ARGV ? @ARGV : glob("$here/tutorial.rst $here/howto/*.rst");
my ($number, $failed) = (0, 0);
$| = 1;
print "TAP version 13\n1..", scalar(@pages), "\n";
for my $page (@pages) {
	$number++;
	system("unshare", "--net", $^X, abs_path($0), "--one", $page, $number) == 0 or $failed = 1;
}
exit($failed);
