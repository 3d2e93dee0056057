/* allow.c - may the sender do that in a room? What the [room] sections say, looked up. */
#include "exec.h"

#include "rc/broker/access.h"
#include "rc/broker/room.h"
#include "rc/proto/json.h"

/* Is the claim this text, or an array with it? A number counts as its text. */
static bool has_claim(struct rc_str claims, struct rc_str claim, struct rc_str text)
{
    struct rc_str rest = claims.len != 0 ? rc_json_get(claims, claim) : RC_STR_NONE, token;
    bool is_array = rest.len != 0 && rc_json_type(rest) == RC_JSON_ARRAY;
    int depth = 0;
    char type;

    while ((type = rest.len != 0 ? rc_json_token(&rest, &token) : '\0') != '\0') {
        depth += (type == '[' || type == '{') - (type == ']' || type == '}');
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
    case RC_GRANT_AUTHENTICATED: return x->env.user.len != 0;
    case RC_GRANT_MEMBER: return rc_local_is_member(x->sh, x->socket, key);
    case RC_GRANT_CLAIM: return has_claim(x->env.claims, g->claim, name);
    case RC_GRANT_USER:
        return x->env.user.len != 0 && rc_str_eq(rc_room_rule_star(rule, name), x->env.user);
    }
    return false;
}

int rc_access_check(struct rc_exec *x, enum rc_access access, struct rc_str key)
{
    const struct rc_room_rule *rule;
    const struct rc_grant *g;

    if (x->nsp->rooms.n == 0)
        return RC_OK;
    rule = rc_room_rules_find(&x->nsp->rooms, rc_str_skip(key, x->home.len));
    if (rule == NULL)
        return RC_OK;
    g = &rule->grant[access];
    return is_granted(x, rule, g, key) ? RC_OK : rc_exec_refuse(x, "denied", "%s", g->text);
}
