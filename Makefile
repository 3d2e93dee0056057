# roomcast. `make run` serves the demo on port 3000 and `make test` runs every test; on Debian both
# install what is missing first. `make` alone only builds: build/roomcast and build/client.
#
# The sources are one graph, without recursion. Each flavour (release, asan, tsan, fuzz) has its own
# build directory, which remembers its flags, so that nothing stale is ever linked.
PREFIX     ?= /usr/local
SYSCONFDIR ?= $(if $(filter /usr,$(PREFIX)),/etc,$(PREFIX)/etc)
STATEDIR   ?= $(if $(filter /usr,$(PREFIX)),/var/lib,$(PREFIX)/var/lib)
BUILD      := build/release
PKG_CONFIG ?= pkg-config
FUZZ_TIME  ?= 30
Q          := $(if $(V),,@)
ifeq ($(origin CC),default)
CC := gcc
endif

# Newer Debian calls it msgpack-c.
MSGPACK := $(shell $(PKG_CONFIG) --exists msgpack-c 2>/dev/null && echo msgpack-c || echo msgpack)
PKGS    := libevent_core libevent_extra jose jansson libssl libcrypto libcrypt zlib sqlite3 libmariadb hiredis $(MSGPACK)

WARN := -Wall -Wextra -Wpedantic -Wshadow -Wvla -Wundef -Wformat=2 -Wcast-qual \
        -Wpointer-arith -Wwrite-strings -Wmissing-prototypes -Wstrict-prototypes \
        -Wold-style-definition -Wredundant-decls -Wnested-externs -Wswitch-enum \
        -Wimplicit-fallthrough -Wnull-dereference -Wdouble-promotion \
        -Wconversion -Wno-sign-conversion
ifneq (,$(findstring clang,$(shell $(CC) --version 2>/dev/null)))
WARN += -Wunreachable-code -Wthread-safety
else
WARN += -Wlogical-op -Wduplicated-cond -Wduplicated-branches -Wjump-misses-init
endif
WARN += $(if $(WERROR),-Werror)

# CPPFLAGS, CFLAGS, LDFLAGS and LDLIBS stay the packager's; ours are ALL_*. A missing pkg-config is
# told by the rule of $(BUILD)/flags, not here: `make run` comes through here before it installs it.
OPT          ?= -O2 -g -fno-omit-frame-pointer
HARDEN       := $(if $(SAN),,-fstack-protector-strong -U_FORTIFY_SOURCE -D_FORTIFY_SOURCE=2 -fPIE)
ALL_CPPFLAGS := -Iinclude -D_GNU_SOURCE -DRC_SYSCONFDIR='"$(SYSCONFDIR)"' $(if $(SHIM),-isystem tests/shim) \
                $(shell $(PKG_CONFIG) --cflags $(PKGS) 2>/dev/null) $(CPPFLAGS)
ALL_CFLAGS   := -std=c11 -pthread $(WARN) $(OPT) $(HARDEN) $(SAN) $(CFLAGS)
ALL_LDFLAGS  := -pthread $(SAN) $(if $(SAN),,-pie -Wl,-z,relro,-z,now) -Wl,--as-needed $(LDFLAGS)
ALL_LDLIBS   := $(shell $(PKG_CONFIG) --libs $(PKGS) 2>/dev/null) $(LDLIBS)

