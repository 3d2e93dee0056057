/* allow.c - may the sender do that in a room? What the [room] sections say, looked up. */
#include "exec.h"

#include "rc/base/hash.h"
#include "rc/broker/access.h"
#include "rc/broker/room.h"
#include "rc/proto/json.h"

/* Is the claim this text, or an array with it? A number counts as its text. */
static bool has_claim(struct rc_str claims, struct rc_str claim, struct rc_str text)
{
    struct rc_str rest = claims.len != 0 ? rc_json_get(claims, claim) : RC_STR_NONE, token;
    bool is_array = rest.len != 0 && rc_json_type(rest) == RC_JSON_ARRAY;
    int depth = 0;

    while (rest.len != 0) {
        char type = rc_json_token(&rest, &token);

        depth += (type == '[' || type == '{') - (type == ']' || type == '}');
        if (type == '\0')
            return false;
        if (depth != is_array)
            continue;
        if ((type == '"' && rc_json_string_eq(token, text)) ||
            (type == '0' && rc_str_eq(token, text)))
            return true;
    }
    return false;
}

RC_ON_SHARD static bool is_granted(struct rc_exec *x, const struct rc_room_rule *rule,
                                   const struct rc_grant *g, struct rc_str key)
{
    struct rc_str name = rc_str_skip(key, x->home.len);

    switch (g->to) {
    case RC_GRANT_ANYONE: return true;
    case RC_GRANT_AUTHENTICATED:
    case RC_GRANT_GROUP: return x->env.user.len != 0; /* then the store is asked, see below */
    case RC_GRANT_MEMBER: return rc_local_is_member(x->sh, x->socket, key);
    case RC_GRANT_CLAIM: return has_claim(x->env.claims, g->claim, name);
    case RC_GRANT_USER:
        return x->env.user.len != 0 && rc_str_eq(rc_room_rule_star(rule, name), x->env.user);
    }
    return false;
}

/* ---- groups: the store knows ---- */

/* What it has said of one, while a rule runs. */
struct known_group {
    uint64_t hash;
    enum rc_store_fault fault;
    bool is_in;
};

static const struct known_group *find_group(const struct rc_exec *x, uint64_t hash)
{
    const struct known_group *g = (const void *)x->groups.data;

    for (size_t n = x->groups.len / sizeof(*g); n != 0; n--, g++)
        if (g->hash == hash)
            return g;
    return NULL;
}

void rc_access_answered(struct rc_exec *x)
{
    struct known_group g = {.hash = x->asked_group};

    if (x->asked_group == 0 || x->answer == NULL)
        return;
    g.fault = x->answer->fault;
    g.is_in = x->answer->yes;
    rc_buf_put(&x->groups, &g, sizeof(g));
    x->asked_group = 0;
    x->answer = NULL; /* it is not what the action itself has asked for */
}

RC_ON_SHARD static int check_group(struct rc_exec *x, struct rc_str group, const char *text)
{
    uint64_t hash = rc_hash(group.p, group.len, 0) | 1; /* 0: none */
    const struct known_group *g = find_group(x, hash);
    int rc;

    if (g == NULL) {
        rc = rc_action_ask_group(x, group);
        x->asked_group = rc == RC_EAGAIN ? hash : 0;
        return rc;
    }
    if (g->fault != RC_STORE_OK)
        return rc_exec_refuse(x, rc_store_fault_code(g->fault), "%s",
                              rc_store_fault_text(g->fault));
    return g->is_in ? RC_OK : rc_exec_refuse(x, "denied", "%s", text);
}

/* ---- all of them ---- */

int rc_access_check(struct rc_exec *x, enum rc_access access, struct rc_str key)
{
    struct rc_str name = rc_str_skip(key, x->home.len);
    const struct rc_room_rule *rule;
    const struct rc_grant *g;

    if (x->nsp->rooms.n == 0)
        return RC_OK;
    rule = rc_room_rules_find(&x->nsp->rooms, name);
    if (rule == NULL)
        return RC_OK;
    g = &rule->grant[access];
    if (!is_granted(x, rule, g, key))
        return rc_exec_refuse(x, "denied", "%s", g->text);
    return g->to != RC_GRANT_GROUP ? RC_OK
                                   : check_group(x, rc_room_rule_star(rule, name), g->text);
}
