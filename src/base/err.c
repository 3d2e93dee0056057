#include "rc/base/err.h"

const char *rc_strerror(int err)
{
    switch (err) {
    case RC_OK: return "success";
#define RC_ERR_CASE(name, value, text) \
    case name: return text;
        RC_ERR_MAP(RC_ERR_CASE)
#undef RC_ERR_CASE
    default: return "unknown error";
    }
}