objects  = $(patsubst %.c,$(BUILD)/%.o,$(sort $(wildcard $1)))
programs = $(patsubst %.c,$(BUILD)/%,$(sort $(wildcard $1)))
LIB     := $(BUILD)/libroomcast.a
DAEMON  := $(BUILD)/roomcast $(if $(filter build/release,$(BUILD)),build/roomcast)
OBJS    := $(call objects,src/*/*.c)
UNIT    := $(call objects,tests/unit/*/*.c) $(if $(SHIM),$(BUILD)/tests/shim/main.o)
FUZZERS := $(call programs,tests/fuzz/fuzz_*.c)
STRESS  := $(call programs,tests/stress/*.c)
MICRO   := $(call programs,bench/micro/*.c)
BENCHES := $(MICRO) $(addprefix $(BUILD)/bench-,load floor micro store-floor)
CLIENT  := build/client/socket.io.min.js
NPM     := tests/node_modules/.package-lock.json

all: $(DAEMON) $(CLIENT)

$(BUILD)/flags: FORCE
	$(if $(MISSING),$(error missing: $(MISSING). `make deps` installs these Debian packages))
	$(shell mkdir -p $(@D))$(file >$@.new,$(CC) $(ALL_CPPFLAGS) $(ALL_CFLAGS) $(ALL_LDFLAGS) $(FUZZ_LD) $(ALL_LDLIBS))
	@if cmp -s $@.new $@; then rm $@.new; else mv $@.new $@; fi

$(BUILD)/%.o: %.c Makefile $(BUILD)/flags
	@mkdir -p $(@D)
	@echo "  CC    $<"
	$(Q)$(CC) $(ALL_CPPFLAGS) $(ALL_CFLAGS) -MMD -MP -c -o $@ $<

$(LIB): $(OBJS)
	@echo "  AR    $@"
	$(Q)rm -f $@ && $(AR) rcs $@ $^

LINK = @echo "  LD    $@"; $(CC) $(ALL_LDFLAGS) $(FUZZ_LD) -o $@ $^ $(ALL_LDLIBS)
$(BUILD)/roomcast: $(call objects,src/*.c) $(LIB) ; $(LINK)
$(BUILD)/bench-load: $(call objects,bench/load/*.c) ; $(LINK)
$(BUILD)/bench-floor: $(call objects,bench/floor/*.c) ; $(LINK)
$(BUILD)/bench-store-floor: $(call objects,bench/store/*.c) $(BUILD)/bench/load/hist.o ; $(LINK)
$(BUILD)/bench-micro: $(call objects,bench/micro/ops/*.c) $(LIB) ; $(LINK)
$(MICRO) $(STRESS): %: %.o $(LIB) ; $(LINK)
# The fuzz flavour brings libFuzzer's main, the others replay the corpus.
$(FUZZERS): %: %.o $(if $(FUZZ_LD),,$(BUILD)/tests/fuzz/replay.o) $(LIB) ; $(LINK)
$(BUILD)/unit-tests: $(UNIT) $(LIB)
	$(LINK) $(if $(SHIM),,$(shell $(PKG_CONFIG) --libs criterion))
build/roomcast: build/release/roomcast ; @ln -f $< $@

# npm installs beside the sources' copies of its files, so that the source tree stays clean.
npm_ci = @rm -rf $2 && mkdir -p $2 && cp $1/package.json $1/package-lock.json $1/.npmrc $2/ && \
	echo "  NPM   $2" && cd $2 && npm ci --ignore-scripts --loglevel=error
npm_files = $(addprefix $1/,package.json package-lock.json .npmrc)
$(CLIENT): $(call npm_files,web)
	$(if $(shell command -v npm 2>/dev/null),,$(error missing: npm. `make deps` installs it))
	$(call npm_ci,web,build/npm-client)
	@mkdir -p $(@D) && cp build/npm-client/node_modules/socket.io-client/dist/socket.io*.js* $(@D)/
	@touch $@
$(NPM): $(call npm_files,tests)
	$(call npm_ci,tests,build/npm)
	@rm -rf tests/node_modules && ln -s ../build/npm/node_modules tests/node_modules
	@touch $@

# What is missing, found out when a rule asks for it: by pkg-config name or by command.
need_lib = $(if $(shell $(PKG_CONFIG) --exists $1 2>/dev/null && echo yes),,$2)
need_cmd = $(if $(shell command -v $1 2>/dev/null),,$(or $2,$1))
need_py  = $(if $(shell /usr/bin/python3 -c 'import $1' 2>/dev/null && echo yes),,$2)
MISSING      = $(strip $(call need_cmd,$(PKG_CONFIG),pkg-config) \
               $(call need_lib,libevent_core libevent_extra,libevent-dev) \
               $(call need_lib,jansson,libjansson-dev) $(call need_lib,jose,libjose-dev) \
               $(call need_lib,libssl libcrypto,libssl-dev) $(call need_lib,zlib,zlib1g-dev) \
               $(call need_lib,libcrypt,libcrypt-dev) \
               $(call need_lib,$(MSGPACK),libmsgpack-dev) \
               $(call need_lib,sqlite3,libsqlite3-dev) $(call need_lib,libmariadb,libmariadb-dev) \
               $(call need_lib,hiredis,libhiredis-dev))
MISSING_RUN  = $(MISSING) $(call need_cmd,npm)
MISSING_CLUSTER = $(MISSING_RUN) $(call need_cmd,redis-server) $(call need_cmd,/usr/sbin/nginx,nginx) \
               $(call need_cmd,/usr/sbin/mariadbd,mariadb-server-core) $(call need_cmd,mariadb,mariadb-client-core)
MISSING_TEST = $(MISSING_RUN) $(call need_lib,criterion,libcriterion-dev) $(call need_cmd,chromium) \
               $(call need_py,websockets,python3-websockets) \
               $(call need_py,socketio,python3-socketio) $(call need_py,aiohttp,python3-aiohttp) \
               $(call need_py,requests,python3-requests) \
               $(call need_py,redis,python3-redis) $(call need_py,msgpack,python3-msgpack) \
               $(call need_py,websocket,python3-websocket) $(call need_cmd,curl) \
               $(call need_cmd,sqlite3) $(call need_cmd,openssl) $(call need_cmd,ip,iproute2) \
               $(if $(wildcard /usr/lib/*/faketime/libfaketimeMT.so.1),,libfaketime) \
               $(call need_cmd,/usr/sbin/mariadbd,mariadb-server-core) \
               $(call need_cmd,mariadb,mariadb-client-core) $(call need_cmd,redis-server) \
               $(call need_cmd,/usr/sbin/nginx,nginx) \
               $(if $(wildcard /usr/lib/nginx/modules/ngx_stream_module.so),,libnginx-mod-stream)
