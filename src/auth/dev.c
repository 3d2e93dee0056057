/* dev.c - tokens for whoever asks, in development and in demos. */
#include "rc/auth/auth.h"

#include <jansson.h>
#include <stdlib.h>

/* A character that is shown as nothing, or that ends a line: C0, DEL and C1. */
static bool is_control(const char *s)
{
    unsigned char c = (unsigned char)s[0], next = (unsigned char)s[1];

    return c < 0x20 || c == 0x7f || (c == 0xc2 && next < 0xa0);
}

/* A user as token.c accepts one, and short enough to be shown. name: valid UTF-8, with a NUL. */
static bool is_name(struct rc_str name)
{
    unsigned chars = 0;

    for (size_t i = 0; i < name.len; i++) {
        if (is_control(name.p + i))
            return false;
        chars += ((unsigned char)name.p[i] & 0xc0) != 0x80;
    }
    return chars != 0 && chars <= RC_DEV_NAME_MAX && name.len <= RC_USER_MAX;
}

static struct rc_str trim(struct rc_str s)
{
    while (s.len != 0 && memchr(" \t\r\n", s.p[0], 4) != NULL)
        s = rc_str_skip(s, 1);
    while (s.len != 0 && memchr(" \t\r\n", s.p[s.len - 1], 4) != NULL)
        s.len--;
    return s;
}

static int mint(const struct rc_auth *a, struct rc_str user, uint64_t now_ms,
                struct rc_buf *answer)
{
    json_t *claims = rc_mint_claims(a->conf, user, now_ms, a->conf->auth_dev_tokens_ttl);
    json_t *exp = json_object_get(claims, "exp"), *all = NULL;
    struct rc_buf token = RC_BUF_INIT;
    char *text = NULL;

    if (rc_mint(&a->dev, RC_ALG_HS256, NULL, claims, &token) == RC_OK)
        all = json_pack("{s:s%,s:s%,s:I}", "token", token.data, token.len, "user", user.p,
                        user.len, "expires", json_integer_value(exp) * 1000);
    if (all != NULL)
        text = json_dumps(all, JSON_COMPACT);
    if (text != NULL)
        rc_buf_putz(answer, text);
    free(text);
    json_decref(all);
    json_decref(claims);
    rc_buf_deinit(&token);
    return text != NULL ? RC_OK : RC_ESYS;
}

int rc_auth_dev_token(const struct rc_auth *a, struct rc_str body, uint64_t now_ms,
                      struct rc_buf *answer)
{
    json_t *request =
        json_loadb(body.p != NULL ? body.p : "", body.len, JSON_REJECT_DUPLICATES, NULL);
    const json_t *value = json_object_get(request, "name");
    struct rc_str name = rc_str_make(json_string_value(value), json_string_length(value));
    int rc;

    if (!json_is_string(value)) {
        rc = RC_EPROTO;
    } else {
        name = trim(name);
        rc = is_name(name) ? mint(a, name, now_ms, answer) : RC_EINVAL;
    }
    json_decref(request);
    return rc;
}
