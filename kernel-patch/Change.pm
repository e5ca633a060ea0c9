# SPDX-License-Identifier: GPL-2.0
# What the scripts that change files of a tree share: reading them, writing them, and
# substitutions that must apply.
package Change;
use strict;
use warnings;
use Exporter 'import';

our @EXPORT = qw(slurp spew change);

sub slurp {
	my ($path) = @_;

	open my $file, '<', $path or die "$path: $!\n";
	local $/;
	return <$file>;
}

sub spew {
	my ($path, $text) = @_;

	open my $file, '>', $path or die "$path: $!\n";
	print $file $text;
	close $file or die "$path: $!\n";
}

# change FILE, PATTERN => REPLACEMENT...: a replacement is a function. Each pattern must
# be there exactly once: else something has changed, and a person has to look.
sub change {
	my ($path, @rules) = @_;
	my $text = slurp($path);

	while (my ($pattern, $replacement) = splice @rules, 0, 2) {
		my $times = $text =~ s/$pattern/$replacement->()/ge || 0;

		die "$path: found $times times: $pattern\n" unless $times == 1;
	}
	spew($path, $text);
}

1;
