/*
 * main.c - the load generator: `load --help` lists what it can do, bench/README.md how it is
 * used. It talks to loopback addresses only and every run ends by itself.
 */
#include "load.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <unistd.h>

static struct load load;

static void on_signal(int sig)
{
    (void)sig;
    load.stop = true;
}

static bool raise_descriptors(uint32_t want)
{
    struct rlimit lim;

    if (getrlimit(RLIMIT_NOFILE, &lim) == 0 && lim.rlim_cur < lim.rlim_max) {
        lim.rlim_cur = lim.rlim_max;
        setrlimit(RLIMIT_NOFILE, &lim);
    }
    if (getrlimit(RLIMIT_NOFILE, &lim) == 0 && lim.rlim_cur >= want + 16u)
        return true;
    fprintf(stderr, "load: %u connections need as many descriptors: ulimit -n is %llu\n", want,
            (unsigned long long)lim.rlim_cur);
    return false;
}

int main(int argc, char **argv)
{
    struct sigaction sa = {.sa_handler = on_signal};
    struct load_options o;
    struct load_result r;
    bool ok;

    if (!load_options_parse(&o, argc, argv))
        return 2;
    load.o = &o;
    sigaction(SIGINT, &sa, NULL);
    sigaction(SIGTERM, &sa, NULL);
    sigaction(SIGALRM, &sa, NULL);
    alarm((unsigned)(o.setup_s + 2 * o.settle_s + o.warmup_s + o.duration_s + o.drain_s) + 10);
    /* The default of 50 us of slack would be a part of each latency in the open loop. */
    prctl(PR_SET_TIMERSLACK, 1000UL, 0UL, 0UL, 0UL);
    if (!load_traffic_init(&load)) {
        load_traffic_deinit(&load);
        return 2;
    }
    ok = raise_descriptors(load.nsocks) && load_run(&load, &r);
    if (ok)
        ok = load_report(&load, &r);
    load_traffic_deinit(&load);
    load_tls_deinit(&load);
    return ok ? 0 : 1;
}
