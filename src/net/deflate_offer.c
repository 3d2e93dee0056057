/* deflate_offer.c - Sec-WebSocket-Extensions: offers of permessage-deflate and the answer to them
 * (RFC 6455 section 9.1, RFC 7692 sections 5 and 7.1). */
#include "http_int.h"

#include "rc/net/deflate.h"
#include "rc/net/http.h"

enum { WHOLE = -1 }; /* no value */

struct offer {
    bool acceptable;
    bool has_server_bits, has_client_bits, server_alone, client_alone;
    int server_bits, client_bits; /* WHOLE: named without a value */
};

static void skip_blanks(struct rc_str *s)
{
    while (s->len != 0 && (s->p[0] == ' ' || s->p[0] == '\t'))
        *s = rc_str_skip(*s, 1);
}

static struct rc_str take_token(struct rc_str *s)
{
    struct rc_str token = {.p = s->p, .len = 0};

    while (token.len < s->len && rc_http_is(s->p[token.len], RC_HTTP_TCHAR))
        token.len++;
    *s = rc_str_skip(*s, token.len);
    return token;
}

static bool take(struct rc_str *s, char c)
{
    if (s->len == 0 || s->p[0] != c)
        return false;
    *s = rc_str_skip(*s, 1);
    return true;
}

/* Behind '=': a token, or one in quotes with any of its characters escaped. False: neither. What
 * no number can be is cut, but stays wrong. */
static bool take_value(struct rc_str *s, char value[4], size_t *len)
{
    bool quoted = take(s, '"');

    *len = 0;
    while (s->len != 0) {
        bool escaped = quoted && take(s, '\\');

        if (s->len == 0 || !rc_http_is(s->p[0], RC_HTTP_TCHAR)) {
            if (escaped)
                return false;
            break;
        }
        if (*len < 4)
            value[(*len)++] = s->p[0];
        *s = rc_str_skip(*s, 1);
    }
    return *len != 0 && (!quoted || take(s, '"'));
}

/* 8 to 15 without leading zeros, or 0. */
static int parse_bits(struct rc_str value)
{
    if (value.len == 1 && (value.p[0] == '8' || value.p[0] == '9'))
        return value.p[0] - '0';
    if (value.len == 2 && value.p[0] == '1' && value.p[1] >= '0' && value.p[1] <= '5')
        return 10 + value.p[1] - '0';
    return 0;
}

/* Twice, with a wrong value or unknown: the offer cannot be accepted. */
static void see_param(struct offer *o, struct rc_str name, const struct rc_str *value)
{
    int bits = value != NULL ? parse_bits(*value) : WHOLE;
    bool *seen = NULL;

    if (rc_str_eq(name, RC_STR("server_no_context_takeover")) && value == NULL) {
        seen = &o->server_alone;
    } else if (rc_str_eq(name, RC_STR("client_no_context_takeover")) && value == NULL) {
        seen = &o->client_alone;
    } else if (rc_str_eq(name, RC_STR("server_max_window_bits")) && bits > 0) {
        seen = &o->has_server_bits;
        o->server_bits = bits;
    } else if (rc_str_eq(name, RC_STR("client_max_window_bits")) && bits != 0) {
        seen = &o->has_client_bits;
        o->client_bits = bits;
    }
    if (seen == NULL || *seen)
        o->acceptable = false;
    else
        *seen = true;
}

/* One extension with its parameters. False: a breach of the grammar. */
static bool take_offer(struct rc_str *s, struct offer *o)
{
    struct rc_str name = take_token(s);

    *o = (struct offer){.acceptable = rc_str_eq(name, RC_STR("permessage-deflate"))};
    if (name.len == 0)
        return false;
    for (skip_blanks(s); take(s, ';'); skip_blanks(s)) {
        char text[4];
        struct rc_str value = {.p = text, .len = 0};
        bool has_value;

        skip_blanks(s);
        name = take_token(s);
        has_value = take(s, '=');
        if (name.len == 0 || (has_value && !take_value(s, text, &value.len)))
            return false;
        see_param(o, name, has_value ? &value : NULL);
    }
    return s->len == 0 || s->p[0] == ',';
}

static struct rc_deflate_params agree(const struct offer *o,
                                      const struct rc_deflate_policy *policy)
{
    struct rc_deflate_params p = {.on = true};
    int hint = o->client_bits > 0 ? o->client_bits : RC_DEFLATE_BITS_MAX;

    p.client_takeover = policy->client_takeover && !o->client_alone;
    p.server_bits = (uint8_t)o->server_bits;
    if (o->has_client_bits) /* else it may not be told a limit, and uses what it likes */
        p.client_bits = hint < policy->client_bits ? (uint8_t)hint : policy->client_bits;
    if (o->client_bits <= 0 && p.client_bits == RC_DEFLATE_BITS_MAX)
        p.client_bits = 0;
    return p;
}

int rc_deflate_offer(struct rc_str header, const struct rc_deflate_policy *policy,
                     struct rc_deflate_params *p)
{
    struct rc_deflate_params first = {.on = false};
    struct rc_str s = header;
    struct offer o;

    *p = first;
    for (;;) {
        skip_blanks(&s);
        if (s.len == 0)
            break;
        if (take(&s, ',')) /* empty items of a list count for nothing */
            continue;
        if (!take_offer(&s, &o))
            return RC_EPROTO;
        if (o.acceptable && !first.on)
            first = agree(&o, policy);
    }
    *p = first;
    return first.on ? RC_OK : RC_ENOENT;
}

void rc_deflate_negotiate(const struct rc_http_req *req, const struct rc_deflate_policy *policy,
                          struct rc_deflate_params *p)
{
    struct rc_deflate_params found;

    *p = (struct rc_deflate_params){.on = false};
    for (unsigned i = 0; req->ws_extensions.p != NULL && i < req->nheaders; i++) {
        int rc;

        if (!rc_str_ieq(req->headers[i].name, RC_STR("Sec-WebSocket-Extensions")))
            continue;
        rc = rc_deflate_offer(req->headers[i].value, policy, &found);
        if (rc == RC_EPROTO) {
            p->on = false;
            return;
        }
        if (rc == RC_OK && !p->on)
            *p = found;
    }
}

void rc_deflate_answer(const struct rc_deflate_params *p, struct rc_buf *out)
{
    rc_buf_putz(out, "permessage-deflate; server_no_context_takeover");
    if (!p->client_takeover)
        rc_buf_putz(out, "; client_no_context_takeover");
    if (p->server_bits != 0)
        rc_buf_printf(out, "; server_max_window_bits=%u", p->server_bits);
    if (p->client_bits != 0)
        rc_buf_printf(out, "; client_max_window_bits=%u", p->client_bits);
}
