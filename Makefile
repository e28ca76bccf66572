# The short way in; everything is built by Meson. `make help` lists the targets.
BUILD ?= build
ROUNDS ?= 10
CC ?= cc
MESON_FLAGS ?=

# Installs lists of packages. What was configured without them may have left things out.
packages = scripts/setup.sh --check $(1) >/dev/null 2>&1 || { scripts/setup.sh $(1) && \
	{ test ! -d $(BUILD)/meson-private || meson setup --wipe $(BUILD); }; }

.PHONY: all setup build demo check bench install clean format fuzz help

all: ## build build/htrace
	@scripts/setup.sh --check build
	@$(MAKE) --no-print-directory build

setup: ## install what building and testing need
	@$(call packages,build check)

build: # without looking for packages
	@test -f $(BUILD)/build.ninja || meson setup $(BUILD) $(MESON_FLAGS)
	@ninja -C $(BUILD)

demo: ## install what is missing, build, and trace a program that leaks
	@$(call packages,build)
	@$(MAKE) --no-print-directory build
	$(CC) -g -O0 -o $(BUILD)/leakyhandles demo/leakyhandles.c
	$(BUILD)/htrace run -- $(BUILD)/leakyhandles $(ROUNDS)

check: ## install what is missing, build, run every test
	@$(call packages,build check)
	@$(MAKE) --no-print-directory build
	@meson test -C $(BUILD) --no-rebuild --print-errorlogs; tests=$$?; \
	python3 tests/summary.py $(BUILD) && exit $$tests

bench: ## install what is missing, build, measure against other tools
	@$(call packages,build bench)
	@$(MAKE) --no-print-directory build
	@python3 bench/bench.py --build $(BUILD)

install: all ## install binary, man page and shell completions (PREFIX: MESON_FLAGS=--prefix=...)
	meson install -C $(BUILD) --no-rebuild

format: ## lay out all C files as .clang-format says
	@find src agent tests demo bench -name '*.[ch]' | xargs clang-format -i

fuzz: ## fuzz every parser of foreign bytes, SECONDS each (default 60)
	@$(call packages,build fuzz)
	@scripts/fuzz.sh $(SECONDS)

clean: ## remove the build folders
	rm -rf build build-*

help:
	@sed -n 's/^\([a-z]*\):[^#]*## /\1	/p' Makefile