MISSING_DEV  = $(MISSING_TEST) $(foreach c,clang clang-format clang-tidy cppcheck,$(call need_cmd,$c)) \
               $(if $(wildcard /usr/lib/llvm-*/lib/clang/*/lib/linux/libclang_rt.fuzzer-*.a),,libclang-rt-dev)
apt_install  = $(if $(strip $1),@.ci/apt-install $(strip $1))
deps: ; $(call apt_install,$(MISSING_RUN))
deps-cluster: ; $(call apt_install,$(MISSING_CLUSTER))
deps-test: ; $(call apt_install,$(MISSING_TEST))
deps-dev: ; $(call apt_install,$(MISSING_DEV))

# After an installation make starts anew: what pkg-config says is read at the start. On all cores,
# unless the caller has said how many.
AGAIN = +$(MAKE) --no-print-directory $(if $(findstring jobserver,$(MAKEFLAGS)),,-j$(shell nproc))
run: deps
	$(AGAIN) all
	build/roomcast -c conf/roomcast.ini
# Three nodes, nginx, Redis and MariaDB: conf/examples/cluster. PORT=8080 for another port than 3000.
run-cluster: deps-cluster
	$(AGAIN) all
	conf/examples/cluster/run.sh $(PORT)
test: deps-test
	$(AGAIN) check
SUITES ?= unit replay stress e2e
check: $(DAEMON) $(CLIENT) $(NPM) $(BUILD)/unit-tests $(FUZZERS) $(STRESS) $(addprefix $(BUILD)/bench-,load floor)
	tests/run.sh $(BUILD) $(SUITES)
# The e2e tests that also hold for the npm server, run against it: so they are known to be right.
test-reference: deps-test
	$(AGAIN) $(NPM)
	tests/run.sh $(BUILD) reference
everything: $(DAEMON) $(BUILD)/unit-tests $(FUZZERS) $(STRESS) $(BENCHES)
# Side by side with the floor and the peers: bench-quick for a first look, bench-all with all peers.
bench bench-quick bench-all: all $(BUILD)/bench-micro
	bench/run.sh $(patsubst bench-%,%,$(@:bench=full))
# Stored and acknowledged messages per second, beside bare SQLite; under two minutes.
bench-store: $(DAEMON)
	bench/store/run.sh
# What a message from node to node costs, beside Node servers with the Redis adapter; under six minutes.
bench-cluster: $(DAEMON)
	$(call apt_install,$(call need_cmd,redis-server))
	bench/cluster/run.sh
# Instructions of the parts, beside those in bench/micro/baseline.txt.
bench-micro: $(BENCHES)
	bench/micro/run.sh $(BUILD)
	$(BUILD)/bench-micro million
	@for b in $(MICRO); do echo "== $$b"; $$b || exit 1; done

# With tests/shim instead of Criterion (its header says why). gcc's sanitizers make its warnings
# unreliable, so there is no WERROR.
SAN_OPT  := -O1 -g -fno-omit-frame-pointer
SAN_MAKE  = $(AGAIN) check SHIM=1 WERROR= OPT="$(SAN_OPT)" SUITES="unit replay stress smoke $1"
asan: deps
	$(call SAN_MAKE) BUILD=build/asan SAN="-fsanitize=address,undefined -fno-sanitize-recover=all"
tsan: deps
	$(call SAN_MAKE,races) BUILD=build/tsan SAN=-fsanitize=thread
fuzz: deps-dev
	$(AGAIN) fuzz-run BUILD=build/fuzz CC=clang WERROR= OPT="$(SAN_OPT)" \
	    SAN="-fsanitize=fuzzer-no-link,address,undefined -fno-sanitize-recover=all" \
	    FUZZ_LD=-fsanitize=fuzzer,address,undefined
fuzz-run: $(FUZZERS)
	FUZZ_TIME=$(FUZZ_TIME) tests/run.sh $(BUILD) fuzz

CFILES = $(shell find src include tests bench -name '*.[ch]')
format:       ; @clang-format -i $(CFILES)
format-check: ; @clang-format --dry-run --Werror $(CFILES)
lint: lint-rules lint-cppcheck lint-tidy
lint-rules: $(DAEMON)
	@for s in tests/lint/check-*.sh; do echo "== $$s"; $$s || bad=1; done; exit $${bad:-0}
lint-cppcheck:
	cppcheck --std=c11 --enable=warning,performance,portability --inline-suppr \
	    --error-exitcode=1 --quiet -Iinclude src
lint-tidy:
	@printf '%s\n' $(sort $(wildcard src/*.c src/*/*.c)) | xargs -t -P$$(nproc) -I{} \
	    clang-tidy --quiet {} -- -std=c11 $(ALL_CPPFLAGS)
