/* options.c - the command line. Everything has a limit, so that a run ends by itself. */
#include "options.h"

#include <arpa/inet.h>
#include <getopt.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MAX_CONNECTIONS 19500u
#define MIN_SIZE        40u
#define MAX_SIZE        1000000u

static const char *const proto_names[] = {"sio", "poll", "ws", "floor"};

static const char usage[] =
    "usage: load --port PORT [options]        (loopback addresses only)\n"
    "\n"
    "  --host ADDR         127.0.0.0/8, default 127.0.0.1\n"
    "  --port PORT[,PORT...]  of the server; several: nodes of a cluster, over which the "
    "members\n"
    "                      of each room are spread\n"
    "  --apart             senders are at the first node, all others at the others\n"
    "  --far               closed loop: one is done when a member at another node got it\n"
    "  --pid PID[,PID...]  server processes whose CPU time and memory are measured\n"
    "  --beside PID[,PID...]  others, such as Redis: their CPU time for each message that is "
    "sent.\n"
    "                      May be given up to 4 times\n"
    "  --proto NAME        sio    Socket.IO over WebSocket (default)\n"
    "                      poll   Socket.IO over HTTP long-polling\n"
    "                      ws     plain WebSocket, a relay endpoint or with --echo an echo\n"
    "                      floor  bench/floor\n"
    "  --path PATH         plain WebSocket endpoint, default /; {room} in it is replaced by\n"
    "                      the number of the connection's room\n"
    "  --rooms R           default 1\n"
    "  --members M         connections in each room, default 100\n"
    "  --senders K         members of each room that send, default 1\n"
    "  --stalled K         members of each room that never read again once they are in it;\n"
    "                      nothing is expected of them\n"
    "  --size BYTES        message text, 40 to 1000000, default 64\n"
    "  --rate N            open loop: N messages/s from all senders together;\n"
    "                      latency counts from the time the message was due\n"
    "  --outstanding W     closed loop (default, W = 1): each sender keeps W of its own\n"
    "                      messages on the way; one is done when the sender got it itself\n"
    "  --echo              each connection sends and gets its own messages back\n"
    "  --except            the endpoint does not return a message to its sender\n"
    "  --ack               each message asks for an acknowledgement; one is done when that "
    "came.\n"
    "                      Only sio; deliveries are counted as well\n"
    "  --auth JSON         what each client sends with its CONNECT: {\"token\":…}\n"
    "  --tls               by TLS; whose certificate it is does not matter\n"
    "  --idle N            hold N connections, in rooms of M; reports bytes per connection\n"
    "  --churn N           N times a second: connect, join, leave; for the duration\n"
    "  --warmup S          default 1\n"
    "  --duration S        default 5\n"
    "  --settle S          pause between the last join and the first message, default 0.5\n"
    "  --drain S           wait for late messages at the end, default 5\n"
    "  --setup S           time limit for connecting and joining, default 60\n"
    "  --wait HOW          block (default), spin, or nap:MICROSECONDS between two looks\n"
    "  --prefix TEXT       rooms are TEXT0, TEXT1 and so on, default r; 8 bytes at most\n"
    "  --label TEXT        copied into the JSON line\n"
    "  --json FILE         append the JSON line there instead of standard output\n"
    "  --quiet             no progress lines\n"
    "\n"
    "Exit code: 0 all delivered exactly once and in order; 1 not so; 2 usage.\n";

enum {
    OPT_HOST = 256,
    OPT_PORT,
    OPT_PID,
    OPT_PROTO,
    OPT_PATH,
    OPT_ROOMS,
    OPT_MEMBERS,
    OPT_SENDERS,
    OPT_STALLED,
    OPT_SIZE,
    OPT_RATE,
    OPT_OUTSTANDING,
    OPT_ECHO,
    OPT_EXCEPT,
    OPT_APART,
    OPT_FAR,
    OPT_BESIDE,
    OPT_ACK,
    OPT_AUTH,
    OPT_TLS,
    OPT_IDLE,
    OPT_CHURN,
    OPT_WARMUP,
    OPT_DURATION,
    OPT_SETTLE,
    OPT_DRAIN,
    OPT_SETUP,
    OPT_WAIT,
    OPT_LABEL,
    OPT_PREFIX,
    OPT_JSON,
    OPT_QUIET,
    OPT_HELP,
};

