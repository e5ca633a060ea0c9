# SPDX-License-Identifier: GPL-2.0
# The verbs of nym; "make help" lists them. Kbuild and module/Kbuild say how the
# kernel's own build makes the module.

KVER ?= $(shell uname -r)
KDIR ?= /lib/modules/$(KVER)/build
KERNELS ?= 6.1 6.12
ALL_KERNELS = 6.1 6.12 7 6.12-rt
DEMO_KERNEL ?= 6.1
DESTDIR ?=
PREFIX ?= /usr

# The release that the headers in KDIR are for names the build directory, so
# that kernels never mix.
release := $(shell sed -n 's/.*UTS_RELEASE "\(.*\)"/\1/p' \
	$(KDIR)/include/generated/utsrelease.h 2>/dev/null)
tree = build/$(release)
usr = $(DESTDIR)$(PREFIX)
headers = nym.h nym_diag.h
tools = nymcat nymctl nymify nym-activate
# What nymify preloads.
preload = nymify-preload.so
completions = $(usr)/share/bash-completion/completions
# dkms.conf is the one place that has the version.
version := $(shell sed -n 's/^PACKAGE_VERSION="\(.*\)"$$/\1/p' dkms.conf)
# Headers without the kernel's own types (vmlinux) cannot describe the module's.
kbuild = $(MAKE) $(if $(filter 1,$(V)),,-s) --no-print-directory -C $(KDIR) \
	M=$(CURDIR)/$(tree) \
	$(if $(wildcard $(KDIR)/vmlinux),,CONFIG_DEBUG_INFO_BTF_MODULES=)

all: modules

help:
	@echo 'make                 build the module for the running kernel'
	@echo 'make tools           build nymcat, nymctl, nymify and nym-activate only'
	@echo 'make install         install the module, its headers, the tools and the manual'
	@echo 'make uninstall       remove all of it'
	@echo 'make demo            boot a kernel in QEMU and show what nym does'
	@echo 'make check           build and run all tests in QEMU'
	@echo 'make check-all       the same, also on the newest kernel and with PREEMPT_RT'
	@echo 'make check-languages test the modules for Python, Perl, Ruby, Go, Rust and Node.js'
	@echo 'make check-programs  test PostgreSQL, Redis, nginx and others with nymify'
	@echo 'make bench-programs  measure two of these on nym and on AF_UNIX, in instructions'
	@echo 'make check-debug     the same on a kernel that checks itself, built first'
	@echo 'make check-races     the same on a kernel that looks for data races'
	@echo 'make kernel-patch    make a patch series for a kernel source tree'
	@echo 'make check-kernel-patch  check it, build a kernel with it, run the tests there'
	@echo 'make coverage        measure how much of the module the tests run'
	@echo 'make fuzz            random calls, millions of them, on such a kernel'
	@echo 'make fuzz-others     the same with the fuzzers that Debian has'
	@echo 'make shell           boot a kernel in QEMU, load the module, open a shell'
	@echo 'make selftests       build the test programs only'
	@echo 'make languages       build the examples in each language only'
	@echo 'make scale           measure with a million names, in instructions (minutes)'
	@echo 'make bench           measure beside AF_UNIX, pipes, TCP and others (ten minutes)'
	@echo 'make profile         show where the instructions of a send and a receive are'
	@echo 'make check-packages  build the Debian packages, test them in a Debian in QEMU'
	@echo 'make lint            check style, types and documentation comments'
	@echo 'make docs            make the site of the documentation, in build/docs/html'
	@echo 'make clean           remove everything built here'
	@echo
	@echo 'KVER=RELEASE         build for this installed kernel, or'
	@echo 'KDIR=DIRECTORY       build with these kernel headers'
	@echo 'KSRC=DIRECTORY       that tree; default: Debian 12 has one (make kernel-patch)'
	@echo 'KERNELS="6.1 6.12"   the kernels to check on: those, 7, 6.12-rt (make check)'
	@echo 'KERNELS=6.1          the kernels to measure on; default: 6.12 (make bench, profile)'
	@echo 'TRANSPORT=unix-dgram what to show; default: nym-stream (make profile)'
	@echo 'SCALE="1000 1000"    how many names and connections (make scale)'
	@echo 'CALLS=10000000 SEED= how many calls, and which (make fuzz)'
	@echo 'TESTS="stream_test"  the tests to run; default: all (make check)'
	@echo 'DEMO_KERNEL=6.1      the kernel for make demo, make shell and make scale'
	@echo 'DESTDIR= PREFIX=     where make install puts things'
	@echo 'V=1                  show commands and the kernel console'
	@echo
	@echo 'demo, check, shell, bench, lint and docs install the Debian packages they need.'
	@echo 'Nothing is ever loaded into the running kernel.'