analyze: ; scan-build --status-bugs -o build/scan $(MAKE) BUILD=build/scan-obj build/scan-obj/roomcast

SHARE = $(abspath $(DESTDIR)$(PREFIX)/share)
# Paths of this installation, and the keys that this executable knows.
$(BUILD)/man/%: docs/man/% $(BUILD)/roomcast FORCE
	@mkdir -p $(@D)
	sed -e 's|@PREFIX@|$(PREFIX)|; s|@SYSCONFDIR@|$(SYSCONFDIR)|; s|@STATEDIR@|$(STATEDIR)|' $< >$@
	@if grep -q '^@KEYS@$$' $@; then $(BUILD)/roomcast --print-man >$@.keys && \
	    sed -i -e '/^@KEYS@$$/r $@.keys' -e '/^@KEYS@$$/d' $@; fi
man: $(BUILD)/man/roomcast.8 $(BUILD)/man/roomcast.ini.5
install: all man
	install -d $(DESTDIR)$(PREFIX)/bin $(SHARE)/roomcast/client $(SHARE)/doc/roomcast
	install -D -m 644 $(BUILD)/man/roomcast.8 $(SHARE)/man/man8/roomcast.8
	install -D -m 644 $(BUILD)/man/roomcast.ini.5 $(SHARE)/man/man5/roomcast.ini.5
	install -m 755 $(BUILD)/roomcast $(DESTDIR)$(PREFIX)/bin/roomcast
	install -m 644 build/client/socket.io* $(SHARE)/roomcast/client/
	cd web && find . -type f ! -name '.*' ! -name 'package*.json' \
	    -exec install -D -m 644 {} $(SHARE)/roomcast/web/{} \;
	install -d $(SHARE)/doc/roomcast/conf $(SHARE)/doc/roomcast/bench
	cp -R README.md LICENSE docs $(SHARE)/doc/roomcast/ && rm -r $(SHARE)/doc/roomcast/docs/man
	cp -R conf/examples conf/nginx.conf conf/grafana conf/prometheus-alerts.yml $(SHARE)/doc/roomcast/conf/
	cp -R bench/README.md bench/results $(SHARE)/doc/roomcast/bench/
	install -d $(DESTDIR)$(PREFIX)/lib/systemd/system
	sed -e 's|@PREFIX@|$(PREFIX)|; s|@SYSCONFDIR@|$(SYSCONFDIR)|; s|@STATEDIR@|$(STATEDIR)|' conf/roomcast.service \
	    >$(DESTDIR)$(PREFIX)/lib/systemd/system/roomcast.service
	install -d $(DESTDIR)$(SYSCONFDIR)/roomcast
	install -d -m 750 $(DESTDIR)$(STATEDIR)/roomcast
	f=$(DESTDIR)$(SYSCONFDIR)/roomcast/roomcast.ini; [ ! -e $$f ] || f=$$f.new; \
	    sed -e 's|^static_root = .*|static_root = $(PREFIX)/share/roomcast/web|' \
	        -e 's|^path = \.\..*|path = $(STATEDIR)/roomcast/messages.sqlite|' \
	        -e 's|^dev_tokens_path = .*|;dev_tokens_path =|' conf/roomcast.ini >$$f
