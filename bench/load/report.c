/* report.c - the table for people and the JSON line for bench/run.sh. */
#include "load.h"

#include <stdio.h>
#include <string.h>

struct quantiles { /* us */
    double p50, p90, p99, p999, max;
};

/* What both forms show, computed once. NAN-free: 0 where there was nothing to divide by. */
struct figures {
    double seconds, cpu_us, user_us, system_us, client_us;
    double server_cores, client_cores, other_cores;
    double per_read, user_instructions, kernel_instructions;
    double accept_user_instructions, accept_kernel_instructions;
    double switches, accept_us, accept_client_us, rss_per_conn, rss_growth, rss_rise;
    double cross_us, server_sent_us, beside_us[LOAD_MAX_BESIDE]; /* see compute() */
    struct quantiles delivery, ack, near, far;
    uint64_t lost, unacked, units;
};

static double ratio(double a, double b)
{
    return b > 0 ? a / b : 0;
}

/* In us; 0 when a server has gone and taken its books along. */
static double since(uint64_t before_ns, uint64_t after_ns)
{
    return after_ns > before_ns ? (double)(after_ns - before_ns) / 1e3 : 0;
}

static void quantiles(const struct load_hist *h, struct quantiles *q)
{
    q->p50 = (double)load_hist_quantile(h, 0.5) / 1e3;
    q->p90 = (double)load_hist_quantile(h, 0.9) / 1e3;
    q->p99 = (double)load_hist_quantile(h, 0.99) / 1e3;
    q->p999 = (double)load_hist_quantile(h, 0.999) / 1e3;
    q->max = (double)h->max / 1e3;
}

/* Of a cluster: the servers' CPU time for each delivery from one node to another, and for each message
 * that was sent; that of others, too. Returns how much these have used in all. */
static double compute_nodes(const struct load *l, const struct load_result *r,
                            struct figures *f, double server_us)
{
    double all_us = 0;

    f->cross_us = ratio(server_us, (double)r->window_crossed);
    f->server_sent_us = ratio(server_us, (double)r->window_sent);
    for (uint32_t i = 0; i < l->o->nbeside; i++) {
        double us = since(r->beside_before[i].server_ns, r->beside_after[i].server_ns);

        f->beside_us[i] = ratio(us, (double)r->window_sent);
        all_us += us;
    }
    quantiles(&l->near, &f->near);
    quantiles(&l->far, &f->far);
    return all_us;
}

static void compute(const struct load *l, const struct load_result *r, struct figures *f)
{
    const struct load_usage *a = &r->before, *b = &r->after;
    double server_us = since(a->server_ns, b->server_ns);
    double client_us = since(a->client_ns, b->client_ns);
    double other_us = since(a->machine_ns, b->machine_ns) - server_us - client_us;
    double user = (double)r->counted.user_cycles;
    double system = (double)r->counted.kernel_cycles;

    /* The kernel's ticks are a poor second: at 250 Hz they miss what is short. */
    if (user + system <= 0) {
        user = since(a->user_ticks, b->user_ticks);
        system = since(a->system_ticks, b->system_ticks);
    }

    memset(f, 0, sizeof(*f));
    other_us -= compute_nodes(l, r, f, server_us);
    f->seconds = (double)(b->at_ns - a->at_ns) / 1e9;
    f->units = l->o->churn > 0 ? r->window_churned : r->window_delivered;
    f->cpu_us = ratio(server_us, (double)f->units);
    f->user_us = f->cpu_us * ratio(user, user + system);
    f->system_us = f->cpu_us - f->user_us;
    f->client_us = ratio(client_us, (double)f->units);
    f->server_cores = ratio(server_us / 1e6, f->seconds);
    f->client_cores = ratio(client_us / 1e6, f->seconds);
    f->other_cores = other_us > 0 ? ratio(other_us / 1e6, f->seconds) : 0;
    f->per_read = ratio((double)f->units, (double)r->window_reads);
    f->user_instructions = ratio((double)r->counted.user_instructions, (double)f->units);
    f->kernel_instructions = ratio((double)r->counted.kernel_instructions, (double)f->units);
    f->switches = ratio(1e3 * since(a->switches, b->switches), (double)f->units);
    a = &r->before_setup;
    b = &r->after_setup;
    if (l->o->churn <= 0) {
        f->accept_us = ratio(since(a->server_ns, b->server_ns), (double)l->nconns);
        f->accept_client_us = ratio(since(a->client_ns, b->client_ns), (double)l->nconns);
        f->accept_user_instructions =
            ratio((double)r->counted_setup.user_instructions, (double)l->nconns);
        f->accept_kernel_instructions =
            ratio((double)r->counted_setup.kernel_instructions, (double)l->nconns);
        f->rss_per_conn =
            ratio((double)r->rss_ready - (double)r->rss_before, (double)l->nconns);
    }
    f->rss_growth = (double)r->rss_end - (double)r->rss_before;
    f->rss_rise = r->rss_peak > r->rss_ready ? (double)(r->rss_peak - r->rss_ready) : 0;
    quantiles(&l->all, &f->delivery);
    quantiles(&l->acks, &f->ack);
    f->unacked = l->o->ack ? l->count.sent - l->count.acked - l->count.refused : 0;
    f->lost =
        l->count.expected > l->count.delivered ? l->count.expected - l->count.delivered : 0;
}