static const struct option options[] = {
    {"host", required_argument, NULL, OPT_HOST},
    {"port", required_argument, NULL, OPT_PORT},
    {"pid", required_argument, NULL, OPT_PID},
    {"proto", required_argument, NULL, OPT_PROTO},
    {"path", required_argument, NULL, OPT_PATH},
    {"rooms", required_argument, NULL, OPT_ROOMS},
    {"members", required_argument, NULL, OPT_MEMBERS},
    {"senders", required_argument, NULL, OPT_SENDERS},
    {"stalled", required_argument, NULL, OPT_STALLED},
    {"size", required_argument, NULL, OPT_SIZE},
    {"rate", required_argument, NULL, OPT_RATE},
    {"outstanding", required_argument, NULL, OPT_OUTSTANDING},
    {"echo", no_argument, NULL, OPT_ECHO},
    {"except", no_argument, NULL, OPT_EXCEPT},
    {"apart", no_argument, NULL, OPT_APART},
    {"far", no_argument, NULL, OPT_FAR},
    {"beside", required_argument, NULL, OPT_BESIDE},
    {"ack", no_argument, NULL, OPT_ACK},
    {"auth", required_argument, NULL, OPT_AUTH},
    {"tls", no_argument, NULL, OPT_TLS},
    {"idle", required_argument, NULL, OPT_IDLE},
    {"churn", required_argument, NULL, OPT_CHURN},
    {"warmup", required_argument, NULL, OPT_WARMUP},
    {"duration", required_argument, NULL, OPT_DURATION},
    {"settle", required_argument, NULL, OPT_SETTLE},
    {"drain", required_argument, NULL, OPT_DRAIN},
    {"setup", required_argument, NULL, OPT_SETUP},
    {"wait", required_argument, NULL, OPT_WAIT},
    {"label", required_argument, NULL, OPT_LABEL},
    {"prefix", required_argument, NULL, OPT_PREFIX},
    {"json", required_argument, NULL, OPT_JSON},
    {"quiet", no_argument, NULL, OPT_QUIET},
    {"help", no_argument, NULL, OPT_HELP},
    {NULL, 0, NULL, 0},
};

static const char *option_name(int opt)
{
    return options[opt - OPT_HOST].name;
}

static bool number(int opt, double min, double max, double *out)
{
    char *end;

    *out = strtod(optarg, &end);
    if (end != optarg && *end == '\0' && isfinite(*out) && *out >= min && *out <= max)
        return true;
    fprintf(stderr, "load: --%s %s: expected a number from %g to %g\n", option_name(opt),
            optarg, min, max);
    return false;
}

static bool whole(int opt, uint32_t min, uint32_t max, uint32_t *out)
{
    double v;

    if (!number(opt, min, max, &v))
        return false;
    *out = (uint32_t)v;
    return true;
}

static bool parse_host(struct load_options *o)
{
    const char *text = strcmp(optarg, "localhost") == 0 ? "127.0.0.1" : optarg;

    if (inet_pton(AF_INET, text, &o->addr[0].sin_addr) == 1 &&
        (ntohl(o->addr[0].sin_addr.s_addr) >> 24) == 127)
        return true;
    fprintf(stderr, "load: --host %s: only 127.0.0.0/8 is allowed\n", optarg);
    return false;
}

static bool parse_ports(struct load_options *o)
{
    const char *p = optarg;
    char *end;

    for (o->nodes = 0; o->nodes < LOAD_MAX_NODES; p = end + 1) {
        unsigned long port = strtoul(p, &end, 10);

        if (end == p || port == 0 || port > 65535)
            break;
        o->addr[o->nodes++].sin_port = htons((uint16_t)port);
        if (*end == '\0')
            return true;
        if (*end != ',')
            break;
    }
    fprintf(stderr, "load: --port %s: expected up to %d numbers from 1 to 65535\n", optarg,
            LOAD_MAX_NODES);
    return false;
}