# build/deb/roomcast_VERSION_ARCHITECTURE.deb; test-deb installs and removes it in a fresh Debian, as root.
VERSION = $(shell sed -n 's/^\#define RC_VERSION "\(.*\)"$$/\1/p' src/server.h)
deb: deps
	$(call apt_install,$(call need_cmd,dpkg-shlibdeps,dpkg-dev))
	rm -rf build/deb/stage build/deb/*.deb
	$(AGAIN) install BUILD=build/deb PREFIX=/usr SYSCONFDIR=/etc STATEDIR=/var/lib DESTDIR=build/deb/stage
	conf/debian/build.sh build/deb/stage $(VERSION)
test-deb: deb
	$(call apt_install,$(call need_cmd,/usr/sbin/debootstrap,debootstrap) $(call need_cmd,curl))
	tests/package.sh build/deb/roomcast_*.deb
clean: ; rm -rf build tests/node_modules
FORCE:
.PHONY: all run run-cluster test test-reference check everything bench bench-quick bench-all bench-micro bench-store bench-cluster asan \
        tsan fuzz fuzz-run format format-check lint lint-rules lint-cppcheck lint-tidy analyze man install deb test-deb clean deps deps-cluster deps-test \
        deps-dev FORCE
-include $(shell find $(BUILD) -name '*.d' 2>/dev/null)