static void latencies(const char *what, const struct quantiles *q)
{
    printf("  %s p50 %.1f  p90 %.1f  p99 %.1f  p99.9 %.1f  max %.1f\n", what, q->p50, q->p90,
           q->p99, q->p999, q->max);
}

static void table(const struct load *l, const struct load_result *r, const struct figures *f)
{
    const char *unit = l->o->churn > 0 ? "join" : "delivery";

    printf("%s: %u rooms x %u members, %u senders each, %u bytes, ",
           load_proto_name(l->o->proto), l->o->rooms, l->o->members, l->o->senders, l->o->size);
    if (l->o->churn > 0)
        printf("churn %g/s", l->o->churn);
    else if (l->o->idle)
        printf("idle");
    else if (l->o->rate > 0)
        printf("%g messages/s", l->o->rate);
    else
        printf("%u outstanding", l->o->outstanding);
    printf(", %.1f s\n", f->seconds);
    if (l->o->churn <= 0)
        printf("  setup        %u connections in %.2f s, server %.1f us, client %.1f us,"
               " resident %.0f bytes each\n",
               l->nconns, r->setup_s, f->accept_us, f->accept_client_us, f->rss_per_conn);
    if (l->o->churn <= 0)
        printf("  messages     sent %llu, expected %llu, delivered %llu\n",
               (unsigned long long)l->count.sent, (unsigned long long)l->count.expected,
               (unsigned long long)l->count.delivered);
    printf("  faults       lost %llu, duplicated %llu, out of order %llu, misrouted %llu,"
           " failed %u\n",
           (unsigned long long)f->lost, (unsigned long long)l->count.duplicated,
           (unsigned long long)l->count.disordered, (unsigned long long)l->count.misrouted,
           l->failed);
    printf("  rate         %.0f %s/s, %.1f MB/s, %.2f for each read\n",
           ratio((double)f->units, f->seconds), l->o->churn > 0 ? "joins" : "deliveries",
           ratio((double)r->window_bytes / 1e6, f->seconds), f->per_read);
    latencies("latency us  ", &f->delivery);
    if (l->o->ack) {
        printf("  acks         acked %llu, refused %llu, missing %llu; %.0f acked/s\n",
               (unsigned long long)l->count.acked, (unsigned long long)l->count.refused,
               (unsigned long long)f->unacked, ratio((double)r->window_acked, f->seconds));
        latencies("until ack us", &f->ack);
    }
    if (l->o->nodes > 1) {
        printf("  crossing     %.0f deliveries/s, server CPU %.3f us each\n",
               ratio((double)r->window_crossed, f->seconds), f->cross_us);
        latencies("  one node us", &f->near);
        latencies("  crossing us", &f->far);
    }
    for (uint32_t i = 0; i < l->o->nbeside; i++)
        printf("  beside %u     CPU %.3f us per message sent\n", i + 1, f->beside_us[i]);
    printf("  server CPU   %.3f us per %s (user %.3f, system %.3f), %.2f cores,"
           " %.3f switches\n",
           f->cpu_us, unit, f->user_us, f->system_us, f->server_cores, f->switches);
    printf("  instructions %.0f user and %.0f kernel per %s\n", f->user_instructions,
           f->kernel_instructions, unit);
    printf("  client CPU   %.3f us per %s, %.2f cores; the rest of the machine %.2f cores\n",
           f->client_us, unit, f->client_cores, f->other_cores);
    printf("  resident     before %.1f MB, all ready %.1f MB, peak %.1f MB, end %.1f MB\n",
           (double)r->rss_before / 1e6, (double)r->rss_ready / 1e6, (double)r->rss_peak / 1e6,
           (double)r->rss_end / 1e6);
    if (l->o->stalled > 0)
        printf("  stalled      %u of %u were closed by the server\n", l->stalled_closed,
               l->o->rooms * l->o->stalled);
}

static void nodes_json(FILE *out, const struct load *l, const struct load_result *r,
                       const struct figures *f)
{
    fprintf(out,
            "\"nodes\":%u,\"crossed\":%llu,\"crossed_per_s\":%.1f,\"sent_per_s\":%.1f,"
            "\"cross_us\":%.4f,\"server_sent_us\":%.4f,",
            l->o->nodes, (unsigned long long)l->count.crossed,
            ratio((double)r->window_crossed, f->seconds),
            ratio((double)r->window_sent, f->seconds), f->cross_us, f->server_sent_us);
    if (l->o->nodes > 1)
        fprintf(out,
                "\"near_p50_us\":%.1f,\"near_p99_us\":%.1f,\"far_p50_us\":%.1f,"
                "\"far_p99_us\":%.1f,",
                f->near.p50, f->near.p99, f->far.p50, f->far.p99);
    for (uint32_t i = 0; i < l->o->nbeside; i++)
        fprintf(out, "\"beside%u_us\":%.4f,", i + 1, f->beside_us[i]);
}