static bool parse_proto(struct load_options *o)
{
    for (unsigned i = 0; i < sizeof(proto_names) / sizeof(proto_names[0]); i++) {
        if (strcmp(optarg, proto_names[i]) == 0) {
            o->proto = (enum load_proto)i;
            return true;
        }
    }
    fprintf(stderr, "load: --proto %s: expected sio, poll, ws or floor\n", optarg);
    return false;
}

static bool parse_wait(struct load_options *o)
{
    char tail;

    if (strcmp(optarg, "block") == 0) {
        o->wait = LOAD_BLOCK;
    } else if (strcmp(optarg, "spin") == 0) {
        o->wait = LOAD_SPIN;
    } else if (sscanf(optarg, "nap:%u%c", &o->nap_us, &tail) == 1 && o->nap_us >= 10 &&
               o->nap_us <= 100000) {
        o->wait = LOAD_NAP;
    } else {
        fprintf(stderr, "load: --wait %s: expected block, spin or nap:10 to nap:100000\n",
                optarg);
        return false;
    }
    return true;
}

static bool parse_pids(int opt, struct load_pids *pids)
{
    if (load_pids_parse(pids, optarg))
        return true;
    fprintf(stderr, "load: --%s %s: expected up to %d live processes, separated by commas\n",
            option_name(opt), optarg, LOAD_MAX_PIDS);
    return false;
}

static bool parse_beside(struct load_options *o, int opt)
{
    if (o->nbeside < LOAD_MAX_BESIDE)
        return parse_pids(opt, &o->beside[o->nbeside++]);
    fprintf(stderr, "load: --beside may be given %d times\n", LOAD_MAX_BESIDE);
    return false;
}

/* The options that are texts or words. */
static bool apply_word(struct load_options *o, int opt)
{
    switch (opt) {
    case OPT_HOST: return parse_host(o);
    case OPT_PORT: return parse_ports(o);
    case OPT_PID: return parse_pids(opt, &o->pids);
    case OPT_BESIDE: return parse_beside(o, opt);
    case OPT_PROTO: return parse_proto(o);
    case OPT_WAIT: return parse_wait(o);
    case OPT_PATH:
        o->path = optarg;
        o->room_in_path = strstr(optarg, "{room}") != NULL;
        return true;
    case OPT_LABEL: o->label = optarg; return true;
    case OPT_PREFIX: o->prefix = optarg; return strlen(optarg) <= 8;
    case OPT_JSON: o->json = optarg; return true;
    case OPT_ECHO: o->echo = true; return true;
    case OPT_EXCEPT: o->except = true; return true;
    case OPT_APART: o->apart = true; return true;
    case OPT_FAR: o->far = true; return true;
    case OPT_ACK: o->ack = true; return true;
    case OPT_AUTH: o->auth = optarg; return true;
    case OPT_TLS: o->tls = true; return true;
    case OPT_QUIET: o->quiet = true; return true;
    case OPT_HELP: fputs(usage, stdout); exit(0);
    default: fputs("try load --help\n", stderr); return false;
    }
}

static bool apply(struct load_options *o, int opt)
{
    switch (opt) {
    case OPT_IDLE: o->idle = true; return whole(opt, 1, MAX_CONNECTIONS, &o->rooms);
    case OPT_ROOMS: return whole(opt, 1, MAX_CONNECTIONS, &o->rooms);
    case OPT_MEMBERS: return whole(opt, 1, MAX_CONNECTIONS, &o->members);
    case OPT_SENDERS: return whole(opt, 1, MAX_CONNECTIONS, &o->senders);
    case OPT_STALLED: return whole(opt, 1, MAX_CONNECTIONS, &o->stalled);
    case OPT_SIZE: return whole(opt, MIN_SIZE, MAX_SIZE, &o->size);
    case OPT_OUTSTANDING: return whole(opt, 1, 1024, &o->outstanding);
    case OPT_RATE: return number(opt, 0.01, 1e6, &o->rate);
    case OPT_CHURN: return number(opt, 1, 20000, &o->churn);
    case OPT_WARMUP: return number(opt, 0, 60, &o->warmup_s);
    case OPT_DURATION: return number(opt, 0.1, 3600, &o->duration_s);
    case OPT_SETTLE: return number(opt, 0, 60, &o->settle_s);
    case OPT_DRAIN: return number(opt, 0, 60, &o->drain_s);
    case OPT_SETUP: return number(opt, 1, 600, &o->setup_s);
    default: return apply_word(o, opt);
    }
}

