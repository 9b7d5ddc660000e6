# finetune: how it is built. `make help` lists the targets.

# --- settings: any of them can be given, as in `make CC=clang WERROR=1` ------------------------
VERSION = 0.1.0
PREFIX  ?= /usr/local
DESTDIR ?=
BINDIR  ?= $(PREFIX)/bin# ... the command `finetune`
LUADIR  ?= $(PREFIX)/share/lua/5.4# where `make install` puts finetune/*.lua
LIBDIR  ?= $(PREFIX)/lib/lua/5.4# ... and finetune/core.so
INCDIR  ?= $(PREFIX)/include# ... and finetune.h
BUILD   ?= build# objects, stamps, harness programs, the tarball
WERROR  ?=# 1: warnings are errors
CFLAGS  ?= -O2 -g
LUA     ?= $(shell for l in lua5.4 lua54 lua-5.4 lua; do command -v $$l && break; done)
BUSTED  ?= busted
SPEC    ?= spec# what `make test` runs: a folder or one file
CLANG   ?= clang# for the sanitizers and the fuzzers
FUZZ_SECONDS ?= 60# for each fuzzer
PKG_CONFIG   ?= pkg-config
V ?=# 1: print every command

WARNINGS = -Wall -Wextra -Wpedantic -Wshadow -Wstrict-prototypes -Wmissing-prototypes \
           -Wconversion -Wcast-qual -Wwrite-strings -Wvla

ifeq ($(shell uname),Darwin)
SHARED = -bundle -undefined dynamic_lookup
EXPORT =
else
SHARED = -shared -Wl,-z,nodelete -Wl,-z,relro,-z,now -Wl,--as-needed
EXPORT = -rdynamic
endif

# Lua, libcurl and zlib, as pkg-config knows them, unless the command line says it (as LuaRocks does).
LUA_PC := $(shell for p in lua5.4 lua-5.4 lua54 'lua >= 5.4'; do \
            $(PKG_CONFIG) --exists "$$p" 2>/dev/null && { echo $${p%% *}; break; }; done)
ifndef LUA_CFLAGS
LUA_CFLAGS := $(shell $(PKG_CONFIG) --cflags $(LUA_PC) 2>/dev/null)
endif
ifndef CURL_LIBS
CURL_CFLAGS := $(shell $(PKG_CONFIG) --cflags libcurl 2>/dev/null)
CURL_LIBS := $(or $(shell $(PKG_CONFIG) --libs libcurl 2>/dev/null),-lcurl)
endif
ifndef ZLIB_LIBS
ZLIB_CFLAGS := $(shell $(PKG_CONFIG) --cflags zlib 2>/dev/null)
ZLIB_LIBS := $(or $(shell $(PKG_CONFIG) --libs zlib 2>/dev/null),-lz)
endif
LUA_LIBS ?= $(shell $(PKG_CONFIG) --libs $(LUA_PC) 2>/dev/null)# for C hosts only
LUA_LIBDIR = $(shell $(PKG_CONFIG) --variable=libdir $(LUA_PC) 2>/dev/null)