static void json(FILE *out, const struct load *l, const struct load_result *r,
                 const struct figures *f)
{
    const struct load_options *o = l->o;

    fprintf(out,
            "{\"label\":\"%s\",\"proto\":\"%s\",\"rooms\":%u,\"members\":%u,\"senders\":%u,"
            "\"size\":%u,\"rate\":%g,\"outstanding\":%u,\"churn\":%g,\"idle\":%s,"
            "\"seconds\":%.3f,",
            o->label, load_proto_name(o->proto), o->rooms, o->members, o->senders, o->size,
            o->rate, o->outstanding, o->churn, o->idle ? "true" : "false", f->seconds);
    fprintf(out,
            "\"sent\":%llu,\"expected\":%llu,\"delivered\":%llu,\"lost\":%llu,"
            "\"duplicated\":%llu,\"disordered\":%llu,\"misrouted\":%llu,\"failed\":%u,",
            (unsigned long long)l->count.sent, (unsigned long long)l->count.expected,
            (unsigned long long)l->count.delivered, (unsigned long long)f->lost,
            (unsigned long long)l->count.duplicated, (unsigned long long)l->count.disordered,
            (unsigned long long)l->count.misrouted, l->failed);
    fprintf(out,
            "\"per_s\":%.1f,\"p50_us\":%.1f,\"p90_us\":%.1f,\"p99_us\":%.1f,\"p999_us\":%.1f,"
            "\"max_us\":%.1f,",
            ratio((double)f->units, f->seconds), f->delivery.p50, f->delivery.p90,
            f->delivery.p99, f->delivery.p999, f->delivery.max);
    fprintf(out,
            "\"acked\":%llu,\"refused\":%llu,\"unacked\":%llu,\"acked_per_s\":%.1f,"
            "\"ack_p50_us\":%.1f,\"ack_p99_us\":%.1f,\"ack_p999_us\":%.1f,\"ack_max_us\":%.1f,",
            (unsigned long long)l->count.acked, (unsigned long long)l->count.refused,
            (unsigned long long)f->unacked, ratio((double)r->window_acked, f->seconds),
            f->ack.p50, f->ack.p99, f->ack.p999, f->ack.max);
    fprintf(out,
            "\"cpu_us\":%.4f,\"user_us\":%.4f,\"system_us\":%.4f,\"switches\":%.4f,"
            "\"user_insn\":%.1f,\"kernel_insn\":%.1f,\"server_cores\":%.3f,",
            f->cpu_us, f->user_us, f->system_us, f->switches, f->user_instructions,
            f->kernel_instructions, f->server_cores);
    fprintf(out, "\"per_read\":%.2f,", f->per_read);
    nodes_json(out, l, r, f);
    fprintf(out, "\"client_us\":%.4f,\"client_cores\":%.3f,\"other_cores\":%.3f,", f->client_us,
            f->client_cores, f->other_cores);
    fprintf(out, "\"accept_user_insn\":%.0f,\"accept_kernel_insn\":%.0f,",
            f->accept_user_instructions, f->accept_kernel_instructions);
    fprintf(out,
            "\"accept_us\":%.2f,\"accept_client_us\":%.2f,\"setup_s\":%.3f,"
            "\"rss_per_conn\":%.1f,\"rss_before\":%llu,\"rss_ready\":%llu,\"rss_end\":%llu,"
            "\"rss_growth\":%.0f,\"rss_rise\":%.0f,\"stalled\":%u,\"stalled_closed\":%u}\n",
            f->accept_us, f->accept_client_us, r->setup_s, f->rss_per_conn,
            (unsigned long long)r->rss_before, (unsigned long long)r->rss_ready,
            (unsigned long long)r->rss_end, f->rss_growth, f->rss_rise,
            l->o->rooms * l->o->stalled, l->stalled_closed);
}

bool load_report(const struct load *l, const struct load_result *r)
{
    struct figures f;
    FILE *out = stdout;

    compute(l, r, &f);
    table(l, r, &f);
    if (l->o->json != NULL) {
        out = fopen(l->o->json, "ae");
        if (out == NULL) {
            perror(l->o->json);
            return false;
        }
    }
    json(out, l, r, &f);
    if (out != stdout)
        fclose(out);
    if (l->why != NULL)
        fprintf(stderr, "load: %u failures, the first: %s\n", l->failed, l->why);
    if (l->count.refused > 0)
        fprintf(stderr, "load: %llu refused, the first: %s\n",
                (unsigned long long)l->count.refused, l->refusal);
    return f.lost == 0 && f.unacked == 0 && l->count.refused == 0 && l->count.duplicated == 0 &&
           l->count.disordered == 0 && l->count.misrouted == 0 && l->failed == 0;
}