/* Puts the shape of the run in order once all options are known. */
static bool settle_shape(struct load_options *o)
{
    uint32_t sockets;

    if (o->idle) {
        uint32_t wanted = o->rooms;

        o->members = o->members < wanted ? o->members : wanted;
        o->rooms = wanted / o->members;
        o->warmup_s = 0;
    }
    if (o->echo) {
        o->rooms *= o->members;
        o->members = 1;
    }
    if (o->senders > o->members)
        o->senders = o->members;
    sockets = o->rooms * o->members + (o->proto == LOAD_POLL ? o->rooms * o->senders : 0);
    if ((uint64_t)o->rooms * o->members > MAX_CONNECTIONS || sockets > MAX_CONNECTIONS) {
        fprintf(stderr, "load: %u rooms of %u members: more than %u sockets\n", o->rooms,
                o->members, MAX_CONNECTIONS);
        return false;
    }
    if (o->except && o->rate <= 0) {
        fputs("load: --except needs --rate: a sender would wait for itself for ever\n", stderr);
        return false;
    }
    if ((o->apart || o->far) && (o->nodes < 2 || o->idle || o->churn > 0)) {
        fputs("load: --apart and --far go with messages and several ports\n", stderr);
        return false;
    }
    if (o->far && (o->senders > 1 || o->members < 2 || o->ack)) {
        fputs("load: --far goes with one sender in each room of two or more, without --ack\n",
              stderr);
        return false;
    }
    if (o->ack && (o->proto != LOAD_SIO || o->echo || o->idle || o->churn > 0)) {
        fputs("load: --ack goes with messages by sio\n", stderr);
        return false;
    }
    if (o->churn > 0 && o->proto == LOAD_POLL) {
        fputs("load: --churn goes with sio, ws and floor\n", stderr);
        return false;
    }
    if (o->proto == LOAD_WS && !o->echo && o->rooms != 1 && !o->room_in_path) {
        fputs("load: a plain WebSocket endpoint is one room: --rooms 1, --echo, or {room} in"
              " --path\n",
              stderr);
        return false;
    }
    if (o->stalled > 0 && (o->stalled + o->senders > o->members || o->proto == LOAD_POLL)) {
        fputs("load: --stalled needs members that do not send, over WebSocket\n", stderr);
        return false;
    }
    return true;
}

bool load_options_parse(struct load_options *o, int argc, char **argv)
{
    int opt;

    memset(o, 0, sizeof(*o));
    o->addr[0].sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    o->path = "/";
    o->auth = "";
    o->label = "";
    o->prefix = "r";
    o->rooms = 1;
    o->members = 100;
    o->senders = 1;
    o->size = 64;
    o->outstanding = 1;
    o->warmup_s = 1;
    o->duration_s = 5;
    o->settle_s = 0.5;
    o->drain_s = 5;
    o->setup_s = 60;
    while ((opt = getopt_long(argc, argv, "", options, NULL)) != -1)
        if (!apply(o, opt))
            return false;
    if (optind < argc || o->nodes == 0) {
        fputs(optind < argc ? "load: too many arguments\n" : "load: --port is missing\n",
              stderr);
        return false;
    }
    for (uint32_t i = 0; i < o->nodes; i++) {
        o->addr[i].sin_family = AF_INET;
        o->addr[i].sin_addr = o->addr[0].sin_addr;
    }
    return settle_shape(o);
}

const char *load_proto_name(enum load_proto p)
{
    return proto_names[p];
}