# Kbuild leaves its output beside the sources: give each kernel its own tree of
# links to them. Links to sources that are gone go too.
modules:
	@test -n "$(release)" || { \
		echo 'No kernel headers in $(KDIR).' \
			'Install them (Debian: apt-get install linux-headers-$(KVER))' \
			'or give KVER= or KDIR=.' >&2; exit 1; }
	@mkdir -p $(tree)
	@find $(tree) -xtype l -delete
	@cp -rsf $(CURDIR)/Kbuild $(CURDIR)/dkms.conf $(CURDIR)/module $(tree)/
	+@$(kbuild) modules

tools:
	+@$(MAKE) $(if $(filter 1,$(V)),,-s) --no-print-directory -C userspace-demo \
		OUT=$(CURDIR)/build/demo $(tools:%=$(CURDIR)/build/demo/%) \
		$(preload:%=$(CURDIR)/build/demo/%)

# Only who built the kernel has the key that signs its modules.
install: modules install-user
	+@$(kbuild) CONFIG_MODULE_SIG_ALL= $(if $(DESTDIR),INSTALL_MOD_PATH=$(DESTDIR)) \
		modules_install
	$(if $(DESTDIR),,depmod $(release))

# All but the module. bash-completion looks for a file of the program's name.
install-user: tools
	install -d $(usr)/include/linux $(usr)/bin $(usr)/lib/nym $(usr)/share/man/man1 \
		$(usr)/share/man/man7 $(usr)/share/pkgconfig $(completions)
	install -m 644 $(headers:%=module/include/uapi/linux/%) $(usr)/include/linux
	install -m 644 languages/c/nym.h $(usr)/include
	install -m 755 $(tools:%=build/demo/%) $(usr)/bin
	install -m 644 build/demo/$(preload) $(usr)/lib/nym
	install -m 644 $(tools:%=Documentation/%.1) $(usr)/share/man/man1
	install -m 644 Documentation/af_nym.7 $(usr)/share/man/man7
	sed 's|@PREFIX@|$(PREFIX)|; s|@VERSION@|$(version)|' userspace-demo/nym.pc.in \
		>$(usr)/share/pkgconfig/nym.pc
	install -m 644 userspace-demo/nym.bash-completion $(completions)/nymctl
	ln -sf nymctl $(completions)/nymcat
	ln -sf nymctl $(completions)/nym-activate
	ln -sf nymctl $(completions)/nymify

uninstall:
	find $(DESTDIR)/lib/modules/$(release) -name 'nym.ko*' -delete
	rm -f $(headers:%=$(usr)/include/linux/%) $(usr)/include/nym.h $(tools:%=$(usr)/bin/%) \
		$(tools:%=$(usr)/share/man/man1/%.1) $(usr)/share/man/man7/af_nym.7 \
		$(usr)/lib/nym/$(preload) $(usr)/share/pkgconfig/nym.pc $(tools:%=$(completions)/%)
	[ ! -d $(usr)/lib/nym ] || rmdir --ignore-fail-on-non-empty $(usr)/lib/nym
	$(if $(DESTDIR),,depmod $(release))

