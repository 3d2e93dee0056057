#include "rc/base/spsc.h"

#include <stdlib.h>

int rc_spsc_init(struct rc_spsc *q, size_t cap, size_t size)
{
    if (cap < 2 || (cap & (cap - 1)) != 0 || size == 0)
        return RC_EINVAL;
    *q = (struct rc_spsc){.mask = cap - 1, .size = size};
    q->slot = aligned_alloc(RC_CACHELINE,
                            (cap * size + RC_CACHELINE - 1) / RC_CACHELINE * RC_CACHELINE);
    return q->slot != NULL ? RC_OK : RC_ENOMEM;
}

void rc_spsc_deinit(struct rc_spsc *q)
{
    free(q->slot);
    q->slot = NULL;
}