# --- what there is to build ------------------------------------------------------------------
PROGRAMS = csrc/run.c csrc/trainer.c csrc/slots.c # finetune-run, a program of its own
SOURCES := $(filter-out $(PROGRAMS),$(sort $(wildcard csrc/*.c)))
OBJECTS := $(SOURCES:csrc/%.c=$(BUILD)/obj/%.o)
CORE    ?= lua/finetune/core.so
RUNNER  ?= $(dir $(CORE))finetune-run
RUNNER_OBJECTS = $(patsubst csrc/%.c,$(BUILD)/obj/%.o,$(wildcard csrc/run.c csrc/trainer.c csrc/slots.c csrc/jobdir.c \
                   csrc/outfile.c csrc/scan*.c csrc/walk.c))
C_FILES  = $(wildcard csrc/*.[ch] examples/*.c spec/c/*.[ch] spec/fuzz/*.[ch] spec/bench/*.[ch])
ALL_CFLAGS = -std=c99 -fPIC -fvisibility=hidden -D_GNU_SOURCE $(WARNINGS) $(if $(WERROR),-Werror) \
             $(CFLAGS) $(SAN) $(LUA_CFLAGS) $(CURL_CFLAGS) $(ZLIB_CFLAGS)
Q   = $(if $(V),,@)
say = $(if $(V),,@printf '  %-6s %s\n' '$1' '$2')

.PHONY: all demo test test-trl deps lint format layers asan valgrind oom tsan fuzz bench coverage \
        install dist clean help headers FORCE
.DELETE_ON_ERROR:

all: headers $(CORE) $(RUNNER) ## build lua/finetune/core.so and finetune-run in the tree

demo: ## set up (apt, where something is missing), build, and run the main job
	@CC="$(CC)" .ci/setup demo
	@$(MAKE) --no-print-directory all
	@$(MAKE) --no-print-directory run-demo

test: ## set up, build, and run the tests; the last line counts them
	@CC="$(CC)" .ci/setup test
	@$(MAKE) --no-print-directory all
	@$(MAKE) --no-print-directory run-test

# What test-trl installs is of 6 GB; `make clean` removes it with BUILD.
TRL ?= $(BUILD)/trl# its virtual environment of Python
test-trl: all ## the recipe trl with the real TRL (pip, 6 GB): a tiny model, 20 steps on the CPU
	@test -e $(TRL)/ready || { python3 -m venv $(TRL) && \
	  $(TRL)/bin/pip install --quiet -r spec/support/trl/requirements.txt && touch $(TRL)/ready; }
	@PATH="$(abspath $(TRL))/bin:$$PATH" $(LUA) spec/support/trl/run.lua

deps: ## only set up: everything that building, testing and checking need
	@CC="$(CC)" .ci/setup all

# A make of its own, because before the set-up this one may have found no Lua.
.PHONY: run-demo run-test
run-demo:
	@$(LUA) examples/demo.lua
run-test:
	@$(BUSTED) --lua=$(LUA) $(SPEC)

headers:
	@test -n "$(LUA_PC)$(filter command%,$(origin LUA_CFLAGS))" || { \
	  echo "finetune: no Lua 5.4 for pkg-config: \`make deps\` installs what is missing" >&2; exit 1; }

$(CORE): $(OBJECTS) $(BUILD)/flags
	@mkdir -p $(@D)
	$(call say,link,$@)
	$(Q)$(CC) $(CFLAGS) $(SAN) $(SHARED) $(LDFLAGS) -o $@ $(OBJECTS) $(CURL_LIBS) $(ZLIB_LIBS) -lm

$(RUNNER): $(RUNNER_OBJECTS) $(BUILD)/flags
	@mkdir -p $(@D)
	$(call say,link,$@)
	$(Q)$(CC) $(CFLAGS) $(SAN) $(LDFLAGS) -o $@ $(RUNNER_OBJECTS)

$(BUILD)/obj/%.o: csrc/%.c $(BUILD)/flags
	@mkdir -p $(@D)
	$(call say,$(CC),$<)
	$(Q)$(CC) $(ALL_CFLAGS) -MMD -MP -c -o $@ $<

# Rewritten only when the flags or the list of sources change: then everything is built again.
$(BUILD)/flags: FORCE
	@mkdir -p $(@D)
	@echo '$(CC) $(ALL_CFLAGS) $(SHARED) $(LDFLAGS) $(CURL_LIBS) $(ZLIB_LIBS) $(SOURCES)' | \
	  { cat > $@.new; cmp -s $@.new $@ && rm $@.new || mv $@.new $@; }

-include $(wildcard $(BUILD)/obj/*.d)

# --- checks ----------------------------------------------------------------------------------
lint: layers ## clang-format, luacheck, cppcheck and layers
	clang-format --dry-run -Werror $(C_FILES)
	luacheck --quiet .
	cppcheck --quiet --std=c99 --enable=warning,performance,portability --inline-suppr \
	  --suppress=missingIncludeSystem --error-exitcode=1 -D__linux__ csrc

format: ## let clang-format rewrite the C files
	clang-format -i $(C_FILES)

layers: ## who may include what (the table is in .ci/layers.lua)
	@$(LUA) .ci/layers.lua

# The C harness: each spec/c/harness_NAME.c becomes a program with csrc and Lua in it.
# oom fails every allocation in turn, threads runs a Lua state a thread; asan runs all the others.
HARNESS := $(patsubst spec/c/%.c,%,$(wildcard spec/c/harness_*.c))
OOM     := $(filter harness_oom%,$(HARNESS))
THREADS := $(filter harness_threads%,$(HARNESS))
PLAIN   := $(filter-out $(OOM) $(THREADS),$(HARNESS))
UBSAN    = -fsanitize=undefined -fno-sanitize-recover=all -fno-omit-frame-pointer
CHECKED  = CFLAGS='-O1 -g'
ENV_ASAN = ASAN_OPTIONS=detect_leaks=1:abort_on_error=0 UBSAN_OPTIONS=print_stacktrace=1

asan: ## the C harness under the address, undefined behaviour and leak sanitizers
	@$(MAKE) --no-print-directory run-harness NAMES='$(PLAIN)' BUILD=$(BUILD)/asan $(CHECKED) \
	  CC=$(CLANG) SAN='-fsanitize=address $(UBSAN)' RUN='env $(ENV_ASAN)'

oom: ## every allocation fails in turn, under the same sanitizers
	@$(MAKE) --no-print-directory run-harness NAMES='$(OOM)' BUILD=$(BUILD)/asan $(CHECKED) \
	  CC=$(CLANG) SAN='-fsanitize=address $(UBSAN)' RUN='env $(ENV_ASAN)'

tsan: ## threads with a Lua state each, under the thread sanitizer
	@$(MAKE) --no-print-directory run-harness NAMES='$(THREADS)' BUILD=$(BUILD)/tsan $(CHECKED) \
	  CC=$(CLANG) SAN='-fsanitize=thread -fno-omit-frame-pointer' RUN='env TSAN_OPTIONS=halt_on_error=1'

valgrind: ## the C harness under valgrind
	@$(MAKE) --no-print-directory run-harness NAMES='$(PLAIN)' BUILD=$(BUILD)/valgrind $(CHECKED) \
	  RUN='valgrind --quiet --child-silent-after-fork=yes --leak-check=full --errors-for-leak-kinds=definite --error-exitcode=9'

.PHONY: run-harness
run-harness: headers $(addprefix $(BUILD)/,$(NAMES))
	@test -n '$(strip $(NAMES))' || { echo 'finetune: spec/c has no program for this' >&2; exit 1; }
	@for p in $(NAMES); do echo "$(BUILD)/$$p"; $(RUN) $(BUILD)/$$p || exit 1; done

# All of Lua goes in and is exported, because C modules (cjson) take it from the program.
$(BUILD)/harness_%: spec/c/harness_%.c $(wildcard spec/c/*.h) $(OBJECTS) $(BUILD)/flags
	$(call say,link,$@)
	$(Q)$(CC) $(ALL_CFLAGS) -iquote csrc $(LDFLAGS) $(EXPORT) -o $@ $< $(OBJECTS) -Wl,--whole-archive \
	  $(LUA_LIBDIR)/lib$(LUA_PC).a -Wl,--no-whole-archive $(CURL_LIBS) $(ZLIB_LIBS) -lm -ldl -lpthread

FUZZERS := $(patsubst spec/fuzz/%.c,%,$(wildcard spec/fuzz/fuzz_*.c))
fuzz: ## each fuzzer of spec/fuzz for FUZZ_SECONDS
	@$(MAKE) --no-print-directory run-fuzz BUILD=$(BUILD)/fuzz $(CHECKED) CC=$(CLANG) \
	  SAN='-fsanitize=fuzzer-no-link,address $(UBSAN)'

.PHONY: run-fuzz
run-fuzz: headers $(addprefix $(BUILD)/,$(FUZZERS))
	@test -n '$(FUZZERS)' || { echo 'finetune: spec/fuzz has no program' >&2; exit 1; }
	@printf '%s\n' $(FUZZERS) | xargs -P 2 -I NAME sh -c 'b=$(BUILD)/NAME c=$(BUILD)/corpus/NAME; \
	  mkdir -p $$c && $$b -max_total_time=$(FUZZ_SECONDS) -print_final_stats=1 $$c \
	  $$(ls -d spec/fuzz/corpus/NAME 2>/dev/null) >$$b.log 2>&1 || { tail -n 60 $$b.log; exit 255; }; \
	  echo NAME: $$(sed -n "s/^stat::number_of_executed_units: //p" $$b.log) runs'

$(BUILD)/fuzz_%: spec/fuzz/fuzz_%.c $(wildcard spec/fuzz/*.h) $(OBJECTS) $(BUILD)/flags
	$(call say,link,$@)
	$(Q)$(CC) $(ALL_CFLAGS) -fsanitize=fuzzer -iquote csrc $(LDFLAGS) -o $@ $< $(OBJECTS) \
	  $(LUA_LIBDIR)/lib$(LUA_PC).a $(CURL_LIBS) $(ZLIB_LIBS) -lm -ldl -lpthread

bench: all ## ratios against curl and the Node client (spec/bench)
	@CC="$(CC)" $(LUA) spec/bench/run.lua $(SECTIONS)

coverage: ## lines of csrc that the tests run, file by file
	@CC="$(CC)" .ci/setup test
	@$(MAKE) --no-print-directory all BUILD=$(BUILD)/coverage CORE=$(BUILD)/coverage/finetune/core.so \
	  CC=gcc CFLAGS='-O0 -g' SAN=--coverage
	@$(BUSTED) --lua=$(LUA) --cpath='./$(BUILD)/coverage/?.so' $(SPEC)
	@gcov -n -o $(BUILD)/coverage/obj $(SOURCES) | \
	  awk -F"'" '/^File .csrc/ {f = $$2} /^Lines/ && f {sub("Lines executed:", ""); print f "  " $$0; f = ""}'

# --- shipping --------------------------------------------------------------------------------
install: all ## into PREFIX (and DESTDIR)
	@for f in $$(cd lua && find finetune -name '*.lua'); do \
	  install -d "$(DESTDIR)$(LUADIR)/$$(dirname $$f)" && \
	  install -m 644 "lua/$$f" "$(DESTDIR)$(LUADIR)/$$f" || exit 1; done
	@install -d "$(DESTDIR)$(BINDIR)" && install -m 755 lua/finetune/cli/finetune "$(DESTDIR)$(BINDIR)/finetune"
	@for f in $(wildcard providers/*.lua providers/recipes/*.lua); do install -d "$(DESTDIR)$(LUADIR)/finetune/$$(dirname $$f)" && \
	  install -m 644 "$$f" "$(DESTDIR)$(LUADIR)/finetune/$$f" || exit 1; done
	@install -d "$(DESTDIR)$(LIBDIR)/finetune" "$(DESTDIR)$(INCDIR)"
	install -m 755 $(CORE) "$(DESTDIR)$(LIBDIR)/finetune/core.so"
	install -m 755 $(RUNNER) "$(DESTDIR)$(LIBDIR)/finetune/finetune-run"
	install -m 644 csrc/finetune.h "$(DESTDIR)$(INCDIR)/finetune.h"

dist: ## build/finetune-VERSION.tar.gz, from what is committed
	@mkdir -p $(BUILD)
	git archive --prefix=finetune-$(VERSION)/ -o $(BUILD)/finetune-$(VERSION).tar.gz HEAD

clean: ## remove everything that was built
	rm -rf $(BUILD) lua/finetune/core.so lua/finetune/finetune-run

help: ## this list
	@awk -F':.*## ' '/^[a-z-]+:.*## / {printf "  make %-10s %s\n", $$1, $$2}' Makefile