# The test programs are built in a copy of the kernel's test tree, made of
# links, and installed in build/selftests with the kernel's runner.
selftests:
	@qemu/install-deps build
	@harness=$$(qemu/kselftest) && \
	rm -rf build/kselftest && \
	mkdir -p build/kselftest/tools/testing/selftests build/kselftest/scripts && \
	ln -s $$harness/tools/testing/selftests/* build/kselftest/tools/testing/selftests/ && \
	ln -s $$harness/scripts/* build/kselftest/scripts/ && \
	ln -s $(CURDIR)/selftests build/kselftest/tools/testing/selftests/nym
	+@$(MAKE) $(if $(filter 1,$(V)),,-s) --no-print-directory \
		-C build/kselftest/tools/testing/selftests \
		TARGETS=nym FORCE_TARGETS=1 O=$(CURDIR)/build/selftests-objects \
		KSELFTEST_DIR=$(CURDIR)/build/kselftest/tools/testing/selftests \
		KSFT_INSTALL_PATH=$(CURDIR)/build/selftests install >/dev/null

demo:
	@qemu/install-deps
	+@$(MAKE) --no-print-directory boot \
		COMMAND='env DEMO_BIN=$(CURDIR)/build/demo userspace-demo/demo.sh'

shell:
	@qemu/install-deps
	+@$(MAKE) --no-print-directory boot

# So many names, and so many connections; a name takes about 3 KiB of memory.
SCALE ?= 1000000 100000

scale:
	@qemu/install-deps
	+@kernel=$$(qemu/kernel $(DEMO_KERNEL)) && module=$$(qemu/module $$kernel) && \
	mkdir -p build/bench && \
	$(CC) -O2 -Wall -Wextra -static -Imodule/include/uapi -o build/bench/scale bench/scale.c && \
	qemu/run --strict --count --memory 6144 -k $$kernel \
		-m $$module -- build/bench/scale $(SCALE)

# Where nothing else is said, one kernel is enough.
bench_kernels = $(if $(filter file,$(origin KERNELS)),6.12,$(KERNELS))
TRANSPORT ?= nym-stream

bench:
	@qemu/install-deps build run bench
	+@for kernel in $(bench_kernels); do bench/run -k $$kernel || exit; done

profile:
	@qemu/install-deps build run bench
	+@for kernel in $(bench_kernels); do \
		bench/run -k $$kernel --profile --measure same-thread --size 64 \
			--transport $(TRANSPORT) || exit; \
	done

# Build all that the demo needs and boot it, with COMMAND or a shell.
boot:
	+@kernel=$$(qemu/kernel $(DEMO_KERNEL)) && module=$$(qemu/module $$kernel) && \
	$(MAKE) -s --no-print-directory -C userspace-demo OUT=$(CURDIR)/build/demo && \
	qemu/run --strict -k $$kernel -m $$module -- $(COMMAND)

check:
	+@KERNELS='$(KERNELS)' TESTS='$(TESTS)' qemu/check

# Emulated, PREEMPT_RT takes twice as long as the others, and more on a busy machine.
check-all:
	+@KERNELS='$(ALL_KERNELS)' TESTS='$(TESTS)' CHECK_TIMEOUT=3600 TEST_TIMEOUT=900 qemu/check

languages:
	@qemu/install-deps languages
	+@$(MAKE) $(if $(filter 1,$(V)),,-s) --no-print-directory -C languages \
		OUT=$(CURDIR)/build/languages style all

# Where nothing else is said, on one kernel: what they use of it has other tests.
check-languages: languages
	+@KERNELS='$(bench_kernels)' TESTS=languages.sh LANGUAGES=1 CHECK_TIMEOUT=1200 \
		TEST_TIMEOUT=900 qemu/check

# Likewise. Emulated, a database takes its time.
check-programs:
	@qemu/install-deps programs
	+@KERNELS='$(bench_kernels)' TESTS=programs.sh PROGRAMS=1 CHECK_TIMEOUT=2400 \
		TEST_TIMEOUT=2000 qemu/check

# How many calls of two of them there are in 10^9 instructions, on nym and on AF_UNIX.
bench-programs:
	@qemu/install-deps build run programs
	+@kernel=$$(qemu/kernel $(firstword $(bench_kernels))) && \
	module=$$(qemu/module $$kernel) && $(MAKE) -s --no-print-directory tools && \
	$(MAKE) -s --no-print-directory selftests PROGRAMS=1 && \
	qemu/run --strict --count -k $$kernel -m $$module -- \
		build/selftests/nym/programs.sh rates

# Everything again where memory, locks and leaks are watched, or data races. A
# kernel is built for it the first time. It is some times slower.
watched = TESTS='$(TESTS)' CHECK_TIMEOUT=3600 TEST_TIMEOUT=1200 TEST_SLOWER=8

# Emulated processors spend much of their time waiting for each other: only tests
# of what happens at the same time have two.
apart = PARTS=2 RACES='await_test dgram_flow_test fair_test fuzz.sh load_test race_test \
	restart_test rights_race_test share_test stress_test unload_test waits_test'

check-debug:
	+@kernel=$$(qemu/debug-kernel kasan) && KERNELS=$$kernel $(watched) $(apart) qemu/check

check-races:
	+@kernel=$$(qemu/debug-kernel kcsan) && KERNELS=$$kernel $(watched) PARTS=2 qemu/check

# What a maintainer of the kernel would be sent, signed off by whoever runs this.
# Without KSRC it is against Debian's source of 6.12.
kernel-patch:
	@qemu/install-deps build patch
	@source=$(if $(KSRC),$(KSRC),$$(qemu/source)) && \
	kernel-patch/make-series $$source build/kernel-patch && ls build/kernel-patch

# Its author is nobody. It is checked as text, then a kernel is built from it, patch by
# patch, the first time; that one runs the tests. Documentation/testing.rst has more.
check-kernel-patch:
	@qemu/install-deps build patch docs
	+@source=$$(qemu/source) && series=build/check-kernel-patch && \
	GIT_AUTHOR_NAME=nym GIT_AUTHOR_EMAIL=nym@localhost GIT_COMMITTER_NAME=nym \
		GIT_COMMITTER_EMAIL=nym@localhost kernel-patch/make-series $$source $$series && \
	kernel-patch/check $$source $$series && \
	kernel=$$(qemu/debug-kernel in-tree $$series) && \
	KERNELS=$$kernel $(watched) $(apart) qemu/check

coverage:
	+@$(watched) $(apart) qemu/coverage

# So many calls; without a seed, other ones each time.
CALLS ?= 10000000
SEED ?=

fuzz:
	@qemu/install-deps
	+@kernel=$$(qemu/debug-kernel kasan) && release=$${kernel##*/} && \
	$(MAKE) --no-print-directory modules KDIR=$$kernel/usr/src/linux-headers-$$release && \
	$(MAKE) --no-print-directory selftests && \
	qemu/run --strict -t 0 -k $$kernel -m build/$$release/module/nym.ko \
		--append 'kunit.enable=0' -- \
		fuzz/guest --calls $(CALLS) $(if $(SEED),--seed $(SEED))

fuzz-others:
	@qemu/install-deps build run fuzz
	+@kernel=$$(qemu/kernel $(DEMO_KERNEL)) && release=$${kernel##*/} && \
	$(MAKE) --no-print-directory modules KDIR=$$kernel/usr/src/linux-headers-$$release && \
	mkdir -p build/fuzz && \
	$(CC) -O2 -Wall -Wextra -shared -fPIC -Imodule/include/uapi -o build/fuzz/instead.so \
		fuzz/others/instead.c && \
	qemu/run --strict -t 1800 -k $$kernel -m build/$$release/module/nym.ko -- fuzz/others/run

check-packages:
	+@KERNELS='$(KERNELS)' qemu/check-packages

lint:
	+@KERNELS='$(KERNELS)' qemu/lint

docs:
	@qemu/docs

clean:
	rm -rf build

.PHONY: all help modules tools install install-user uninstall selftests languages demo shell boot \
	scale bench profile check check-all check-languages check-programs bench-programs check-debug \
	check-packages check-races kernel-patch check-kernel-patch coverage fuzz fuzz-others lint \
	docs clean
